"""What each arm holds, and selected documents as examples; for the report."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.framework.stage import Run
from jobs.report.content import Arm, Example
from pivot_udfs.settings import Selection
from pivot_udfs.tokenization.token_offsets import token_byte_spans
from pivot_udfs.write_report import mark_pivots

PASSAGE_TOKENS = 220
_LONGEST_EXAMPLE = 20_000  # tokens; examples are tokenized again on the driver
KEY = ("shard", "record")
"""What names one document, also where several have the same source and doc_id."""


def arm_members(run: Run) -> DataFrame:
    """The key columns, lang, n_tokens, pivot_density, arm: a row a document of an arm."""
    frames = [
        run.warehouse.read(f"datasets/{arm}").select(*KEY, "lang", "n_tokens", "pivot_density", F.lit(arm).alias("arm"))
        for arm in run.settings.selection.arms
    ]
    members = frames[0]
    for frame in frames[1:]:
        members = members.unionByName(frame)
    return members


def pivot_keys(members: DataFrame) -> DataFrame:
    """The key columns of the pivot arm's documents, and ``taken``, true."""
    return members.where(F.col("arm") == "pivot").select(*KEY).withColumn("taken", F.lit(True))


def read_arms(selection: Selection, members: DataFrame) -> tuple[Arm, ...]:
    """What each arm holds, in the order of ``selection.arms``."""
    joined = members.join(pivot_keys(members), on=list(KEY), how="left")
    rows = (
        joined.groupBy("arm", "lang")
        .agg(
            F.count("*").alias("n_docs"),
            F.sum("n_tokens").alias("n_tokens"),
            F.sum(F.col("n_tokens") * F.col("pivot_density")).alias("pivots"),
            F.count("taken").alias("in_pivot"),
        )
        .orderBy("arm", F.desc("n_tokens"), "lang")
        .collect()
    )
    return tuple(_arm(arm, [row for row in rows if row["arm"] == arm]) for arm in selection.arms)


def _arm(name: str, rows: list[Any]) -> Arm:
    n_tokens = sum(row["n_tokens"] for row in rows)
    return Arm(
        name=name,
        n_docs=sum(row["n_docs"] for row in rows),
        n_tokens=n_tokens,
        density=sum(row["pivots"] for row in rows) / max(n_tokens, 1),
        language_tokens={row["lang"]: row["n_tokens"] for row in rows},
        n_in_pivot=sum(row["in_pivot"] for row in rows),
    )


def read_examples(run: Run, scored: DataFrame, languages: Sequence[str]) -> tuple[Example, ...]:
    """The densest selected documents, by turns of the languages in their order here."""
    best = Window.partitionBy("lang").orderBy(F.desc("shrunken_density"), "source", "doc_id")
    n_examples = run.settings.report.n_examples
    taken = scored.where(F.col("taken") & (F.col("n_tokens") <= _LONGEST_EXAMPLE))
    ranked = taken.withColumn("place", F.row_number().over(best)).where(F.col("place") <= n_examples)
    turn = F.array_position(F.array(*map(F.lit, languages)), F.col("lang"))
    keys = ranked.where(turn > 0).orderBy("place", turn).select(*KEY).limit(n_examples).collect()
    if not keys:
        return ()
    wanted = run.spark.createDataFrame([tuple(row) for row in keys], scored.select(*KEY).schema)
    rows = run.warehouse.read("datasets/pivot").join(F.broadcast(wanted), on=list(KEY), how="inner").collect()
    by_key = {tuple(row[name] for name in KEY): row for row in rows}
    pivots = {row["token_id"] for row in run.warehouse.read("pivots").select("token_id").collect()}
    return tuple(_example(run, by_key[tuple(key)], pivots) for key in keys)


def _example(run: Run, row: Any, pivots: set[int]) -> Example:
    starts, ends = token_byte_spans(run.tokenizer, row["text"])
    is_pivot = np.array([token_id in pivots for token_id in row["token_ids"]], dtype=bool)
    passage = mark_pivots(row["text"], starts, ends, is_pivot, PASSAGE_TOKENS)
    return Example(row["source"], row["doc_id"], row["lang"], row["n_tokens"], row["pivot_density"], passage)
