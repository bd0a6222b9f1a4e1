"""What a rebuild did: as lines for people, and as one JSON file beside the tables for schedulers and dashboards."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from jobs.framework.log_lines import clean
from jobs.framework.stage import Run
from jobs.loading.compare_shards import read_loaded
from jobs.warehouse.delta.open_table import stored_rows
from pivot_udfs import __version__
from pivot_udfs.errors import WarehouseError
from pivot_udfs.storage.redact import reason
from pivot_udfs.storage.stores import STORE_ERRORS

FILE = "last_rebuild.json"


def describe_release(release: int | None, changes: Mapping[str, int]) -> str:
    """One line: the number of an added release, None where no table has changed, and its ``changes_of``."""
    if release is None:
        return "no table has changed"
    shards = [f"{changes[f'{kind}_shards']:,} {kind}" for kind in ("new", "changed", "gone") if changes]
    more = [f"{name} {changes[name]:+,}" for name in ("documents", "quarantine", "tokens") if changes]
    return f"release {release}" + (f": shards {', '.join(shards)}; {', '.join(more)}" if changes else "")


def write_summary(run: Run, job: str, tables: list[str], release: int | None, changes: Mapping[str, int]) -> None:
    """Writes ``<warehouse.path>/last_rebuild.json``; raises WarehouseError where it cannot be written.

    ``tables`` are the names of those that are listed; ``release`` is the number of the added one, None where no table
    has changed; ``changes`` are its ``changes_of``.
    """
    ended, shards = datetime.now(UTC), read_loaded(run.warehouse.location("shards"))
    summary = {
        "job": job,
        "semantic_pivots": __version__,
        "started_at": run.progress.started_at.isoformat(timespec="seconds"),
        "ended_at": ended.isoformat(timespec="seconds"),
        "seconds": round((ended - run.progress.started_at).total_seconds(), 1),
        "release": release,
        "changes": dict(changes),
        "shards": len(shards),
        "shard_bytes": sum(shard.n_bytes for shard in shards.values()),
        "stages": [one._replace(reason=one.reason and clean(one.reason))._asdict() for one in run.progress.stages],
        "tables": {name: size._asdict() for name in tables if (size := run.warehouse.size(name))},
    }
    place = run.warehouse.location(FILE)
    try:
        place.write((json.dumps(summary, ensure_ascii=False, indent=1) + "\n").encode())
    except STORE_ERRORS as error:
        raise WarehouseError(f"{place} cannot be written ({reason(error)})") from None


def describe_rebuild(run: Run, tables: Sequence[str], report: str) -> str:
    """Lines of text: where the tables and the report are, and the ten best pivots."""
    pivots = stored_rows(run.warehouse.location("pivots"), run.warehouse.check_source("pivots").newest)
    rows = [
        f"{pivot['rank']:>4}  {pivot['token']!r:<18} {pivot['score']:>8.2f} {pivot['n_concepts']:>9} "
        f"{pivot['n_language_pairs']:>14} {pivot['doc_share']:>9.1%}"
        for pivot in sorted(pivots, key=lambda pivot: int(pivot["rank"]))[:10]
    ]
    head = [
        f"\ntables  {run.warehouse.path}/  ({', '.join(tables)})",
        f"report  {report}",
        "\nthe ten best pivots",
        "rank  token                 score  concepts  language pairs  documents",
    ]
    return "\n".join([*head, *rows, ""])
