"""Which documents each arm takes, decided on keys and scores alone.

``take`` is exact and needs no global sort: documents fall into bins of their rank, whole bins are taken while they
fit, and only the one bin in which the budget ends is ordered.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pivot_udfs.filter_documents import LENGTH_BINS_PER_OCTAVE, language_budgets, shrunken_density
from pivot_udfs.settings import Selection

_BINS = 4096
_KEY = ("source", "doc_id", "shard", "record")


def select_documents(scores: DataFrame, selection: Selection) -> DataFrame:
    """The documents of all configured arms.

    Args:
        scores: the table ``document_scores``.
        selection: the rule, quotas and arms.

    Returns:
        shard, record, pivot_density, arms (array of string): a row for each document that an arm takes.
    """
    pivot = _pivot_arm(scores, selection)
    makers = {
        "pivot": lambda: pivot,
        "random": lambda: _random_arm(scores, pivot, selection.seed),
        "matched": lambda: _matched_arm(scores, pivot, selection.seed),
        "parallel": lambda: _parallel_arm(scores, pivot, selection),
    }
    chosen = [makers[arm]().select(*_KEY, "pivot_density", F.lit(arm).alias("arm")) for arm in selection.arms]
    union = chosen[0]
    for frame in chosen[1:]:
        union = union.unionByName(frame)
    return union.groupBy("shard", "record", "pivot_density").agg(F.sort_array(F.collect_list("arm")).alias("arms"))


def _pivot_arm(scores: DataFrame, selection: Selection) -> DataFrame:
    # A document without tokens has no density of its own; without shrinkage either, it ranks last.
    n_tokens = F.greatest("n_tokens", F.lit(0 if selection.shrinkage_tokens else 1))
    ranked = scores.join(F.broadcast(_language_densities(scores)), on="lang", how="inner").withColumn(
        "shrunken",
        shrunken_density(F.col("n_pivot_tokens"), n_tokens, F.col("language_density"), selection.shrinkage_tokens),
    )
    if selection.rule == "threshold":
        return ranked.where(F.col("shrunken") >= selection.threshold)
    tokens = {row["lang"]: row["n"] for row in scores.groupBy("lang").agg(F.sum("n_tokens").alias("n")).collect()}
    return take(ranked, ["lang"], 1 - F.col("shrunken"), "n_tokens", _budget_frame(scores, selection, tokens))


def _language_densities(scores: DataFrame) -> DataFrame:
    sums = scores.groupBy("lang").agg(F.sum("n_pivot_tokens").alias("pivots"), F.sum("n_tokens").alias("tokens"))
    return sums.select("lang", (F.col("pivots") / F.greatest("tokens", F.lit(1))).alias("language_density"))


def _budget_frame(scores: DataFrame, selection: Selection, tokens: dict[str, int]) -> DataFrame:
    rows = sorted(language_budgets(selection, tokens).items())
    return scores.sparkSession.createDataFrame(rows, "lang string, budget long")


def _random_arm(scores: DataFrame, pivot: DataFrame, seed: int) -> DataFrame:
    budgets = pivot.groupBy("lang").agg(F.sum("n_tokens").alias("budget"))
    return take(scores, ["lang"], _draw("random", seed), "n_tokens", budgets)


def _matched_arm(scores: DataFrame, pivot: DataFrame, seed: int) -> DataFrame:
    """As many documents as the pivot arm has, in every language and bin of length."""
    length = F.floor(F.log2(F.col("n_tokens") + 1) * LENGTH_BINS_PER_OCTAVE)
    counts = pivot.groupBy("lang", length.alias("length")).agg(F.count("*").alias("budget"))
    candidates = scores.withColumn("length", length).withColumn("one", F.lit(1))
    return take(candidates, ["lang", "length"], _draw("matched", seed), "one", counts)


def _parallel_arm(scores: DataFrame, pivot: DataFrame, selection: Selection) -> DataFrame:
    bilingual = scores.where(F.col("lang").isin(selection.bilingual_languages)).withColumn("all", F.lit(0))
    budget = pivot.agg(F.sum("n_tokens").alias("budget")).withColumn("all", F.lit(0))
    return take(bilingual, ["all"], _draw("parallel", selection.seed), "n_tokens", budget)


def _draw(arm: str, seed: int) -> Column:
    """A uniform number in [0, 1) that depends on nothing but the document's key, the arm and the seed."""
    hashed = F.xxhash64(F.lit(arm), F.lit(seed), F.col("source"), F.col("doc_id"))
    return F.shiftrightunsigned(hashed, 11) / F.lit(float(1 << 53))


def take(frame: DataFrame, strata: Sequence[str], value: Column, weight: str, budgets: DataFrame) -> DataFrame:
    """The first rows of each stratum, by ascending value, while their weights add up to no more than its budget.

    Args:
        frame: has the key columns, the strata and the weight.
        strata: columns; rows of strata without a budget are not taken.
        value: in [0, 1]; ties are broken by the key.
        weight: a whole-number column.
        budgets: the strata columns and ``budget``.
    """
    ranked = frame.withColumn("_value", value).withColumn("_bin", F.floor(F.col("_value") * _BINS))
    bins = ranked.groupBy(*strata, "_bin").agg(F.sum(weight).alias("_in_bin"))
    earlier = Window.partitionBy(*strata).orderBy("_bin").rowsBetween(Window.unboundedPreceding, -1)
    before = F.coalesce(F.sum("_in_bin").over(earlier), F.lit(0))
    open_bins = bins.withColumn("_before", before).join(budgets, on=list(strata), how="inner")
    joined = ranked.join(open_bins.where(F.col("_before") < F.col("budget")), on=[*strata, "_bin"], how="inner")
    fits = F.col("_before") + F.col("_in_bin") <= F.col("budget")
    upto = Window.partitionBy(*strata).orderBy("_value", *_KEY).rowsBetween(Window.unboundedPreceding, 0)
    last = joined.where(~fits).withColumn("_upto", F.sum(weight).over(upto))
    last = last.where(F.col("_before") + F.col("_upto") <= F.col("budget"))
    return joined.where(fits).select(*frame.columns).unionByName(last.select(*frame.columns))
