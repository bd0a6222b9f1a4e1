"""The table ``releases``: which versions of all tables belong together, and tables with the rows of a release."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from deltalake import DeltaTable

from jobs.warehouse.delta.commit_history import Content, has_lost, maintained_version, read_content
from jobs.warehouse.delta.open_table import MADE_ANEW, missing_version, open_delta, stored_rows
from pivot_udfs.errors import WarehouseError
from pivot_udfs.provenance import Provenance, TableVersion
from pivot_udfs.storage.location import Location

TABLE = "releases"


class Release(NamedTuple):
    """A row of ``releases``."""

    release: int
    committed_at: datetime
    versions: Mapping[str, int]
    provenance: str
    pivot_drift: float | None = None
    budget_missed: Mapping[str, float] | None = None

    def rows(self, name: str) -> TableVersion | None:
        """The rows that the release has of a table."""
        made = Provenance.from_json(self.provenance)
        return made.tables.get(name) if made else None

    def holds(self, name: str, rows: TableVersion) -> bool:
        """Whether the release has these rows of a table."""
        return self.rows(name) == rows

    def row(self) -> dict[str, Any]:
        """The row of the table."""
        missed = None if self.budget_missed is None else list(self.budget_missed.items())
        return self._asdict() | {"versions": list(self.versions.items()), "budget_missed": missed}


def read_releases(warehouse: Location) -> dict[int, Release]:
    """All releases by number; none where there is no table."""
    rows = stored_rows(warehouse.child(TABLE), columns=Release._fields)
    maps = [{name: dict(row[name]) for name in ("versions", "budget_missed") if row.get(name)} for row in rows]
    return {row["release"]: Release(**row | of_row) for row, of_row in zip(rows, maps, strict=True)}


def read_release(warehouse: Location, number: int | None = None) -> Release | None:
    """A release, the newest by default; None where no release is named and there is none.

    Raises WarehouseError where there is no such release.
    """
    releases = read_releases(warehouse)
    if number is not None and number not in releases:
        there = f"{min(releases)} to {max(releases)} are there" if releases else "there is none"
        raise WarehouseError(f"{warehouse} has no release {number} ({there}): choose another, or run rebuild_corpus")
    return releases[max(releases) if number is None else number] if releases else None


def open_released(table: Location, name: str, release: Release | None) -> tuple[DeltaTable, Content] | None:
    """A table with the rows that a release has, and their state; None where there is no table.

    Without a release, and of tables that it lacks, the newest version. Raises MissingVersionError where its rows are no
    longer there; other errors as for ``open_delta``.
    """
    newest = open_delta(table)
    if newest is None:
        return None
    content = read_content(newest)
    if release is None or name not in release.versions or release.holds(name, content.rows):
        return newest, content
    # Files of the released version itself may have been compacted and vacuumed since.
    version, rows = maintained_version(newest, release.versions[name]), release.rows(name)
    if rows is None or has_lost(newest, rows):
        raise missing_version(table, version, MADE_ANEW)
    return open_delta(table, version), read_content(newest, version)
