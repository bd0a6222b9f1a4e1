"""Adds a release at the end of a rebuild."""

from collections.abc import Sequence
from datetime import UTC, datetime

from jobs.warehouse.driver_rows import commit_rows
from jobs.warehouse.releases import TABLE, Release, read_release
from jobs.warehouse.tables import Warehouse
from pivot_udfs import __version__
from pivot_udfs.provenance import Provenance, difference


def write_release(warehouse: Warehouse, tables: Sequence[str]) -> int | None:
    """Adds a release of the tables as this run left them.

    Args:
        warehouse: its state of ``releases`` is that which the run began from.
        tables: names of the tables.

    Returns:
        its number; None where the newest release has the same rows.

    Raises:
        WarehouseError: another run has changed a table or added a release meanwhile.
    """
    contents = {name: content for name in tables if (content := warehouse.content(name))}
    provenance = Provenance(
        "rebuild_corpus", 1, __version__, tables={name: content.rows for name, content in contents.items()}
    )
    newest = read_release(warehouse.root)
    made = Provenance.from_json(newest.provenance) if newest else None
    if made and difference(made, provenance) is None:
        return None
    release = Release(
        newest.release + 1 if newest else 0,
        datetime.now(UTC),
        {name: content.newest for name, content in contents.items()},
        provenance.to_json(),
    )
    row = release._asdict() | {"versions": list(release.versions.items())}
    commit_rows(warehouse, TABLE, [row], provenance, removed=())
    return release.release
