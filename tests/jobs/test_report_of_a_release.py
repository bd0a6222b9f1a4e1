"""The report of a release that is named is made from its tables, and leaves the page of the newest tables."""

import re

import pytest
from small_corpus import SmallCorpus, must_work, run_job

from jobs import tokenize_corpus, write_report

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]


def test_a_report_of_a_release_is_that_of_its_tables(copied: SmallCorpus) -> None:
    """The newest documents are ahead of all other tables, so that no report of these can be made."""
    newest = copied.warehouse / "report.html"
    written = newest.read_text(encoding="utf-8")
    warehouse = f"warehouse.path={copied.warehouse}"
    must_work(run_job(tokenize_corpus.main, copied, warehouse, f"corpus.inputs={copied.folder}/shards/[bcd]*"))
    code, _, errors = run_job(write_report.main, copied, warehouse)
    assert (code, "run count_cooccurrence again" in errors) == (2, True), errors
    must_work(run_job(write_report.main, copied, warehouse, "warehouse.release=0"))
    assert newest.read_text(encoding="utf-8") == written
    page = (copied.warehouse / "report_release_0.html").read_text(encoding="utf-8")
    assert "This page describes release 0, " in page
    for section in ("intake", "quarantine", "pivots", "pairs", "density", "arms", "examples"):
        of_section = re.compile(rf'<section id="{section}">.*?</section>', re.DOTALL)
        assert of_section.findall(page) == of_section.findall(written), section
    code, _, errors = run_job(write_report.main, copied, warehouse, "warehouse.release=1")
    assert (code, "has no release 1 (0 to 0 are there)" in errors) == (2, True), errors
