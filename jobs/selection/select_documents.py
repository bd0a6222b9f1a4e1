"""Which documents each arm takes, decided on keys and scores alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.selection.budgeted_sample import Cut, Draw, take
from jobs.selection.budgets import Budget, control_budgets, language_budgets, reported_budgets, stratum
from jobs.selection.shrunken_density import SHRUNKEN, language_sums, with_shrunken_density
from pivot_udfs.arms import ARMS, PIVOT, Arm
from pivot_udfs.settings import Selection

_KEPT = ("shard", "record", "lang", "n_tokens", "pivot_density", SHRUNKEN)


@dataclass(frozen=True)
class Selected:
    """What the arms take, and why."""

    documents: DataFrame
    """shard, record, lang, n_tokens, pivot_density, shrunken_density, and a boolean column for each arm: one row for
    each document that an arm takes."""
    budgets: list[Budget]
    cuts: list[Cut]
    """Where each arm ends in each stratum."""


def select_documents(scores: DataFrame, selection: Selection) -> Selected:
    """The documents of all configured arms.

    Args:
        scores: the table ``document_scores``.
        selection: the rule, quotas and arms.
    """
    languages = language_sums(scores)
    corpus = {row["lang"]: row["n_tokens"] for row in languages}
    arms = [ARMS[name] for name in selection.arms]
    by_rule = [ARMS[PIVOT], *(arm for arm in arms if arm.budget == "rule" and arm.name != PIVOT)]
    controls = [arm for arm in arms if arm.budget == "pivot_arm"]
    ranked = with_shrunken_density(scores, languages, selection.shrinkage_tokens)
    marked, cuts = _take_by_rule(ranked, by_rule, corpus, selection)
    budgets, pivot_arm = control_budgets(marked, controls) if controls else ({}, {})
    if controls:
        marked, of_controls = take(marked, [_draw(arm, budgets[arm.name], selection) for arm in controls])
        cuts = [*cuts, *of_controls]
    documents = marked.select(*_KEPT, *selection.arms).where(reduce(or_, map(F.col, selection.arms)))
    taken_cuts = [cut for cut in cuts if cut.arm in selection.arms]
    return Selected(documents, reported_budgets(selection, corpus, pivot_arm), taken_cuts)


def _take_by_rule(
    ranked: DataFrame, arms: Sequence[Arm], language_tokens: Mapping[str, int], selection: Selection
) -> tuple[DataFrame, list[Cut]]:
    if selection.rule == "threshold":
        dense = F.col(SHRUNKEN) >= selection.threshold
        cuts = [Cut(arm.name, lang, value=1 - selection.threshold) for arm in arms for lang in language_tokens]
        return ranked.withColumns({arm.name: dense & _may_be_taken(arm, selection) for arm in arms}), cuts
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
