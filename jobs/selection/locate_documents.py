"""In which file of ``documents`` each chosen document lies, so that workers can take it from there.

Only the chosen keys are shuffled, each to the task that reads its file. A worker holds the keys of one file at a time;
Spark sorts a task's keys, on disk where there are many. The driver receives one row for each file and shard, and
broadcasts them. A file is not divided among tasks. Where the record ranges of a shard overlap between files, a key goes
to each file that may hold its document.
"""

from collections.abc import Mapping
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.framework.task_sizes import map_files, tasks_of_files
from pivot_udfs.filter_documents import PLACES, record_ranges
from pivot_udfs.storage.typed_columns import pylist


def files_of(session: SparkSession, folder: str, sizes: Mapping[str, int]) -> pa.Table:
    """The records in files of ``documents`` (``sizes``: bytes by path), one row for each file and shard.

    Columns: file, n_bytes, shard, first, last (record numbers of its rows).
    """
    step = partial(record_ranges, folder=folder)
    places = map_files(session, sizes, step, PLACES).toArrow()
    n_bytes = [sizes[file] for file in pylist(places.column("file"))]
    return places.append_column("n_bytes", pa.array(n_bytes, pa.int64()))


def with_files(keys: DataFrame, files: pa.Table) -> DataFrame:
    """Adds the file that holds each document (shard, record) by ``files_of``; a task's keys are one sorted partition.

    One row for each file that may hold the document; ``file`` is empty where there is none.
    """
    session = keys.sparkSession
    n_bytes = dict(zip(pylist(files.column("file")), pylist(files.column("n_bytes")), strict=True))
    tasks = tasks_of_files(session, n_bytes)
    task_of = {file: task for task, group in enumerate(tasks) for file in group}
    numbers = pa.array([task_of[file] for file in pylist(files.column("file"))], pa.int32())
    places = session.createDataFrame(files.drop_columns(["n_bytes"]).append_column("task", numbers))
    holds = F.col("record").between(F.col("first"), F.col("last"))
    placed = keys.join(
        F.broadcast(places.withColumnRenamed("shard", "_shard")), (F.col("shard") == F.col("_shard")) & holds, "left"
    )
    located = placed.withColumns({"task": F.coalesce("task", F.lit(0)), "file": F.coalesce("file", F.lit(""))})
    by_task = located.repartitionById(max(1, len(tasks)), "task").sortWithinPartitions("file")
    return by_task.select("file", *keys.columns)
