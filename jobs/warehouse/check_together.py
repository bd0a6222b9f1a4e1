"""Whether tables belong together: made by one run of each job, from the rows of other tables that are there."""

from collections.abc import Collection, Sequence
from typing import Protocol

from jobs.warehouse.delta.commit_history import Content
from pivot_udfs.errors import WarehouseError
from pivot_udfs.provenance import Provenance, other_rows
from pivot_udfs.schemas import PINNED


class Contents(Protocol):
    """What knows the state of every table of a warehouse."""

    def content(self, name: str) -> Content | None:
        """The state of a table, None where there is none."""

    def table_path(self, name: str) -> str:
        """Where a table lies, for messages."""


def check_together(warehouse: Contents, tables: Sequence[str], pinned: Collection[str] = PINNED) -> None:
    """Compares what the tables that a stage reads were made from with what the warehouse holds now.

    ``pinned`` tables may be older than what they were made from, but for pinned tables among that. Raises
    WarehouseError where tables of one job are of different runs, or a table, or one that it was made from, was made
    from other rows of a table than those that are there.
    """
    seen: set[str] = set()
    for table in tables:
        _check_inputs(warehouse, table, seen, pinned)
    first: dict[tuple[str, ...], str] = {}
    for table in tables:
        if (made := _provenance(warehouse, table)) is None:
            continue
        other = first.setdefault((made.job, *sorted(made.tables)), table)
        if made.fingerprint != getattr(_provenance(warehouse, other), "fingerprint", ""):
            raise WarehouseError(
                f"{_at_version(warehouse, other)} and {_at_version(warehouse, table)} were made by different runs of "
                f"{made.job}, one of which did not end: run {made.job} again (rebuild_corpus does)"
            )


def _check_inputs(warehouse: Contents, table: str, seen: set[str], pinned: Collection[str]) -> None:
    """A table's inputs first, so that the error names the first job to run."""
    made = _provenance(warehouse, table)
    if table in seen or made is None:
        return
    seen.add(table)
    compared = {name: read for name, read in made.tables.items() if table not in pinned or name in pinned}
    for name in compared:
        _check_inputs(warehouse, name, seen, pinned)
    for name, read in compared.items():
        content = warehouse.content(name)
        if content and content.rows != read:
            raise WarehouseError(
                f"{_at_version(warehouse, table)} was made with {other_rows(name, read, content.rows)}: run "
                f"{made.job} again (rebuild_corpus does)"
            )


def _provenance(warehouse: Contents, table: str) -> Provenance | None:
    content = warehouse.content(table)
    return content.provenance if content else None


def _at_version(warehouse: Contents, table: str) -> str:
    content = warehouse.content(table)
    return f"{warehouse.table_path(table)} version {content.version if content else None}"
