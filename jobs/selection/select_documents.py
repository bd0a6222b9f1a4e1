"""Which documents each arm takes, decided on keys and scores alone; see ``take_within_budgets`` for how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.selection.budgeted_sample import Draw, local_frame, take
from pivot_udfs.filter_documents import (
    LENGTH_BINS_PER_OCTAVE,
    Budget,
    arm_budgets,
    language_budgets,
    shrunken_density,
)
from pivot_udfs.settings import Selection

_MEANS = pa.schema({"lang": pa.string(), "language_density": pa.float64()})
_SHRUNKEN = "shrunken_density"


@dataclass(frozen=True)
class Selected:
    """What the arms take, and what they were to take."""

    documents: DataFrame
    """shard, record, lang, n_tokens, pivot_density, and for each arm a boolean column of its name: a row for each
    document that an arm takes."""
    budgets: list[Budget]


def select_documents(scores: DataFrame, selection: Selection) -> Selected:
    """The documents of all configured arms.

    Args:
        scores: the table ``document_scores``.
        selection: the rule, quotas and arms.
    """
    languages = language_sums(scores)
    marked = _with_pivot_arm(scores, languages, selection)
    controls = [arm for arm in selection.arms if arm != "pivot"]
    shapes = _pivot_shapes(marked) if controls else []
    by_language = _by_language(shapes)
    if controls:
        marked = take(marked, _control_draws(selection, controls, shapes, by_language))
    kept = ("shard", "record", "lang", "n_tokens", "pivot_density")
    documents = marked.select(*kept, *selection.arms).where(reduce(or_, map(F.col, selection.arms)))
    corpus = {row["lang"]: row["n_tokens"] for row in languages}
    return Selected(documents, arm_budgets(selection, corpus, by_language))


def _with_pivot_arm(scores: DataFrame, languages: list[Any], selection: Selection) -> DataFrame:
    ranked = with_shrunken_density(scores, languages, selection.shrinkage_tokens)
    if selection.rule == "threshold":
        return ranked.withColumn("pivot", F.col(_SHRUNKEN) >= selection.threshold)
    budgets = language_budgets(selection, {row["lang"]: row["n_tokens"] for row in languages})
    return take(ranked, [Draw("pivot", F.col("lang"), 1 - F.col(_SHRUNKEN), F.col("n_tokens"), budgets)])


def language_sums(scores: DataFrame) -> list[Any]:
    """lang, n_tokens, n_pivot_tokens: a row a language."""
    sums = F.sum("n_tokens").alias("n_tokens"), F.sum("n_pivot_tokens").alias("n_pivot_tokens")
    return scores.groupBy("lang").agg(*sums).collect()


def with_shrunken_density(scores: DataFrame, languages: list[Any], shrinkage_tokens: int) -> DataFrame:
    """Adds ``shrunken_density``, by which documents are ranked.

    Args:
        scores: the table ``document_scores``.
        languages: its ``language_sums``.
        shrinkage_tokens: see ``pivot_udfs.filter_documents``.
    """
    densities = [(row["lang"], row["n_pivot_tokens"] / max(row["n_tokens"], 1)) for row in languages]
    means = local_frame(scores.sparkSession, densities, _MEANS)
    # A document without tokens has no density of its own; without shrinkage either, it ranks last.
    n_tokens = F.greatest("n_tokens", F.lit(0 if shrinkage_tokens else 1))
    shrunken = shrunken_density(F.col("n_pivot_tokens"), n_tokens, F.col("language_density"), shrinkage_tokens)
    return scores.join(F.broadcast(means), on="lang", how="inner").withColumn(_SHRUNKEN, shrunken)


def _shape() -> Column:
    """Language and bin of length."""
    return F.concat_ws(" ", "lang", F.floor(F.log2(F.col("n_tokens") + 1) * LENGTH_BINS_PER_OCTAVE))


def _pivot_shapes(marked: DataFrame) -> list[Any]:
    """lang, shape, n_docs, n_tokens of the pivot arm."""
    counts = F.count("*").alias("n_docs"), F.sum("n_tokens").alias("n_tokens")
    return marked.where("pivot").groupBy("lang", _shape().alias("shape")).agg(*counts).collect()


def _by_language(shapes: list[Any]) -> dict[str, tuple[int, int]]:
    """(documents, tokens) of each language."""
    sums: dict[str, tuple[int, int]] = {}
    for row in shapes:
        n_docs, n_tokens = sums.get(row["lang"], (0, 0))
        sums[row["lang"]] = n_docs + row["n_docs"], n_tokens + row["n_tokens"]
    return sums


def _control_draws(
    selection: Selection, controls: Sequence[str], shapes: list[Any], pivot_arm: Mapping[str, tuple[int, int]]
) -> list[Draw]:
    """The control arms' draws, within what the pivot arm holds of each language and bin of length."""
    by_language = {lang: n_tokens for lang, (_, n_tokens) in pivot_arm.items()}
    n_tokens, seed = F.col("n_tokens"), selection.seed
    bilingual = F.col("lang").isin(selection.bilingual_languages)
    draws = {
        "random": Draw("random", F.col("lang"), _draw("random", seed), n_tokens, by_language),
        "matched": Draw(
            "matched", _shape(), _draw("matched", seed), F.lit(1), {row["shape"]: row["n_docs"] for row in shapes}
        ),
        "parallel": Draw(
            "parallel", F.lit("all"), _draw("parallel", seed), n_tokens, {"all": sum(by_language.values())}, bilingual
        ),
    }
    return [draws[arm] for arm in controls]


def _draw(arm: str, seed: int) -> Column:
    """A uniform number in [0, 1) that depends on nothing but the document's key, the arm and the seed."""
    hashed = F.xxhash64(F.lit(arm), F.lit(seed), F.col("source"), F.col("doc_id"))
    return F.shiftrightunsigned(hashed, 11) / F.lit(float(1 << 53))
