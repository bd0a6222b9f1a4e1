"""The verdict at the top of the report: a check is a finding where its measure exceeds the limit, not at the limit."""

from dataclasses import replace
from typing import Any

import pytest
from pyspark.sql import Row
from report_pages import PageReader, Rejected, made_up_report

from jobs.report.render_page import make_page
from jobs.report.report_types import ArmContent, Mix, Report
from jobs.report.verdict import judge
from jobs.selection.budgets import Budget

PIVOT = Row("token", "doc_share", "n_sources", "overlap")


def report(**changes: Any) -> Report:
    """A report without findings: 10,000 documents, 100 good pivots, two arms of similar mixes."""
    made = made_up_report()
    intake = replace(made.intake, n_docs=10_000, n_quarantined=0, n_sources=9, rejected=())
    whole = replace(
        made,
        intake=intake,
        n_pivots=100,
        settings={"pivots.n_pivots": "100"},
        pivots=tuple(PIVOT(f"t{k}", 0.005, 3, 0.5) for k in range(100)),
        drift=None,
        arms=tuple(arm(name, 1000) for name in ("pivot", "random")),
        compared={"random": "pivot"},
        mixes=mixes(language=0.2, source=0.2, length=0.2),
    )
    return replace(whole, **changes)


def arm(name: str, held: int) -> ArmContent:
    return ArmContent(name, 10, 1000, 0.1, 0, ((Budget(name, "en", "tokens", 1000), held),))


def mixes(**distances: float) -> tuple[Mix, ...]:
    return tuple(Mix(kind, (), {"random": distance}) for kind, distance in distances.items())


def findings(changed: Report) -> list[str]:
    return [check.found for check in judge(changed) if check.is_finding]


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert findings(report()) == []
    without = {"arms": (), "mixes": (), "compared": {}, "pivots": (), "settings": {}, "intake": report().intake}
    assert "nothing stands out" in make_page(replace(made_up_report(), **without))


def test_fewer_pivots_than_asked_for() -> None:
    assert findings(report(n_pivots=99)) == ["99 of 100 pivots were found."]


HUBS = {
    "are in fewer than 50 documents": PIVOT("t", 0.0049, 3, 0.5),
    "are in fewer than 3 sources": PIVOT("t", 0.005, 2, 0.5),
    "are near most of the words that they link in more than 50% of their documents": PIVOT("t", 0.005, 3, 0.51),
}


@pytest.mark.parametrize("what", HUBS)
@pytest.mark.parametrize(("n", "found"), [(20, False), (21, True)])
def test_pivots_of_few_documents_or_sources_or_of_one_template(what: str, n: int, found: bool) -> None:
    pivots = (*[HUBS[what]] * n, *report().pivots[n:])
    expected = f"{n} of the best 100 pivots {what}, such as `t`, `t`, `t`."
    assert findings(report(pivots=pivots)) == ([expected] if found else [])
    assert expected in [check.found for check in judge(report(pivots=pivots))]


@pytest.mark.parametrize("n_sources", [1, 3])
def test_a_corpus_of_one_source_a_language_has_no_pivots_of_too_few(n_sources: int) -> None:
    intake = replace(report().intake, n_sources=n_sources)
    assert findings(report(pivots=(PIVOT("t", 0.005, 1, None),) * 100, intake=intake)) == []


@pytest.mark.parametrize(("share", "found"), [(0.2, False), (0.25, True)])
def test_drift_since_another_release(share: float, found: bool) -> None:
    expected = [f"{share:.1%} of the pivot set differs from that of release 3."]
    assert findings(report(drift=(3, share))) == (expected if found else [])


def test_an_arm_short_of_its_budget() -> None:
    assert findings(report(arms=(arm("pivot", 1000), arm("random", 950)))) == []
    found = findings(report(arms=(arm("pivot", 1000), arm("random", 940))))
    assert found == ["The arm `random` is 6.0% short of its budget."]


@pytest.mark.parametrize("kind", ["language", "source", "length"])
def test_arms_that_differ_in_languages_sources_or_lengths(kind: str) -> None:
    distances = {"language": 0.1, "source": 0.1, "length": 0.1} | {kind: 0.21}
    (check,) = (check for check in judge(report(mixes=mixes(**distances))) if check.is_finding)
    assert check.found.startswith("The arms `random` and `pivot` differ in the mix of their tokens: ")
    assert f"21% by {kind}" in check.found
    assert f"one of {kind}s: compare" in check.advice


def test_an_empty_arm_is_not_compared() -> None:
    assert findings(report(mixes=(Mix("source", (), {}),))) == []


def test_many_records_in_quarantine() -> None:
    intake = replace(report().intake, n_quarantined=102, rejected=(Rejected("blank_text", 102, 1, ()),))
    assert findings(report(intake=intake)) == ["1.0% of the records are in quarantine, most of them as `blank_text`."]
    assert findings(report(intake=replace(intake, n_quarantined=101))) == []


def test_the_verdict_comes_first_and_links_its_evidence() -> None:
    page = make_page(made_up_report())
    reader = PageReader(page)
    assert page.index('id="verdict"') < page.index('id="releases"') < page.index('id="intake"')
    assert "<strong>40.0% of the records are in quarantine, most of them as <code>not_json</code>.</strong>" in page
    assert {check.section for check in judge(report(drift=(3, 0.0)))} <= set(reader.ids)
