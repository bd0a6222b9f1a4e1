"""What a reader of the report should check first: findings on pivots, arms and input, each with what to do."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from jobs.report.report_types import Report
from pivot_udfs.arms import PIVOT

_N_BEST = 100
_FEW_DOCS = 50
_LARGE_SHARE = 0.2
"""Of the best pivots, of an arm's tokens: a larger share is a finding."""
_SHORT = 0.05
_QUARANTINED = 0.01


class Finding(NamedTuple):
    """Something that may need a change."""

    text: str
    advice: str


def judge(report: Report) -> tuple[Finding, ...]:
    """All findings, in the order in which they matter; none where there is nothing to check."""
    return tuple(finding for check in _CHECKS for finding in check(report))


def _few_pivots(report: Report) -> Iterator[Finding]:
    wanted = int(report.settings.get("pivots.n_pivots", report.n_pivots))
    if report.n_pivots < wanted:
        yield Finding(
            f"{report.n_pivots:,} of {wanted:,} pivots were found.",
            "The limits of [pivots] leave no more: take a larger corpus or lexicon, or lower pivots.min_score.",
        )


def _rare_pivots(report: Report) -> Iterator[Finding]:
    best = report.pivots[:_N_BEST]
    n_rare = sum(pivot.doc_share * report.intake.n_docs < _FEW_DOCS for pivot in best)
    if n_rare > _LARGE_SHARE * len(best):
        yield Finding(
            f"{n_rare} of the best {len(best)} pivots are in fewer than {_FEW_DOCS} documents.",
            "One text may explain them: see their pairs below; raise pivots.min_doc_count, or take a larger corpus.",
        )


def _pivots_of_few_sources(report: Report) -> Iterator[Finding]:
    best = report.pivots[:_N_BEST]
    n_few = sum(pivot.n_sources < min(3, report.intake.n_sources) for pivot in best)
    if n_few > _LARGE_SHARE * len(best):
        yield Finding(
            f"{n_few} of the best {len(best)} pivots occur in fewer than 3 sources.",
            "They may be the words of one site or template: set pivots.min_sources = 3.",
        )


def _short_arms(report: Report) -> Iterator[Finding]:
    for arm in report.arms:
        wanted = sum(budget.amount for budget, _ in arm.budgets)
        held = sum(taken for _, taken in arm.budgets)
        if held < (1 - _SHORT) * wanted:
            yield Finding(
                f"The arm {arm.name} is {1 - held / wanted:.0%} short of its budget.",
                "The corpus has no more documents of its strata: lower selection.share, or compare fewer tokens.",
            )


def _arms_of_other_sources(report: Report) -> Iterator[Finding]:
    mixes = {arm.name: {row.source: row[arm.name] for row in report.source_tokens} for arm in report.arms}
    for name, mix in mixes.items():
        apart = _distance(mixes.get(PIVOT, mix), mix)
        if apart > _LARGE_SHARE:
            yield Finding(
                f"{apart:.0%} of the tokens of the arm {name} are of other sources than the pivot arm's mix has.",
                "An effect of training may be one of sources: compare results by source.",
            )


def _distance(a: dict[str, int], b: dict[str, int]) -> float:
    """Total variation distance of two distributions given as counts, in [0, 1]; 0 where one is empty."""
    totals = sum(a.values()), sum(b.values())
    if not all(totals):
        return 0.0
    return sum(abs(a.get(key, 0) / totals[0] - b.get(key, 0) / totals[1]) for key in {*a, *b}) / 2


def _quarantined(report: Report) -> Iterator[Finding]:
    intake = report.intake
    share = intake.n_quarantined / max(1, intake.n_docs + intake.n_quarantined)
    if share > _QUARANTINED:
        reason = intake.rejected[0]
        yield Finding(
            f"{share:.1%} of the records are in quarantine, most of them for {reason.reason} ({reason.n_records:,}).",
            f"See the example below ({reason.example}); corpus.fields sets other field names.",
        )


_CHECKS: tuple[Callable[[Report], Iterator[Finding]], ...] = (
    _few_pivots,
    _rare_pivots,
    _pivots_of_few_sources,
    _short_arms,
    _arms_of_other_sources,
    _quarantined,
)
