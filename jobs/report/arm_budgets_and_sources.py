"""What each arm holds, its token budget by language, and the tokens of each source in the arms."""

from collections.abc import Mapping, Sequence
from functools import reduce

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from jobs.framework.stage import Run
from jobs.report.report_types import ArmContent
from jobs.selection.budgets import Budget, Held, reported_budgets, taken
from pivot_udfs.arms import ARMS, PIVOT
from pivot_udfs.settings import Selection

N_SOURCES = 20
KEY = ("shard", "record")
"""Identifies a document, also where several have the same source and doc_id."""


def arm_members(run: Run) -> DataFrame:
    """shard, record, source, lang, n_tokens, pivot_density, arm: one row for each document of each arm."""
    columns = (*KEY, "source", "lang", "n_tokens", "pivot_density")
    frames = [
        run.warehouse.read(f"datasets/{arm}").select(*columns, F.lit(arm).alias("arm"))
        for arm in run.settings.selection.arms
    ]
    return reduce(DataFrame.unionByName, frames)


def pivot_keys(members: DataFrame) -> DataFrame:
    """shard, record and ``taken`` (true) of the pivot arm's documents."""
    return members.where(F.col("arm") == PIVOT).select(*KEY).withColumn("taken", F.lit(True))


def read_arms(
    selection: Selection,
    members: DataFrame,
    language_tokens: Mapping[str, int],
    left_out: Mapping[str, tuple[int, int]],
) -> tuple[ArmContent, ...]:
    """What each arm holds and its budgets, in the order of ``selection.arms``.

    Args:
        selection: the rule and the arms.
        members: from ``arm_members``.
        language_tokens: of the corpus, by language.
        left_out: from ``unmatched``.
    """
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
    by_arm = {arm: [row for row in rows if row["arm"] == arm] for arm in selection.arms}
    held = {arm: {row["lang"]: (row["n_docs"], row["n_tokens"]) for row in of_arm} for arm, of_arm in by_arm.items()}
    budgets = reported_budgets(selection, language_tokens, held) if PIVOT in by_arm else []
    return tuple(_arm(arm, of_arm, held[arm], budgets, left_out.get(arm)) for arm, of_arm in by_arm.items())


def _arm(
    name: str, rows: Sequence[Row], held: Held, budgets: Sequence[Budget], left_out: tuple[int, int] | None
) -> ArmContent:
    n_tokens = sum(row["n_tokens"] for row in rows)
    return ArmContent(
        name=name,
        title=ARMS[name].title,
        description=ARMS[name].description,
        n_docs=sum(row["n_docs"] for row in rows),
        n_tokens=n_tokens,
        density=sum(row["pivots"] for row in rows) / max(n_tokens, 1),
        language_tokens={lang: tokens for lang, (_, tokens) in held.items()},
        n_in_pivot=sum(row["in_pivot"] for row in rows),
        budgets=tuple((budget, taken(budget, held)) for budget in budgets if budget.arm == name),
        unmatched=left_out or (0, 0),
    )


def read_source_tokens(scored: DataFrame, members: DataFrame, arms: Sequence[str]) -> tuple[Row, ...]:
    """Tokens of the N_SOURCES largest sources, in the corpus (``document_scores``) and in each arm's ``members``."""
    corpus = scored.select("source", "n_tokens", F.lit("").alias("arm"))
    both = corpus.unionByName(members.select("source", "n_tokens", "arm"))
    of_arm = {arm: F.when(F.col("arm") == arm, F.col("n_tokens")).otherwise(0) for arm in ("", *arms)}
    sums = [F.sum(n_tokens).alias(arm or "all") for arm, n_tokens in of_arm.items()]
    return tuple(both.groupBy("source").agg(*sums).orderBy(F.desc("all"), "source").limit(N_SOURCES).collect())
