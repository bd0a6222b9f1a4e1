"""The table ``releases``: which versions of all tables belong together, and what is read when no version is named."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from jobs.warehouse.open_table import stored_rows
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

    def holds(self, name: str, rows: TableVersion) -> bool:
        """Whether the release has these rows of a table."""
        made = Provenance.from_json(self.provenance)
        return made is not None and made.tables.get(name) == rows


def read_release(warehouse: Location, number: int | None = None) -> Release | None:
    """A release, the newest by default; None where no release is named and there is none.

    Raises WarehouseError where there is no such release.
    """
    rows = stored_rows(warehouse.child(TABLE))
    releases = {row["release"]: Release(**row | {"versions": dict(row["versions"])}) for row in rows}
    if number is not None and number not in releases:
        there = f"{min(releases)} to {max(releases)} are there" if releases else "there is none"
        raise WarehouseError(f"{warehouse} has no release {number} ({there}): choose another, or run rebuild_corpus")
    return releases[max(releases) if number is None else number] if releases else None
