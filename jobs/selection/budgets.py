"""How much each arm takes: its budgets by stratum, and how well the documents it found fill them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pivot_udfs.arms import ARMS, PIVOT, Arm
from pivot_udfs.settings import Selection

ALL = "all"
"""The stratum of an arm that has one only."""
_SHORT = 0.01
"""An arm that leaves more than this share of a budget unfilled is warned of."""
Held = Mapping[str, tuple[int, int]]
"""(documents, tokens) of one arm by language."""


@dataclass(frozen=True)
class Budget:
    """How much an arm is to take of a language, for the log and the report."""

    arm: str
    lang: str
    """``all`` for an arm whose strata are not within languages."""
    unit: str
    """``tokens`` or ``documents``."""
    amount: int


def stratum(arm: Arm) -> Column:
    """The stratum of each document, a string: the values of ``arm.stratum`` with a slash between them."""
    return F.concat_ws("/", *map(F.expr, arm.stratum)) if arm.stratum else F.lit(ALL)


def language_budgets(selection: Selection, language_tokens: Mapping[str, int]) -> dict[str, int]:
    """Tokens to take of each language under the rules ``top_share`` and ``token_budget``.

    A quota that a language cannot fill, or that the corpus lacks, stays unfilled: the others do not grow, so that the
    language mix is never another.
    """
    if selection.rule == "top_share":
        return {language: int(selection.share * n_tokens) for language, n_tokens in language_tokens.items()}
    total = sum(language_tokens.values())
    quotas = selection.language_quotas or {lang: n / total for lang, n in language_tokens.items()}
    return {lang: int(selection.tokens * quotas.get(lang, 0.0)) for lang in {**language_tokens, **quotas}}


def control_budgets(marked: DataFrame, arms: Sequence[Arm]) -> dict[str, Counter[str]]:
    """What the pivot arm holds, by arm, of each of its strata, in its unit.

    Args:
        marked: ``document_scores`` with ``shrunken_density`` and a boolean column ``pivot``.
        arms: the controls.
    """
    of_arms = F.array(*(F.struct(F.lit(arm.name).alias("arm"), stratum(arm).alias("stratum")) for arm in arms))
    counts = F.count("*").alias("n_docs"), F.sum("n_tokens").alias("n_tokens")
    pivot = marked.where(PIVOT).select("n_tokens", F.explode(of_arms).alias("of"))
    budgets: dict[str, Counter[str]] = {arm.name: Counter() for arm in arms}
    for row in pivot.groupBy("of.arm", "of.stratum").agg(*counts).collect():
        budgets[row["arm"]][row["stratum"]] += _in_unit(ARMS[row["arm"]].unit, (row["n_docs"], row["n_tokens"]))
    return budgets


def reported_budgets(selection: Selection, language_tokens: Mapping[str, int], pivot_arm: Held) -> list[Budget]:
    """The budgets of the configured arms by language, or in all for arms whose strata are not within languages.

    Args:
        selection: the rule and the arms; the rule ``threshold`` sets no budgets.
        language_tokens: of the corpus, by language.
        pivot_arm: what the pivot arm holds.
    """
    by_rule = {} if selection.rule == "threshold" else language_budgets(selection, language_tokens)
    budgets = []
    for arm in (ARMS[name] for name in selection.arms):
        held = {lang: _in_unit(arm.unit, counts) for lang, counts in pivot_arm.items()}
        amounts = by_rule if arm.budget == "rule" else held if arm.by_language else {ALL: sum(held.values())}
        budgets += [Budget(arm.name, lang, arm.unit, amount) for lang, amount in sorted(amounts.items())]
    return budgets


def describe_arms(held: Mapping[str, Held], budgets: Sequence[Budget]) -> list[str]:
    """Log lines: what each arm holds, and how much of each budget was taken, with a warning where much is missing.

    Args:
        held: by arm.
        budgets: from ``reported_budgets``.
    """
    lines = []
    for arm, by_language in held.items():
        n_docs, n_tokens = total(by_language)
        lines.append(f"{arm}: {n_docs:,} documents, {n_tokens:,} tokens")
        lines += [_describe_budget(budget, by_language) for budget in budgets if budget.arm == arm]
    return lines


def missed_budgets(held: Mapping[str, Held], budgets: Sequence[Budget]) -> dict[str, float]:
    """By how much arms miss their budgets, or exceed them, as a share of these; arms without budgets are absent.

    Args:
        held: by arm.
        budgets: from ``reported_budgets``.
    """
    missed, amounts = Counter[str](), Counter[str]()
    for budget in budgets:
        missed[budget.arm] += abs(budget.amount - taken(budget, held[budget.arm]))
        amounts[budget.arm] += budget.amount
    return {arm: missed[arm] / max(1, amount) for arm, amount in amounts.items()}


def taken(budget: Budget, held: Held) -> int:
    """How much of a budget an arm took, in the budget's unit."""
    return _in_unit(budget.unit, total(held) if budget.lang == ALL else held.get(budget.lang, (0, 0)))


def total(held: Held) -> tuple[int, int]:
    """(documents, tokens) of all languages."""
    return sum(n_docs for n_docs, _ in held.values()), sum(n_tokens for _, n_tokens in held.values())


def _describe_budget(budget: Budget, held: Held) -> str:
    n_taken = taken(budget, held)
    short = budget.amount - n_taken
    warning = "warning: " if short > _SHORT * budget.amount else ""
    line = f"{warning}{budget.arm}, {budget.lang}: {n_taken:,} of {budget.amount:,} {budget.unit}"
    return f"{line}, {abs(short):,} {'short' if short > 0 else 'over'}" if short else line


def _in_unit(unit: str, counts: tuple[int, int]) -> int:
    return counts[0] if unit == "documents" else counts[1]
