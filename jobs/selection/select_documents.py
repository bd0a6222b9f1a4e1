"""Which documents each arm takes, decided on keys and scores alone."""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.selection.budgeted_sample import Draw, take
from jobs.selection.budgets import Budget, control_budgets, language_budgets, reported_budgets, stratum
from jobs.selection.shrunken_density import SHRUNKEN, language_sums, with_shrunken_density
from pivot_udfs.arms import ARMS, PIVOT, Arm
from pivot_udfs.settings import Selection

_KEPT = ("shard", "record", "lang", "n_tokens", "pivot_density")


def select_documents(scores: DataFrame, selection: Selection) -> tuple[DataFrame, list[Budget]]:
    """The documents of all configured arms.

    Args:
        scores: the table ``document_scores``.
        selection: the rule, quotas and arms.

    Returns:
        shard, record, lang, n_tokens, pivot_density, and a boolean column for each arm: one row for each document that
        an arm takes; and the budgets.
    """
    languages = language_sums(scores)
    corpus = {row["lang"]: row["n_tokens"] for row in languages}
    arms = [ARMS[name] for name in selection.arms]
    by_rule = [ARMS[PIVOT], *(arm for arm in arms if arm.budget == "rule" and arm.name != PIVOT)]
    controls = [arm for arm in arms if arm.budget == "pivot_arm"]
    ranked = with_shrunken_density(scores, languages, selection.shrinkage_tokens)
    marked = _take_by_rule(ranked, by_rule, corpus, selection)
    budgets, pivot_arm = control_budgets(marked, controls) if controls else ({}, {})
    if controls:
        marked = take(marked, [_draw(arm, budgets[arm.name], selection) for arm in controls])
    documents = marked.select(*_KEPT, *selection.arms).where(reduce(or_, map(F.col, selection.arms)))
    return documents, reported_budgets(selection, corpus, pivot_arm)


def _take_by_rule(
    ranked: DataFrame, arms: Sequence[Arm], language_tokens: Mapping[str, int], selection: Selection
) -> DataFrame:
    if selection.rule == "threshold":
        dense = F.col(SHRUNKEN) >= selection.threshold
        return ranked.withColumns({arm.name: dense & _may_be_taken(arm, selection) for arm in arms})
    budgets = language_budgets(selection, language_tokens)
    return take(ranked, [_draw(arm, budgets, selection) for arm in arms])


def _draw(arm: Arm, budgets: Mapping[str, int], selection: Selection) -> Draw:
    value = 1 - F.col(SHRUNKEN) if arm.order == "density" else _uniform(arm.name, selection.seed)
    weight = F.lit(1) if arm.unit == "documents" else F.col("n_tokens")
    return Draw(arm.name, stratum(arm), value, weight, budgets, _may_be_taken(arm, selection))


def _may_be_taken(arm: Arm, selection: Selection) -> Column:
    return F.expr(arm.predicate(selection.bilingual_languages, selection.seed))


def _uniform(arm: str, seed: int) -> Column:
    """A uniform number in [0, 1) that depends only on the document's key, the arm and the seed."""
    hashed = F.xxhash64(F.lit(arm), F.lit(seed), F.col("source"), F.col("doc_id"))
    return F.shiftrightunsigned(hashed, 11) / F.lit(float(1 << 53))
