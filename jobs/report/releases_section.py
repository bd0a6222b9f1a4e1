"""The section of the page that lists releases: every rebuild brings it up to date, the other sections may stay."""

import re
from collections.abc import Mapping

import pyarrow.dataset as ds

from jobs.framework.refresh import drift_between
from jobs.framework.stage import Run
from jobs.report.templates import template
from jobs.warehouse.arrow_tables import ArrowTables
from jobs.warehouse.release_changes import Shards, changed_shards, shards_of, sums_of
from jobs.warehouse.releases import read_releases
from pivot_udfs.errors import DamagedTableError, MissingVersionError
from pivot_udfs.provenance import TableVersion
from pivot_udfs.storage.stores import resolve

_SECTION = re.compile(r'<section id="releases">.*?</section>', re.DOTALL)
_N_LISTED = 5


def with_releases(
    page: str, warehouse: str, shown: Mapping[str, TableVersion], max_drift: float, asked_for: int | None = None
) -> str:
    """The page (HTML) with the newest releases of a warehouse, and what each has more or less than the one before.

    ``shown`` are the rows that the other sections describe, by table; ``asked_for``: the release whose page was asked
    for. A drift above ``max_drift`` asks for a refresh.
    """
    releases = read_releases(resolve(warehouse))
    newest_first = sorted(releases, reverse=True)
    described = (n for n in newest_first if all(releases[n].holds(name, rows) for name, rows in shown.items()))
    shards = {number: shards_of(warehouse, number) for number in newest_first[: _N_LISTED + 1]}
    html = template("releases.html", {}).render(
        rows=[(releases[n], *_changes(shards[n], shards.get(n - 1, {}))) for n in newest_first[:_N_LISTED]],
        max_drift=max_drift,
        described=next(described, None),
        asked_for=asked_for,
    )
    return _SECTION.sub(lambda _: html.strip(), page, count=1)


def read_drift(run: Run) -> tuple[int, float] | None:
    """The newest earlier release with other pivots, and the share of the pivot set that differs; None without one."""
    path, today = run.settings.warehouse.path, run.warehouse.content("pivots")
    releases = read_releases(resolve(path))
    earlier = {n: release for n, release in releases.items() if run.release is None or n < run.release}
    others = [number for number, release in earlier.items() if today and not release.holds("pivots", today.rows)]
    if not others:
        return None
    try:
        before = ArrowTables(path, max(others)).rows("pivots", ["token_id"], ds.scalar(True))
    except (DamagedTableError, MissingVersionError):
        return None
    now = run.warehouse.read_small("pivots").to_pylist()
    return max(others), drift_between(*([row["token_id"] for row in rows] for rows in (before, now)))


def _changes(now: Shards | None, before: Shards | None) -> tuple[dict[str, int], dict[str, int]]:
    """The sums of a release and the changes of its shards; empty where not known."""
    if now is None:
        return {}, {}
    return sums_of(now), {} if before is None else changed_shards(now, before)
