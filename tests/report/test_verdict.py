"""The findings at the top of the report: each appears where its measure exceeds the limit, and not at the limit."""

from dataclasses import replace
from typing import Any

import pytest
from pyspark.sql import Row
from report_pages import PageReader, Rejected, made_up_report

from jobs.report.render_page import make_page
from jobs.report.report_types import ArmContent, Report
from jobs.report.verdict import judge
from jobs.selection.budgets import Budget

PIVOT = Row("token", "doc_share", "n_sources")


def report(**changes: Any) -> Report:
    """A report without findings: 10,000 documents, 100 good pivots, two arms of the same sources."""
    made = made_up_report()
    intake = replace(made.intake, n_docs=10_000, n_quarantined=0, n_sources=9, rejected=())
    whole = replace(
        made,
        intake=intake,
        n_pivots=100,
        settings={"pivots.n_pivots": "100"},
        pivots=tuple(PIVOT(f"t{k}", 0.005, 3) for k in range(100)),
        arms=tuple(arm(name, 1000) for name in ("pivot", "random")),
        source_tokens=(Row(source="a", all=9, pivot=80, random=80), Row(source="b", all=9, pivot=20, random=20)),
    )
    return replace(whole, **changes)


def arm(name: str, held: int) -> ArmContent:
    return ArmContent(name, name, name, 10, 1000, 0.1, {"en": 1000}, 0, ((Budget(name, "en", "tokens", 1000), held),))


def texts(changed: Report) -> list[str]:
    return [finding.text for finding in judge(changed)]


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert texts(report()) == []
    assert "Nothing stands out" in make_page(
        replace(
            made_up_report(),
            n_pivots=1,
            settings={},
            arms=(),
            source_tokens=(),
            pivots=(),
            intake=report().intake,
        )
    )


def test_fewer_pivots_than_asked_for() -> None:
    assert texts(report(n_pivots=99)) == ["99 of 100 pivots were found."]


@pytest.mark.parametrize(("n_rare", "found"), [(20, False), (21, True)])
def test_pivots_of_few_documents_or_sources(n_rare: int, found: bool) -> None:
    rare = tuple(PIVOT("t", 0.0049 if k < n_rare else 0.005, 3) for k in range(100))
    wanted = [f"{n_rare} of the best 100 pivots are in fewer than 50 documents."] if found else []
    assert texts(report(pivots=rare)) == wanted
    few = tuple(PIVOT("t", 0.005, 2 if k < n_rare else 3) for k in range(100))
    wanted = [f"{n_rare} of the best 100 pivots occur in fewer than 3 sources."] if found else []
    assert texts(report(pivots=few)) == wanted
    one_source = replace(report().intake, n_sources=1)
    assert texts(report(pivots=tuple(PIVOT("t", 0.005, 1) for _ in range(100)), intake=one_source)) == []


def test_an_arm_short_of_its_budget() -> None:
    assert texts(report(arms=(arm("pivot", 1000), arm("random", 950)))) == []
    assert texts(report(arms=(arm("pivot", 1000), arm("random", 940)))) == ["The arm random is 6% short of its budget."]


def test_an_arm_of_other_sources_than_the_pivot_arm() -> None:
    rows = (Row(source="a", all=9, pivot=80, random=59), Row(source="b", all=9, pivot=20, random=41))
    (found,) = texts(report(source_tokens=rows))
    assert found.startswith("21% of the tokens of the arm random")
    empty = (Row(source="a", all=9, pivot=80, random=0),)
    assert texts(report(source_tokens=empty)) == []


def test_many_records_in_quarantine() -> None:
    intake = replace(report().intake, n_quarantined=102, rejected=(Rejected("empty_text", 102, 1, "no text"),))
    (found,) = texts(report(intake=intake))
    assert found == "1.0% of the records are in quarantine, most of them for empty_text (102)."
    assert texts(report(intake=replace(intake, n_quarantined=101))) == []


def test_findings_come_first_on_the_page() -> None:
    page = make_page(made_up_report())
    PageReader(page)
    assert page.index('id="verdict"') < page.index('id="intake"')
    assert "40.0% of the records are in quarantine, most of them for not_json (2)." in page
