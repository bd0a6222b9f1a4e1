"""Documents and their scores in; ``datasets/<arm>`` out, one table an arm.

    spark-submit jobs/filter_documents.py --config conf/demo.toml [--set table.key=value] [--dry-run]

Only keys and scores are shuffled. The documents are read once: the chosen keys are broadcast to them, as many
ranges of shards at a time as keep a broadcast small, and the chosen documents are kept on the executors' disks
while each arm is written.
"""

import sys
from collections.abc import Sequence

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.command_line import run_job
from jobs.delta_tables import Recipe
from jobs.select_documents import select_documents
from jobs.stage import Run, Stage
from pivot_udfs.schemas import DATASET

_KEYS_PER_BROADCAST = 10_000_000


def run(run: Run, recipe: Recipe) -> None:
    """Writes the dataset of every configured arm."""
    selection = run.settings.selection
    documents = run.warehouse.read("documents", recipe.inputs["documents"])
    scores = run.warehouse.read("document_scores", recipe.inputs["document_scores"])
    keys = select_documents(scores, selection).persist(StorageLevel.MEMORY_AND_DISK)
    with run.progress.watch(run.spark, "filter_documents", "datasets"):
        chosen = chosen_documents(documents, keys)
        if len(selection.arms) > 1:
            chosen = chosen.persist(StorageLevel.DISK_ONLY)
        for arm in selection.arms:
            of_arm = chosen.where(F.array_contains("arms", arm))
            run.warehouse.write(of_arm, f"datasets/{arm}", recipe)
        chosen.unpersist()
    keys.unpersist()
    _say_what_arms_hold(run)


def chosen_documents(documents: DataFrame, keys: DataFrame) -> DataFrame:
    """The documents with a key, with its pivot_density and arms; no document is shuffled."""
    joined = [
        documents.where(within).join(F.broadcast(keys.where(within)), on=["shard", "record"], how="inner")
        for within in _shard_ranges(keys)
    ]
    chosen = joined[0]
    for frame in joined[1:]:
        chosen = chosen.unionByName(frame)
    return chosen.select(*DATASET.names, "arms")


def _shard_ranges(keys: DataFrame) -> list[Column]:
    """Conditions that cut the shards into ranges with a broadcast's worth of keys; files are skipped by range."""
    counts = keys.groupBy("shard").count().orderBy("shard").collect()
    starts, n_keys = [], _KEYS_PER_BROADCAST
    for row in counts:
        if n_keys + row["count"] > _KEYS_PER_BROADCAST:
            starts.append(row["shard"])
            n_keys = 0
        n_keys += row["count"]
    shard = F.col("shard")
    ends = [shard < end for end in starts[1:]] + [F.lit(True)]
    return [(shard >= start) & end for start, end in zip(starts, ends, strict=True)] or [F.lit(False)]


def _say_what_arms_hold(run: Run) -> None:
    for arm in run.settings.selection.arms:
        table = run.warehouse.read(f"datasets/{arm}")
        row = table.agg(F.count("*").alias("n_docs"), F.coalesce(F.sum("n_tokens"), F.lit(0)).alias("n_tokens")).first()
        assert row is not None  # noqa: S101
        run.progress.say("filter_documents", f"{arm}: {row['n_docs']:,} documents, {row['n_tokens']:,} tokens")


STAGE = Stage(
    name="filter_documents",
    reads=("documents", "document_scores"),
    writes=lambda settings: tuple(f"datasets/{arm}" for arm in settings.selection.arms),
    sections=("selection",),
    files=(),
    run=run,
)


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    return run_job(STAGE.name, "Writes the pivot-rich dataset and its controls.", [STAGE], argv)


if __name__ == "__main__":
    sys.exit(main())
