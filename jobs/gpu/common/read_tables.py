"""Reads the corpus side's Delta tables with delta-rs: no JVM is needed on a GPU machine.

A table's provenance records which tokenizer and lexicon it was made with. Tables made with others are refused here, for
every job. deltalake is imported where a table is opened: a machine that has only packed files need not have it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds

from pivot_udfs.errors import DamagedTableError, TokenizerError, WarehouseError
from pivot_udfs.provenance import Provenance, TableVersion, other_content
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import reason

if TYPE_CHECKING:
    from deltalake import DeltaTable


@dataclass(frozen=True)
class PinnedTable:
    """A table with the rows of one release, which ``rows`` identifies for the provenance of what is made from them."""

    name: str
    table: "DeltaTable"
    rows: TableVersion
    provenance: Provenance | None
    location: Location
    release: int | None
    """The number of the release; None where the warehouse has none."""

    @property
    def version(self) -> int:
        """The version that is read."""
        return int(self.table.version())

    @cached_property
    def dataset(self) -> ds.Dataset:
        """The version's files, listed once, so that every scan of them reads the rows in the same order."""
        from jobs.warehouse.delta.open_table import dataset_of

        return dataset_of(self.location, self.table)


def open_table(warehouse: str, name: str, release: int | None = None) -> PinnedTable:
    """A table, such as ``datasets/pivot``, with the rows that a release has (None: the newest).

    Raises WarehouseError where there is no such table or release, its log was cleaned up, it is damaged, or documents
    were forgotten since.
    """
    from jobs.warehouse.arrow_tables import ArrowTables
    from jobs.warehouse.check_together import unapplied_block_list
    from jobs.warehouse.delta.open_table import check_files as check_data_files

    tables = ArrowTables(warehouse, release)
    location, (table, content) = tables.location(name), tables.existing(name)
    try:
        check_data_files(location, table, content)
        behind = unapplied_block_list(tables) if name == "documents" or name.startswith("datasets/") else None
    except DamagedTableError as error:
        raise DamagedTableError(f"{error}: run rebuild_corpus, or restore it from a copy") from None
    if behind:
        held = f"{location} of release {tables.release} may hold what was forgotten"
        raise WarehouseError(f"{behind}: {held}: choose a newer release, or run rebuild_corpus")
    return PinnedTable(name, table, content.rows, content.provenance, location, tables.release)


def check_files(pinned: PinnedTable, tokenizer_sha256: str, lexicon_sha256: str | None = None) -> None:
    """Refuses a table made with another tokenizer (TokenizerError) or, if given, another lexicon (WarehouseError)."""
    found, made = f"{pinned.name} version {pinned.version}", pinned.provenance.files if pinned.provenance else {}
    if "tokenizer" not in made:
        raise WarehouseError(f"{found} does not say which tokenizer made it: rebuild it")
    for name, now, kind in (
        ("tokenizer", tokenizer_sha256, TokenizerError),
        ("lexicon", lexicon_sha256, WarehouseError),
    ):
        if now and made.get(name, now) != now:
            raise kind(
                f"{found} was made with {other_content(name, made[name], now)}: set {name}.path to that of the table, "
                "or rebuild the tables"
            )


def read_columns(pinned: PinnedTable, columns: list[str]) -> pa.Table:
    """The named columns of a whole table, as an Arrow table.

    Raises WarehouseError where files of this version were removed (vacuumed), or a column is missing.
    """
    with reading(pinned):
        return pinned.dataset.to_table(columns=columns)


@contextmanager
def reading(pinned: PinnedTable) -> Iterator[None]:
    """A scan of a table, in which a missing column, or a file that cannot be read, is a ``WarehouseError``."""
    from deltalake.exceptions import DeltaError

    try:
        yield
    except (OSError, DeltaError) as error:
        raise WarehouseError(
            f"{pinned.name} version {pinned.version}: files of this version cannot be read ({reason(error)}); it was "
            "probably vacuumed: use a newer version, or rebuild the table"
        ) from None
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise WarehouseError(f"{pinned.name} version {pinned.version} lacks a column: {reason(error)}") from None
