"""Documents and their scores in; ``datasets/<arm>`` out, one table an arm.

    spark-submit jobs/filter_documents.py --config conf/demo.toml [--set table.key=value] [--dry-run]

Only keys and scores are shuffled. The documents are read once: the chosen keys are broadcast to them, as many
ranges of shards at a time as keep a broadcast small, and workers write all arms in the same pass.
"""

import sys
from collections.abc import Sequence
from functools import partial, reduce

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from jobs.command_line import run_job
from jobs.delta_tables import Recipe
from jobs.select_documents import select_documents
from jobs.stage import Run, Stage
from pivot_udfs.filter_documents import split_into_arms
from pivot_udfs.schemas import DATASET

_KEYS_PER_BROADCAST = 10_000_000


def run(run: Run, recipe: Recipe) -> None:
    """Writes the dataset of every configured arm."""
    arms = run.settings.selection.arms
    documents = run.warehouse.read("documents", recipe.inputs["documents"])
    scores = run.warehouse.read("document_scores", recipe.inputs["document_scores"])
    with run.progress.watch(run.spark, "filter_documents", "datasets"):
        keys = select_documents(scores, run.settings.selection).persist(StorageLevel.MEMORY_AND_DISK)
        by_shard = _count_by_shard(keys, arms)
        key_counts = {row["shard"]: row["n_keys"] for row in by_shard}
        chosen = chosen_documents(documents, keys, key_counts, arms)
        names = [f"datasets/{arm}" for arm in arms]
        run.warehouse.write_from_workers(chosen, partial(split_into_arms, arms=arms), names, recipe)
        keys.unpersist()
    for arm in arms:
        n_docs, n_tokens = (sum(row[arm][what] or 0 for row in by_shard) for what in ("n_docs", "n_tokens"))
        run.progress.say("filter_documents", f"{arm}: {n_docs:,} documents, {n_tokens:,} tokens")


def chosen_documents(
    documents: DataFrame, keys: DataFrame, key_counts: dict[str, int], arms: Sequence[str]
) -> DataFrame:
    """The documents with a key, with its pivot_density and a column an arm; no document is shuffled."""
    wanted = keys.select("shard", "record", "pivot_density", *arms)
    joined = [
        documents.where(within).join(F.broadcast(wanted.where(within)), on=["shard", "record"], how="inner")
        for within in _shard_ranges(key_counts)
    ]
    return reduce(DataFrame.unionByName, joined).select(*DATASET.names, *arms)


def _count_by_shard(keys: DataFrame, arms: Sequence[str]) -> list[Row]:
    """n_keys of each shard, and of each arm its n_docs and n_tokens."""
    held = [
        F.struct(F.count_if(arm).alias("n_docs"), F.sum(F.when(F.col(arm), F.col("n_tokens"))).alias("n_tokens"))
        for arm in arms
    ]
    by_arm = [struct.alias(arm) for struct, arm in zip(held, arms, strict=True)]
    return keys.groupBy("shard").agg(F.count("*").alias("n_keys"), *by_arm).collect()


def _shard_ranges(key_counts: dict[str, int]) -> list[Column]:
    """Conditions that cut the shards into ranges with a broadcast's worth of keys; files are skipped by range."""
    starts, n_keys = [], _KEYS_PER_BROADCAST
    for shard, count in sorted(key_counts.items()):
        if n_keys + count > _KEYS_PER_BROADCAST:
            starts.append(shard)
            n_keys = 0
        n_keys += count
    column = F.col("shard")
    ends = [column < end for end in starts[1:]] + [F.lit(True)]
    return [(column >= start) & end for start, end in zip(starts, ends, strict=True)] or [F.lit(False)]


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
