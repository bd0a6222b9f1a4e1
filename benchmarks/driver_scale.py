"""What the driver does for 20,000 and for 200,000 shards, and for tables of as many files, without Spark.

    python -m benchmarks.driver_scale [--scratch FOLDER]

Shards are local files of one record; tables get log entries for empty files, as commits of workers' files would make
them. Each row has the processor seconds of one call and the memory of the process after it, in MB.
"""

import json
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from pyspark.sql import SparkSession

from benchmarks.common import fresh, parse, report
from jobs.framework.task_sizes import pack_files
from jobs.loading.compare_shards import LoadedShard, batches_of, compare_shards, read_loaded
from jobs.loading.replace_shards import commit_shards
from jobs.warehouse.delta.commit import commit_files
from jobs.warehouse.delta.commit_history import Content, commits_of, read_content
from jobs.warehouse.delta.open_table import check_files, open_delta
from jobs.warehouse.delta.table_files import changed_files, files_between, files_with_shards
from jobs.warehouse.spark_tables import Warehouse
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import DOCUMENTS
from pivot_udfs.shards.list_shards import Shard, list_shards
from pivot_udfs.storage.stores import resolve

T = TypeVar("T")
SIZES = (20_000, 200_000)
N_COMMITS = 50
_MADE = Provenance("tokenize_corpus", 1)
Rows = dict[str, dict[str, float]]


def main() -> None:
    """Runs it."""
    root = Path(fresh(f"{parse(__doc__).scratch}/bench-driver-scale"))
    figures = {}
    for size in SIZES:
        figures[f"{size:,} shards"] = _shards(root / f"shards-{size}", size)
        figures[f"{size:,} files in {N_COMMITS} commits"] = _table(root / f"table-{size}", size)
        fresh(str(root))
    report("driver_scale", figures)


def _timed(rows: Rows, name: str, body: Callable[[], T]) -> T:
    start = time.process_time()
    result = body()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    rows[name] = {
        "cpu_seconds": round(time.process_time() - start, 2),
        "memory_mb": round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6),
    }
    return result


def _shards(folder: Path, size: int) -> Rows:
    for number in range(size):
        part = folder / f"{number // 1000:04}" / f"part-{number:06}.jsonl"
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(b"{}\n")
    rows: Rows = {}
    shards = _timed(rows, "list_shards", lambda: list_shards([str(folder)]))
    assert len(shards) == size
    warehouse = Warehouse(cast(SparkSession, None), f"{folder}-warehouse")
    loaded = [_loaded(shard) for shard in shards]
    _timed(rows, "commit_shards", lambda: commit_shards(warehouse, loaded, _MADE, {}))
    known = _timed(rows, "read_loaded", lambda: read_loaded(warehouse.location("shards")))
    changes = _timed(rows, "compare_shards, nothing changed", lambda: compare_shards(shards, known, lambda paths: {}))
    assert not changes
    changes = _timed(rows, "compare_shards, all new", lambda: compare_shards(shards, {}, lambda paths: {}))
    assert len(changes.added) == size
    batches = _timed(rows, "batches_of", lambda: batches_of(shards, 3 * size // 100))
    assert len(batches) == 100
    _timed(rows, "pack_files", lambda: pack_files([(shard.path, shard.n_bytes) for shard in shards], 1000))
    return rows


def _loaded(shard: Shard) -> LoadedShard:
    return LoadedShard(shard.path, "ab" * 32, shard.n_bytes, shard.modified_ns, 1, 0, 1, 0)


def _table(folder: Path, size: int) -> Rows:
    """A table like ``documents``: a file for each shard."""
    table, content, rows = resolve(str(folder)), cast(Content | None, None), cast(Rows, {})
    for number in range(N_COMMITS):
        files = [_file(folder, number, place) for place in range(size // N_COMMITS)]
        last = _timed(rows, "last commit", lambda: commit_files(table, content, DOCUMENTS, files, _MADE, ()))  # noqa: B023 - called at once
        content = last
    delta = _timed(rows, "open_delta", lambda: open_delta(table))
    assert delta is not None
    newest = _timed(rows, "read_content", lambda: read_content(delta))
    _timed(rows, "check_files", lambda: check_files(table, delta, newest))
    added = _timed(rows, "changed_files, last commit", lambda: changed_files(table, newest.version - 1, newest.version))
    assert added is not None
    assert len(added.added) == size // N_COMMITS
    _timed(rows, "changed_files, all", lambda: changed_files(table, None, newest.version))
    shards = [_shard(commit, place) for commit in range(N_COMMITS) for place in range(size // N_COMMITS)]
    found = _timed(rows, "files_with_shards, all", lambda: files_with_shards(table, shards))
    assert (len(found.whole), len(found.mixed)) == (size, 0)
    _timed(rows, "files_between, one source", lambda: files_between(table, "source", ["web"]))
    assert len(_timed(rows, "commits_of, all", lambda: commits_of(delta))) == N_COMMITS
    return rows


def _shard(commit: int, place: int) -> str:
    return f"s3://bucket/corpus/web/{commit:04}/part-{place:06}.jsonl.zst"


def _file(folder: Path, commit: int, place: int) -> dict[str, Any]:
    ends = {"source": "web", "lang": "en", "shard": _shard(commit, place), "n_tokens": 5}
    folder.mkdir(parents=True, exist_ok=True)
    path = f"part-{uuid.uuid4()}.zstd.parquet"
    (folder / path).touch()
    stats = {"numRecords": 10_000, "minValues": ends, "maxValues": ends | {"lang": "zh", "n_tokens": 50_000}}
    return {"path": path, "n_bytes": 0, "n_records": 10_000, "stats": json.dumps(stats)}


if __name__ == "__main__":
    main()
