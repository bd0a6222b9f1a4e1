"""The page is self-contained, escapes what comes from the corpus, and has a text where a figure has no points."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import Row
from report_pages import LengthBin, PageReader, Pivot, QuarantinedRecord, Rejected, SampledDocument, made_up_report

from jobs.report import plot_style, plots
from jobs.report.render_page import _percent, make_page
from jobs.report.report_types import Intake, LanguageDensity
from jobs.warehouse.releases import Release
from pivot_udfs.storage.stores import resolve

DENSITY = made_up_report().densities[0]
POINT = SampledDocument(5, 0.0, 0.0, False)
NOTHING = Intake(0, 0, 0, None, 0, 0, (), ())
NO_FIGURES = {
    "mixes": (),
    "intake": NOTHING,
    "language_pairs": (),
    "pivots": (),
    "densities": (),
    "arms": (),
    "examples": (),
}
EVIL = '<script>alert(1)</script> & "x" $a_1$'


@cache
def plain_page() -> str:
    return make_page(made_up_report())


@cache
def page_with_markup() -> str:
    """Markup in names and texts."""
    return make_page(made_up_report(EVIL, EVIL + "\n\n next"))


def test_the_page_is_self_contained() -> None:
    page = plain_page()
    reader = PageReader(page)
    assert reader.tags["link"] == reader.tags["iframe"] == 0
    assert not any("src" in attributes for tag, attributes in reader.attributes if tag == "script")
    assert not re.findall(r"fetch|XMLHttpRequest|import\(|innerHTML", page)
    assert all(address.startswith(("#", "data:")) for address in reader.addresses), reader.addresses
    assert not re.findall(r"url\((?!#)|@import", page)
    assert len(reader.ids) == len(set(reader.ids))
    assert {address[1:] for address in reader.addresses if address.startswith("#")} <= set(reader.ids)
    assert reader.tags["svg"] == 5
    assert reader.marks == ["喝水"]
    assert "1,234,567" in page
    assert '<span lang="zh">水</span>' in page


def test_the_page_escapes_what_comes_from_the_corpus() -> None:
    page = page_with_markup()
    reader = PageReader(page)
    assert reader.tags["script"] == 2
    assert "".join(reader.marks).startswith(EVIL)
    assert "".join(reader.marks).endswith("¶ next")


def test_the_page_has_no_control_characters_and_isolates_text_of_another_direction() -> None:
    controls = "".join(map(chr, [*range(1, 9), 11, 12, *range(14, 32), *range(127, 160)]))
    page = make_page(made_up_report(f"a{controls}b\u202e", "喝水"))
    assert not re.findall(r"[^\S\n ]|[\x00-\x08\x0b-\x1f\x7f-\x9f]", page.replace("\t", "").replace("\u3000", ""))
    assert page.count("\u202e") > 5
    reader = PageReader(page)
    assert reader.tags["script"] == 2
    assert "strong { unicode-bidi: isolate; }" in page


def test_line_ends_are_pilcrows_and_other_white_space_stays() -> None:
    text = "a \n\n b  c" + " " * 100_000 + "d"
    assert "".join(PageReader(make_page(made_up_report(text=text))).marks) == "a ¶ b  c" + " " * 100_000 + "d"


def test_the_page_of_a_release_that_was_asked_for_names_it_at_its_top() -> None:
    release = Release(3, datetime(2026, 1, 2, 3, 4, tzinfo=UTC), {}, "")
    page = make_page(replace(made_up_report(), release=release))
    says = "This page describes release 3, committed on 2026-01-02 03:04 UTC."
    assert says in page[: page.index("<nav")]
    assert "release 3</title>" in page
    assert "This page describes release" not in make_page(made_up_report())


def test_the_same_values_give_the_same_page() -> None:
    assert make_page(made_up_report()) == plain_page()


def test_the_model_report_is_linked_only_if_it_is_there(tmp_path: Path) -> None:
    from jobs.write_report import model_report_beside

    page = tmp_path / "a%20b" / "report.html"
    assert model_report_beside(resolve(str(page))) is None
    page.parent.mkdir()
    (page.parent / "model_report.html").write_text("x")
    assert model_report_beside(resolve(str(page))) == "model_report.html"
    assert "model_report.html" in PageReader(make_page(made_up_report(), "model_report.html")).addresses
    without = plain_page()
    assert "model_report.html" not in PageReader(without).addresses
    assert "There was no model report" in without


@pytest.mark.parametrize(
    ("n_docs", "shown"),
    [(0, "0"), (9_999_999, "9,999,999"), (12_345_678, "12.3 million"), (7 * 10**13, "70.0 trillion")],
)
def test_large_numbers_are_shortened_in_the_cards(n_docs: int, shown: str) -> None:
    page = make_page(replace(made_up_report(), **NO_FIGURES | {"intake": replace(NOTHING, n_docs=n_docs)}))
    assert f'<dt>documents</dt><dd title="{n_docs:,}">{shown}</dd>' in page


@pytest.mark.parametrize(
    ("changes", "n_figures"),
    [
        (NO_FIGURES, 0),
        ({"pivots": ()}, 3),
        ({"examples": (), "mixes": (), "compared": {}}, 5),
        ({"arms": (), "compared": {}}, 5),
        ({"densities": (replace(DENSITY, lengths=(LengthBin(64, 9, 0, 0),)),)}, 4),
        ({"densities": (replace(DENSITY, lengths=(), sample=()),)}, 3),
        (
            {"densities": (replace(DENSITY, n_docs=1, n_tokens=0, density=0.0, n_taken=0, cut=None, sample=(POINT,)),)},
            5,
        ),
    ],
)
def test_figures_without_points_say_so_in_their_place(changes: dict[str, Any], n_figures: int) -> None:
    page = make_page(replace(made_up_report(), **changes))
    tags = PageReader(page).tags
    assert tags["svg"] == n_figures
    assert tags["figcaption"] + page.count("Nothing to plot: ") == 4


def sample_of(*n_tokens: int) -> tuple[Row, ...]:
    return tuple(SampledDocument(n, 0.0, 0.0, False) for n in n_tokens)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("sample", [sample_of(0), sample_of(0, 0), sample_of(1), sample_of(7, 7)])
@pytest.mark.parametrize("n_panels", [1, 3])
def test_a_panel_without_points_is_drawn_beside_others(sample: tuple[Row, ...], n_panels: int) -> None:
    full = replace(DENSITY, sample=sample, lengths=(LengthBin(1, 10, 0, 0),))
    empty = replace(DENSITY, sample=(), lengths=(LengthBin(64, 9, 9, 9),), raw=(0, 0, 0), shrunken=(0, 0, 0))
    densities: list[LanguageDensity] = [full, *[empty] * (n_panels - 1)]
    assert plots.draw_lengths(densities).count("no document sampled") == 2 * (n_panels - 1)
    assert plots.draw_share_by_length(densities).count("no length with 10 documents") == n_panels - 1
    assert plots.draw_densities(densities).startswith("<svg")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scores", [[0.0], [0.0, 0.0], [-0.5, -1.0], [1e9, 1e-9], [2.0]])
def test_pivots_of_any_score_are_plotted(scores: list[float]) -> None:
    pivots = [Pivot(k + 1, "x", score, 1, 1, 0.1, 1, (), None) for k, score in enumerate(scores)]
    assert plots.draw_reach(pivots, plot_style.PANEL).startswith("<svg")


def test_ticks_of_a_few_pivots_are_whole_numbers_and_percentages() -> None:
    shares = {2: 0.191, 3: 0.07}
    pivots = [Pivot(k, "x", 1.0, n, 1, share, 1, (), None) for k, (n, share) in enumerate(shares.items(), 1)]
    ticks = re.findall(r">([^<>]+)</text>", plots.draw_reach(pivots, plot_style.PANEL))
    assert ticks == ["2", "3", "concepts linked", "10%", "20%", "documents with the token", "x", "x"]


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0, "0.0%"), (1e-9, "0.0%"), (0.000_118, "0.012%"), (0.001, "0.1%"), (0.0146, "1.5%"), (1, "100.0%")],
)
def test_small_shares_have_two_digits(share: float, shown: str) -> None:
    assert _percent(share) == shown


def test_figures_have_a_label_and_the_colours_of_the_style_sheet() -> None:
    page = plain_page()
    figures = [attributes for tag, attributes in PageReader(page).attributes if tag == "svg"]
    assert {figure["role"] for figure in figures} == {"img"}
    assert "Chinese: number of documents by pivot density" in {figure["aria-label"] for figure in figures}
    drawn = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert re.findall(r"(?:fill|stroke): #(?!ffffff)\w{6}", drawn) == []
    assert set(re.findall(r"var\((--\w+)\)", page)) <= set(re.findall(r"(--\w+):", page))


def test_headers_of_tables_have_a_scope_and_their_boxes_a_name() -> None:
    attributes = PageReader(plain_page()).attributes
    assert {cell.get("scope") for tag, cell in attributes if tag == "th"} == {"col", "row"}
    boxes = [box["aria-label"] for _, box in attributes if box.get("class") == "scroll"]
    assert len(boxes) == len(set(boxes)) > 5


def test_the_search_has_all_pivots_and_word_pairs() -> None:
    page = make_page(made_up_report("eau</script>", "x"))
    (found,) = re.findall(r'<script type="application/json" id="index">(.*?)</script>', page)
    pivot, pair = json.loads(found)
    assert pivot == [
        "eau</script>",
        "pivot 1: concepts 3, language pairs 2, documents 10.0%. eau</script> – 水",
    ]
    assert pair == [
        "water – eau</script>",
        "English – Chinese: 9,876 documents, NPMI 0.50, a translation in the lexicon",
    ]


def test_the_page_records_whose_texts_and_sources_it_shows() -> None:
    report = made_up_report(EVIL)
    known = Rejected("not_json", 2, 1, (QuarantinedRecord("a.jsonl", 7, "", "", "web", "7"),))
    report = replace(report, intake=replace(report.intake, rejected=(known,)))
    [shown] = [
        dict(attributes)["content"]
        for tag, attributes in PageReader(make_page(report)).attributes
        if tag == "meta" and dict(attributes).get("name") == "semantic-pivots-shows"
    ]
    assert json.loads(shown) == [[EVIL, EVIL, "b.jsonl"], ["web", "7", "a.jsonl"], [EVIL, None, None]]


def test_quarantined_records_are_shown_with_where_they_are() -> None:
    page = page_with_markup()
    assert "<code>not_json</code>: the line is not JSON" in page
    assert "<li><code>a.jsonl</code>, record 7: &lt;script&gt;alert(1)" in page


def test_unfilled_budgets_and_empty_arms_are_shown() -> None:
    page = plain_page()
    assert '<td class="n">110</td><td class="n">100</td><td class="n">90.9%</td>' in page
    assert "<strong>It is empty.</strong>" in page
