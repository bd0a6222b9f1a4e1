"""How much each arm takes: its budgets by stratum, and how well the documents it found fill them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.selection.budgeted_sample import Cut, Draw
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


class InStratum(NamedTuple):
    """What an arm finds in one of its strata."""

    n_docs: int
    n_candidates: int
    """Documents that it may take."""
    pivot_tokens: int
    """Tokens of the pivot arm."""


Strata = Mapping[str, Mapping[str, InStratum]]
"""By arm and stratum."""


def stratum(arm: Arm) -> Column:
    """The stratum of each document, a string: the values of ``arm.stratum`` with a slash between them."""
    return F.concat_ws("/", *map(F.expr, arm.stratum)) if arm.stratum else F.lit(ALL)


def source_in(arm: Arm, of: str) -> str | None:
    """The source that a stratum of an arm names; None where its strata are not within sources."""
    if "source" not in arm.stratum:
        return None
    values, place = of.split("/"), arm.stratum.index("source")  # a source may have slashes, the other values have none
    return "/".join(values[place : len(values) - (len(arm.stratum) - place - 1)])


def language_budgets(selection: Selection, language_tokens: Mapping[str, int]) -> dict[str, int]:
    """Tokens to take of each language under the rules ``top_share`` and ``token_budget``.

    A quota that a language cannot fill, or that the corpus lacks, stays unfilled: the others do not grow, so that the
    language mix is never another.
    """
    if selection.rule == "top_share":
        return {language: share_of(selection.share, n_tokens) for language, n_tokens in language_tokens.items()}
    if selection.language_quotas:
        shares = dict.fromkeys(language_tokens, 0.0) | selection.language_quotas
        return {lang: share_of(share, selection.tokens) for lang, share in shares.items()}
    total = max(1, sum(language_tokens.values()))
    return {lang: selection.tokens * n_tokens // total for lang, n_tokens in language_tokens.items()}


def share_of(share: float, amount: int) -> int:
    """A share of an amount, rounded down; the share is the decimal number that was set: 0.29 of 100 is 29."""
    return int(Fraction(str(share)) * amount)


def count_strata(marked: DataFrame, draws: Sequence[Draw]) -> Strata:
    """What the controls find in their strata; those with neither candidates nor tokens of the pivot arm are absent.

    ``marked`` is ``document_scores`` with ``shrunken_density`` and a boolean column ``pivot``.
    """
    offers = (F.struct(F.lit(d.name).alias("arm"), d.stratum.alias("stratum"), d.among.alias("may")) for d in draws)
    counts = (
        F.count("*").alias("n_docs"),
        F.count_if("of.may").alias("n_candidates"),
        F.sum(F.when(F.col(PIVOT), F.col("n_tokens")).otherwise(0)).alias("pivot_tokens"),
    )
    offered = marked.select("n_tokens", PIVOT, F.explode(F.array(*offers)).alias("of"))
    found = offered.groupBy("of.arm", "of.stratum").agg(*counts).where("n_candidates > 0 OR pivot_tokens > 0")
    strata: dict[str, dict[str, InStratum]] = {draw.name: {} for draw in draws}
    for row in found.orderBy("arm", "stratum").collect():
        strata[row["arm"]][row["stratum"]] = InStratum(row["n_docs"], row["n_candidates"], row["pivot_tokens"])
    return strata


def control_budgets(strata: Strata, selection: Selection) -> dict[str, dict[str, int]]:
    """How much each control takes of its strata, in its unit; arms of a pair take 0 of strata that cannot be matched.

    ``strata`` has those of the arms that they are paired with, too.
    """
    budgets = {}
    for name, found in strata.items():
        arm = ARMS[name]
        if arm.pair:
            there, mine = strata[arm.pair], {of: here for of, here in found.items() if here.n_candidates}
            budgets[name] = {of: _pair_budget(arm, here, there.get(of), selection) for of, here in mine.items()}
        else:
            budgets[name] = {of: here.pivot_tokens for of, here in found.items() if here.pivot_tokens}
    return budgets


def _pair_budget(arm: Arm, here: InStratum, there: InStratum | None, selection: Selection) -> int:
    fewer = min(here.n_candidates, there.n_candidates if there else 0)
    return min(fewer, share_of(getattr(selection, arm.share), here.n_docs)) if arm.share else fewer


def unmatched(cuts: Iterable[Cut]) -> dict[str, tuple[int, int]]:
    """(strata, documents that it may take there) that each arm of a pair leaves out because they cannot be matched."""
    found: dict[str, tuple[int, int]] = {}
    for cut in cuts:
        if ARMS[cut.arm].pair:
            n_strata, n_docs = found.get(cut.arm, (0, 0))
            is_out = cut.budget == 0
            found[cut.arm] = n_strata + is_out, n_docs + is_out * (cut.n_candidates or 0)
    return found


def reported_budgets(
    selection: Selection, language_tokens: Mapping[str, int], held: Mapping[str, Held]
) -> list[Budget]:
    """The budgets of the configured arms by language, or in all for arms whose strata are not within languages.

    The budget of an arm of a pair is what the other arm holds, that of an altered copy what the original holds, that of
    other controls what the pivot arm holds; there is none where that arm is not in ``held``, nor by the rule
    ``threshold``.
    """
    by_rule = {} if selection.rule == "threshold" else language_budgets(selection, language_tokens)
    budgets = []
    for arm in (ARMS[name] for name in selection.arms):
        other = {
            lang: _in_unit(arm.unit, counts) for lang, counts in held.get(arm.copy_of or arm.pair or PIVOT, {}).items()
        }
        amounts = by_rule if arm.budget == "rule" else other if arm.by_language else {ALL: sum(other.values())}
        budgets += [Budget(arm.name, lang, arm.unit, amount) for lang, amount in sorted(amounts.items())]
    return budgets


def describe_arms(
    held: Mapping[str, Held], budgets: Sequence[Budget], left_out: Mapping[str, tuple[int, int]]
) -> list[str]:
    """Log lines: what each arm holds and leaves out (``unmatched``), and takes of budgets; a warning if it is short."""
    lines = []
    for arm, by_language in held.items():
        n_docs, n_tokens = total(by_language)
        lines.append(f"{arm}: {n_docs:,} documents, {n_tokens:,} tokens")
        if arm in left_out:
            n_strata, n_unmatched = left_out[arm]
            lines.append(f"{arm}: {n_strata:,} strata with {n_unmatched:,} documents have no match, and are left out")
        lines += [_describe_budget(budget, by_language) for budget in budgets if budget.arm == arm]
    return lines


def missed_budgets(held: Mapping[str, Held], budgets: Sequence[Budget]) -> dict[str, float]:
    """By how much arms miss their budgets, or exceed them, as a share of these; arms without budgets are absent."""
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
