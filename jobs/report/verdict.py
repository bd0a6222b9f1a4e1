"""The verdict at the top of the report: what was checked and found, and what to change where it exceeds a limit."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from jobs.report.language_names import shown_token
from jobs.report.report_types import N_PIVOTS_JUDGED, Report

_FEW_DOCS, _FEW_SOURCES, _N_EXAMPLES = 50, 3, 3
_LARGE_SHARE = 0.2
"""Share of the best pivots, or of an arm's tokens, above which a check reports a finding."""
_OVERLAP = 0.5
_SHORT = 0.05
_QUARANTINED = 0.01


class Check(NamedTuple):
    """One thing that was checked."""

    is_finding: bool
    """Whether it exceeds its limit, and the advice is to be followed."""
    found: str
    advice: str
    """What to change; names of settings between backticks."""
    section: str
    """Id of the section of the page with the evidence."""


def judge(report: Report) -> tuple[Check, ...]:
    """All checks, in the order in which they matter."""
    return tuple(check for checks in _CHECKS for check in checks(report))


def _n_pivots(report: Report) -> Iterator[Check]:
    wanted = int(report.settings.get("pivots.n_pivots", report.n_pivots))
    yield Check(
        report.n_pivots < wanted,
        f"{report.n_pivots:,} of {wanted:,} pivots were found.",
        "The limits of `[pivots]` leave no more: take a larger corpus or lexicon, or lower `pivots.min_score`.",
        "pivots",
    )


def _hubs(report: Report) -> Iterator[Check]:
    """The best pivots that are in few documents, in few sources, or in the same documents as the words they link."""
    best = report.pivots[:N_PIVOTS_JUDGED]
    # Of a few sources, each may be all that there is of a language.
    few_sources = min(_FEW_SOURCES, report.intake.n_sources // 2)
    for hubs, what, advice in (
        (
            [pivot for pivot in best if pivot.doc_share * report.intake.n_docs < _FEW_DOCS],
            f"are in fewer than {_FEW_DOCS} documents",
            "A few texts may explain them: raise `pivots.min_doc_count`, or take a larger corpus.",
        ),
        (
            [pivot for pivot in best if pivot.n_sources < few_sources],
            f"are in fewer than {few_sources} sources",
            f"They may be the words of one site: set `pivots.min_sources = {few_sources}`.",
        ),
        (
            [pivot for pivot in best if (pivot.overlap or 0) > _OVERLAP],
            f"are near most of the words that they link in more than {_OVERLAP:.0%} of their documents",
            "They may be parts of one template that many documents repeat: look at some with `explain_pivot`, remove "
            "the template from the shards, or raise `pivots.min_sources`.",
        ),
    ):
        examples = ", ".join(f"`{shown_token(pivot.token)}`" for pivot in hubs[:_N_EXAMPLES])
        found = f"{len(hubs)} of the best {len(best)} pivots {what}{f', such as {examples}' if hubs else ''}."
        yield Check(len(hubs) > _LARGE_SHARE * len(best), found, advice, "pivots")


def _drift(report: Report) -> Iterator[Check]:
    if report.drift:
        release, share = report.drift
        yield Check(
            share > _LARGE_SHARE,
            f"{share:.1%} of the pivot set differs from that of release {release}.",
            "Results with the arms of the two releases are not comparable: train on the arms of one, and set "
            '`refresh.rule = "on_drift"` to keep the pivots between rebuilds.',
            "releases",
        )


def _short_arms(report: Report) -> Iterator[Check]:
    for arm in report.arms:
        wanted = sum(budget.amount for budget, _ in arm.budgets)
        held = sum(taken for _, taken in arm.budgets)
        yield Check(
            held < (1 - _SHORT) * wanted,
            f"The arm `{arm.name}` is {1 - held / max(wanted, 1):.1%} short of its budget.",
            "The corpus has no more documents for it: lower `selection.share`, or compare fewer tokens.",
            "arms",
        )


def _different_arms(report: Report) -> Iterator[Check]:
    for name, other in report.compared.items():
        apart = {mix.kind: mix.distances[name] for mix in report.mixes if name in mix.distances}
        if apart:
            differences = ", ".join(f"{distance:.0%} by {kind}" for kind, distance in apart.items())
            large = ", ".join(f"{kind}s" for kind, distance in apart.items() if distance > _LARGE_SHARE)
            yield Check(
                bool(large),
                f"The arms `{name}` and `{other}` differ in the mix of their tokens: {differences}.",
                f"An effect of training may be one of {large}: compare the two arms of a pair, such as "
                "`pivot_matched` and `matched`, or compare results group by group.",
                "mixes",
            )


def _quarantined(report: Report) -> Iterator[Check]:
    intake = report.intake
    share = intake.n_quarantined / max(1, intake.n_docs + intake.n_quarantined)
    most = f", most of them as `{intake.rejected[0].reason}`" if intake.rejected else ""
    yield Check(
        share > _QUARANTINED,
        f"{share:.1%} of the records are in quarantine{most}.",
        "See the examples; `corpus.fields` sets other field names.",
        "quarantine",
    )


_CHECKS: tuple[Callable[[Report], Iterator[Check]], ...] = (
    _n_pivots,
    _hubs,
    _drift,
    _short_arms,
    _different_arms,
    _quarantined,
)
