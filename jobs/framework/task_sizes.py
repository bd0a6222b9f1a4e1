"""How work is divided into tasks: large ones, so that files and shuffled rows are few, but enough for all cores."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from heapq import heapreplace
from itertools import chain

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from pivot_udfs.storage.typed_columns import schema_of

TASK_BYTES = 1 << 30
"""Bytes of stored input that one task reads: a table of 5 TB is read by about 5,000 tasks and gives as many files."""
_TASKS_PER_CORE = 2
_FILES = schema_of({"file": pa.string(), "sign": pa.int64()})
"""Of ``frame_of_files``."""
SHORT_COLUMNS_BYTES = 8 << 30
"""Bytes of files whose short columns the driver reads itself, which takes about 0.3 core-seconds a GB."""
_THREADS = 4
"""Files that the driver reads at a time; each thread has a batch in memory."""


def least_tasks(session: SparkSession) -> int:
    """The smallest number of tasks for a stage that has enough work for them.

    Two for each core, and on a cluster no fewer than ``spark.sql.shuffle.partitions``: under dynamic allocation few of
    the cores are there when a job starts.
    """
    partitions, master = int(session.conf.get("spark.sql.shuffle.partitions") or 0), session.sparkContext.master or ""
    is_local = master == "local" or master.startswith("local[")
    return tasks_for(is_local, session.sparkContext.defaultParallelism, partitions)


def tasks_for(is_local: bool, n_cores: int, shuffle_partitions: int) -> int:
    """``least_tasks`` for a session with these cores and settings."""
    wanted = _TASKS_PER_CORE * n_cores
    return wanted if is_local else max(wanted, shuffle_partitions)


def pack_files(sizes: Sequence[tuple[str, int]], n_tasks: int) -> tuple[tuple[str, ...], ...]:
    """Divides files (path, bytes) into at most ``n_tasks`` groups of about the same size, none empty, paths sorted.

    The largest file is assigned first, each to the task with the fewest bytes. A file is never divided, since the
    records of a shard are numbered in order: a file far larger than the others keeps one core busy alone, so shards
    should have at most a few GB.
    """
    groups: list[list[str]] = [[] for _ in range(min(n_tasks, len(sizes)))]
    loads = [(0, number) for number in range(len(groups))]  # a heap of (bytes, number of the task)
    for path, n_bytes in sorted(sizes, key=lambda shard: (-shard[1], shard[0])):
        load, smallest = loads[0]
        groups[smallest].append(path)
        heapreplace(loads, (load + n_bytes + 1, smallest))
    return tuple(tuple(sorted(group)) for group in groups)


def tasks_of_files(session: SparkSession, sizes: Mapping[str, int]) -> tuple[tuple[str, ...], ...]:
    """Divides files (bytes by path) into tasks of about the same size, up to ``TASK_BYTES`` but for larger files."""
    return pack_files(list(sizes.items()), max(least_tasks(session), sum(sizes.values()) // TASK_BYTES + 1))


def frame_of_files(
    session: SparkSession, added: Mapping[str, int], removed: Mapping[str, int] | None = None
) -> DataFrame:
    """Rows of file (path) and sign (1: added, -1: removed), the files of each task in one partition."""
    signed = [(added, 1), (removed or {}, -1)]
    tasks = [(files, sign) for sizes, sign in signed if sizes for files in tasks_of_files(session, sizes)]
    rows = [(task, file, sign) for task, (files, sign) in enumerate(tasks) for file in files]
    frame = session.createDataFrame(rows, "task int, file string, sign long")
    return frame.repartitionById(max(1, len(tasks)), "task").select("file", "sign")


def map_files(
    session: SparkSession,
    sizes: Mapping[str, int],
    step: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]],
    schema: pa.Schema,
) -> DataFrame:
    """The rows (in ``schema``) that a step makes of files, see ``frame_of_files``."""
    return frame_of_files(session, sizes).mapInArrow(step, from_arrow_schema(schema))


def read_mapped(
    session: SparkSession,
    sizes: Mapping[str, int],
    step: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]],
    schema: pa.Schema,
    on_driver: int = TASK_BYTES,
) -> pa.Table:
    """The rows of ``map_files``, without Spark where the files have up to ``on_driver`` bytes."""
    if sum(sizes.values()) > on_driver:
        return map_files(session, sizes, step, schema).toArrow()
    files = (pa.RecordBatch.from_pydict({"file": [file], "sign": [1]}, _FILES) for file in sorted(sizes))
    with ThreadPoolExecutor(_THREADS) as threads:
        return pa.Table.from_batches(chain(*threads.map(lambda file: [*step(iter([file]))], files)), schema)
