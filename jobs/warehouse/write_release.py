"""Adds a release at the end of a rebuild; apart from ``releases``, which the model side reads without Spark."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from jobs.warehouse.releases import TABLE, Release, read_releases
from jobs.warehouse.spark_tables import Warehouse
from pivot_udfs.provenance import Provenance, difference


def write_release(
    warehouse: Warehouse,
    tables: Sequence[str],
    measure: Callable[[], tuple[float | None, Mapping[str, float] | None]] = lambda: (None, None),
) -> int | None:
    """Adds a release of tables as this run left them; its number, None where the newest release has the same rows.

    ``measure`` gives ``pivot_drift`` and ``budget_missed`` for a new release, None where they are not known. Raises
    WarehouseError where another run has changed a table or added a release meanwhile.
    """
    contents = {name: content for name in tables if (content := warehouse.content(name))}
    provenance = Provenance("rebuild_corpus", 1, tables={name: content.rows for name, content in contents.items()})
    releases = read_releases(warehouse.root)
    newest = releases[max(releases)] if releases else None
    made = Provenance.from_json(newest.provenance) if newest else None
    if made and difference(made, provenance) is None:
        return None
    release = Release(
        newest.release + 1 if newest else 0,
        datetime.now(UTC),
        {name: content.newest for name, content in contents.items()},
        provenance.to_json(),
        *measure(),
    )
    warehouse.commit_rows(TABLE, [one.row() for one in (*releases.values(), release)], provenance)
    return release.release
