"""How work is divided into tasks: large ones, so that files and shuffled rows are few, but enough for all cores."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pyspark.sql import DataFrame, SparkSession

from pivot_udfs.shards.assign_files import pack_files

TASK_BYTES = 1 << 30
"""Bytes of stored input that one task reads: a table of 5 TB is read by about 5,000 tasks and gives as many files."""
_TASKS_PER_CORE = 2
_SPLIT_BYTES = "spark.sql.files.maxPartitionBytes"
_LEAST_SPLITS = "spark.sql.files.minPartitionNum"


def least_tasks(session: SparkSession) -> int:
    """The smallest number of tasks for a stage that has enough work for them.

    Two for each core, and on a cluster no fewer than ``spark.sql.shuffle.partitions``: under dynamic allocation few of
    the cores are there when a job starts.
    """
    partitions = int(session.conf.get("spark.sql.shuffle.partitions") or 0)
    return tasks_for(_is_local(session), session.sparkContext.defaultParallelism, partitions)


def tasks_for(is_local: bool, n_cores: int, shuffle_partitions: int) -> int:
    """``least_tasks`` for a session with these cores and settings."""
    wanted = _TASKS_PER_CORE * n_cores
    return wanted if is_local else max(wanted, shuffle_partitions)


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


@contextmanager
def large_splits(session: SparkSession, n_bytes: int = TASK_BYTES) -> Iterator[None]:
    """Tables read inside the ``with`` block are read in splits of up to ``n_bytes`` of stored files.

    Spark makes smaller splits where there would be fewer than ``least_tasks`` (in local mode, than cores). A key that
    the job's own configuration sets is kept.
    """
    given = session.sparkContext.getConf()
    wanted = {_SPLIT_BYTES: n_bytes} | ({} if _is_local(session) else {_LEAST_SPLITS: least_tasks(session)})
    ours = {key: value for key, value in wanted.items() if not given.contains(key)}
    before: dict[str, str | None] = {key: session.conf.get(key, None) for key in ours}
    try:
        for key, value in ours.items():
            session.conf.set(key, str(value))
        yield
    finally:
        for key, old in before.items():
            if old is None:
                session.conf.unset(key)
            else:
                session.conf.set(key, old)


def _is_local(session: SparkSession) -> bool:
    master = session.sparkContext.master or ""
    return master == "local" or master.startswith("local[")
