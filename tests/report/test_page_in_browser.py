"""The page as a browser shows it: on a phone, in the dark, for assistive technology, and searched."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from page_in_browser import MODES, evaluate, needs_axe, needs_chromium, violations
from report_pages import Pivot, made_up_report

from jobs.report.render_page import make_page
from jobs.report.templates import template
from jobs.warehouse.releases import Release

LONG = "a_long_name_without_any_space_" * 4
OVERFLOWING = """
const over = (element) => element.scrollWidth > element.clientWidth;
return [document.documentElement, ...document.querySelectorAll(".numbers dd, h1, h2, li, figure")].filter(over)
  .map((element) => element.outerHTML.slice(0, 200));
"""
SMALL_LABELS = """
const texts = [...document.querySelectorAll("svg text")].filter((text) => text.getBoundingClientRect().width);
const scale = (text) => Math.hypot(text.getScreenCTM().a, text.getScreenCTM().b);
return texts.map((text) => parseFloat(getComputedStyle(text).fontSize) * scale(text)).filter((pixels) => pixels < 10.5);
"""
SEARCH = """
const query = document.getElementById("query");
const seek = (text) => {
  query.value = text;
  query.dispatchEvent(new Event("input"));
  const items = [...document.querySelectorAll("#results li")].map((item) => item.textContent);
  return [document.getElementById("found").textContent, ...items];
};
return ["EAU", "terre", "nowhere", ""].map(seek);
"""


@needs_axe
@pytest.mark.parametrize(("width", "is_dark"), MODES)
def test_axe_finds_no_violation(width: int, is_dark: bool) -> None:
    assert violations(make_page(made_up_report()), width, is_dark) == []


@needs_axe
def test_axe_finds_what_is_wrong() -> None:
    page = make_page(made_up_report()).replace("--soft: #59636e", "--soft: #cccccc")
    assert [violation.split(":")[0] for violation in violations(page, 1400, False)] == ["color-contrast"]


@needs_chromium
@pytest.mark.parametrize("width", [1400, 390])
def test_nothing_overflows_and_labels_are_legible(width: int) -> None:
    made = made_up_report(LONG)
    large = replace(made.intake, n_docs=9_999_999, n_tokens=888_888_888_888_888, n_bytes=7 * 10**17)
    page = make_page(replace(made, intake=large))
    assert evaluate(page, OVERFLOWING, width) == []
    assert evaluate(page, SMALL_LABELS, width) == []


@needs_chromium
def test_the_releases_fit_a_phone() -> None:
    release = Release(12, datetime(2026, 11, 28, tzinfo=UTC), {}, "", 0.012, {"random": 0.005})
    rows = [(release, {"documents": 4_853_000, "tokens": 51_772_820}, {"new": 7})]
    section = template("releases.html", {}).render(rows=rows, max_drift=1, described=12, asked_for=None)
    page = make_page(made_up_report()).replace('<section id="releases"></section>', section)
    hidden = 'const box = document.querySelector("#releases .scroll"); return box.scrollWidth - box.clientWidth'
    assert evaluate(page, hidden, 390) == 0


@needs_chromium
def test_figures_have_the_ink_of_a_dark_screen() -> None:
    ink = 'return getComputedStyle(document.querySelector("svg text")).fill'
    assert evaluate(make_page(made_up_report()), ink, is_dark=False) == "rgb(31, 35, 40)"
    assert evaluate(make_page(made_up_report()), ink, is_dark=True) == "rgb(230, 233, 237)"


@needs_chromium
def test_the_search_lists_titles_before_other_texts_and_words_before_parts_of_words() -> None:
    made = made_up_report("eau")
    pivots = tuple(Pivot(k, word, *made.pivots[0][2:]) for k, word in enumerate(("niveau", "terre", "l'eau"), 1))
    page = make_page(replace(made, pivots=pivots, language_pairs=()))
    found = evaluate(page, SEARCH)
    assert [[item.split(" pivot ")[0] for item in items] for items in found] == [
        ["3 found", "l'eau", "niveau", "terre"],
        ["1 found", "terre"],
        ["0 found"],
        [""],
    ]
