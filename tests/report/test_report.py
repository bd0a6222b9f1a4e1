"""The report: pivots marked in any script, a page that needs nothing else and escapes all, the tables' numbers."""

import math
import re
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_corpus import SmallCorpus, rows_of

from jobs.report.content import (
    Arm,
    Example,
    Intake,
    LanguageDensity,
    LanguagePair,
    LengthBin,
    Pivot,
    Rejected,
    Report,
    SampledDocument,
    Source,
    TableNote,
    Tie,
    WordPair,
)
from jobs.report.page import make_page
from pivot_udfs.tokenization.backends import TokenizerSpec
from pivot_udfs.tokenization.token_offsets import token_byte_spans
from pivot_udfs.write_report import WORD_ASSOCIATIONS, Passage, associate_word_pairs, mark_pivots

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EVIL = '<script>alert(1)</script> & "x" $a_1$'
VOID = {"meta", "link", "br", "img", "hr", "path", "use", "image", "rect"}


def marked(text: str, cuts: list[int], pivots: set[int], width: int = 1000) -> Passage:
    """Marks tokens that are given by their cuts in bytes."""
    edges = np.array([0, *cuts, len(text.encode())], np.int64)
    is_pivot = np.array([k in pivots for k in range(len(edges) - 1)], bool)
    return mark_pivots(text, edges[:-1], edges[1:], is_pivot, width)


def test_a_part_of_a_character_marks_the_character() -> None:
    # 水 is three bytes, cut 1 + 2; 河 is cut 2 + 1 with its last byte in a token with "x".
    assert marked("a水b", [1, 2, 4], {1}).pieces == (("a", False), ("水", True), ("b", False))
    assert marked("a水b", [1, 2, 4], {2}).pieces == (("a", False), ("水", True), ("b", False))
    assert marked("a水b", [1, 2, 4], {1, 2}).pieces == (("a", False), ("水", True), ("b", False))
    assert marked("河x水", [2, 4], {1}).pieces == (("河x", True), ("水", False))


def test_neighbours_stay_apart_and_white_space_is_left_out() -> None:
    assert marked("the water flows", [3, 9, 12], {1, 2}).pieces == (
        ("the ", False),
        ("water", True),
        (" ", False),
        ("fl", True),
        ("ows", False),
    )
    assert marked("a b", [1, 2], {1}).pieces == (("a b", False),)


def test_long_documents_are_cut_around_the_densest_passage() -> None:
    passage = marked("abcdefghij", list(range(1, 10)), {6, 7}, width=3)
    assert passage == Passage((("f", False), ("g", True), ("h", True)), True, True)
    assert mark_pivots("", np.array([], np.int64), np.array([], np.int64), np.array([], bool), 3).pieces == ()


@given(st.text(max_size=20), st.data())
def test_marks_cover_pivots_and_no_other_character(text: str, data: st.DataObject) -> None:
    raw = text.encode(errors="ignore")
    text = raw.decode()
    cuts = sorted(data.draw(st.sets(st.integers(1, max(len(raw) - 1, 1)), max_size=8))) if len(raw) > 1 else []
    pivots = data.draw(st.sets(st.integers(0, len(cuts))))
    passage = marked(text, cuts, pivots) if raw else Passage((), False, False)
    assert "".join(piece for piece, _ in passage.pieces) == text
    shown = [is_pivot for piece, is_pivot in passage.pieces for _ in piece]
    edges = [0, *cuts, len(raw)]
    pivot_bytes = {byte for k in pivots if raw for byte in range(edges[k], edges[k + 1])}
    place = 0
    for char, is_shown in zip(text, shown, strict=True):
        size = len(char.encode())
        is_pivot = not pivot_bytes.isdisjoint(range(place, place + size))
        assert is_pivot or not is_shown
        assert is_shown or not is_pivot or char.isspace()
        place += size


def test_marks_with_the_real_tokenizer(sample_tokenizer: TokenizerSpec) -> None:
    text = "L'eau, 水 et 龘: water."
    starts, ends = token_byte_spans(sample_tokenizer, text)
    raw = text.encode()
    for k in range(len(starts)):
        pieces = mark_pivots(text, starts, ends, np.arange(len(starts)) == k, 1000).pieces
        shown = [piece for piece, is_pivot in pieces if is_pivot]
        assert raw[starts[k] : ends[k]].strip() in "".join(shown).encode()
        assert "".join(piece for piece, _ in pieces) == text


def test_word_pairs_have_their_npmi() -> None:
    row = {"lang_a": "en", "word_a": "water", "lang_b": "zh", "word_b": "水", "pair_count": 9, "doc_count": 4}
    row |= {"docs_a": 8, "docs_b": 5}
    batch = pa.RecordBatch.from_pylist([row], schema=pa.schema(list(WORD_ASSOCIATIONS)[:-1]))
    (out,) = associate_word_pairs(iter([batch]), n_docs=100)
    expected = math.log((4 / 100) / ((8 / 100) * (5 / 100))) / -math.log(4 / 100)
    assert out.column("npmi").to_pylist() == [pytest.approx(expected)]
    assert out.schema == WORD_ASSOCIATIONS


def made_up(word: str = "水", text: str = "喝水") -> Report:
    """A small report whose words and texts are given."""
    density = LanguageDensity(
        lang="zh",
        n_docs=3,
        n_tokens=300,
        density=0.1,
        n_taken=1,
        cut=0.12,
        bin_width=0.1,
        raw=(1, 1, 1),
        shrunken=(0, 2, 1),
        taken=(0, 0, 1),
        lengths=(LengthBin(64, 30, 3, 5), LengthBin(128, 20, 2, 1)),
        sample=(SampledDocument(100, 0.1, 0.1, True), SampledDocument(70, 0.0, 0.05, False)),
    )
    pair = WordPair("water", word, 1234567, 9876, 11, 12, 0.5, True)
    sha = {"tokenizer": "0" * 64}
    return Report(
        warehouse=word,
        window="100",
        association="npmi",
        rule="all",
        shrinkage_tokens=500,
        min_doc_count=10,
        n_pivots=1,
        intake=Intake(1, 3, 300, 12345, 2, 1, (Source("zh", word, 3, 300),), (Rejected("not_json", word, 2, 1, word),)),
        language_pairs=(LanguagePair("en", "zh", 10, 5, (pair,)),),
        n_language_pairs=1,
        pivots=(Pivot(1, word, 2.5, 3, 2, 0.1, (Tie("en", word, "zh", "水"),)),),
        densities=(density,),
        arms=(Arm("pivot", 1, 100, 0.2, {"zh": 100}, 1), Arm("random", 0, 0, 0.0, {}, 0)),
        examples=(Example(word, word, "zh", 2, 0.5, Passage((("喝", False), (text, True)), True, False)),),
        tables=(TableNote("documents", 3, "tokenize_corpus", "0.1.0+abc", "f" * 64, {"documents": 3}, sha),),
        settings={"pivots.n_pivots": "1000", "key": word},
    )


class Reader(HTMLParser):
    """Checks that tags nest, and keeps what a test asks for."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: Counter[str] = Counter()
        self.marks: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "mark" in self.open and "article" in self.open:
            self.marks.append(data)


def test_the_page_needs_nothing_else() -> None:
    page = make_page(made_up())
    reader = Reader(page)
    assert reader.tags["script"] == reader.tags["link"] == reader.tags["iframe"] == 0
    assert all(address.startswith(("#", "data:")) for address in reader.addresses), reader.addresses
    assert not re.findall(r"url\((?!#)|@import", page)
    assert len(reader.ids) == len(set(reader.ids))
    assert {address[1:] for address in reader.addresses if address.startswith("#")} <= set(reader.ids)
    assert reader.tags["svg"] == 5
    assert reader.marks == ["喝水"]
    assert "1,234,567" in page
    assert '<span lang="zh">水</span>' in page


def test_the_page_escapes_what_comes_from_the_corpus() -> None:
    page = make_page(made_up(EVIL, EVIL + "\n\n next"))
    reader = Reader(page)
    assert reader.tags["script"] == 0
    assert "".join(reader.marks).startswith(EVIL)
    assert "".join(reader.marks).endswith("¶ next")


def test_the_same_values_give_the_same_page() -> None:
    assert make_page(made_up()) == make_page(made_up())


def test_the_model_report_is_linked_and_the_page_says_when_it_is_there() -> None:
    page = make_page(made_up(), "model_report.html")
    assert "model_report.html" in Reader(page).addresses
    assert "Model report</a> (once the model side has run)" in page


def test_the_job_links_the_model_report_before_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs import write_report

    pages: list[bytes] = []
    monkeypatch.setattr(write_report, "read_report", lambda _run: made_up())
    monkeypatch.setattr(write_report, "_write", lambda _location, page: pages.append(page))
    progress = SimpleNamespace(watch=lambda *_: nullcontext(), say=lambda *_: None)
    settings = SimpleNamespace(report=SimpleNamespace(path="nowhere/report.html"))
    run: Any = SimpleNamespace(spark=None, progress=progress, settings=settings, warehouse=SimpleNamespace(path="x"))
    recipe: Any = SimpleNamespace(fingerprint="0")
    write_report.run(run, recipe)
    assert "model_report.html" in Reader(pages[0].decode()).addresses


def test_an_empty_corpus_has_a_page() -> None:
    nothing = Intake(0, 0, 0, None, 0, 0, (), ())
    empty = replace(made_up(), intake=nothing, language_pairs=(), pivots=(), densities=(), arms=(), examples=())
    Reader(make_page(empty))


@pytest.fixture(scope="module")
def report(spark: "SparkSession", corpus: SmallCorpus) -> Report:
    """The report of the small corpus."""
    from jobs.framework.stage import Run
    from jobs.report.data import read_report
    from pivot_udfs.load_settings import load_settings
    from pivot_udfs.settings import Settings

    return read_report(Run(spark, load_settings(corpus.config, [], Settings)))


@pytest.mark.spark
def test_a_document_without_tokens_has_a_density(spark: "SparkSession") -> None:
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.types import from_arrow_schema

    from jobs.report.densities import read_densities
    from jobs.selection.select_documents import language_sums, with_shrunken_density
    from pivot_udfs.schemas import DOCUMENT_SCORES

    rows = [("s", "empty", "en", 0, 0, 0, 0.0, "f", 0), ("s", "full", "en", 10, 2, 1, 0.2, "f", 1)]
    scores = spark.createDataFrame(rows, from_arrow_schema(DOCUMENT_SCORES))
    scored = with_shrunken_density(scores, language_sums(scores), 0).withColumn("taken", F.lit(False))
    (language,) = read_densities(scored)
    assert [point.shrunken for point in language.sample] == [0.0, 0.2]
    assert sum(language.shrunken) == 2


@pytest.mark.spark
@pytest.mark.timeout(900)
class TestOfTables:
    def test_what_went_in(self, report: Report, corpus: SmallCorpus) -> None:
        intake = report.intake
        assert intake.n_docs == len(corpus.documents)
        assert intake.n_bytes == sum(len(text.encode()) for *_, text in corpus.documents)
        assert {row.reason: row.n_records for row in intake.rejected} == Counter(corpus.reasons)
        assert intake.n_quarantined == len(corpus.reasons)
        by_source = Counter((lang, source) for source, _, lang, _ in corpus.documents)
        assert {(row.lang, row.source): row.n_docs for row in intake.sources}.items() <= by_source.items()

    def test_arms(self, report: Report, corpus: SmallCorpus, spark: "SparkSession") -> None:
        rows = {arm.name: rows_of(spark, corpus, f"datasets/{arm.name}") for arm in report.arms}
        keys = {name: {(row["source"], row["doc_id"]) for row in of_arm} for name, of_arm in rows.items()}
        for arm in report.arms:
            assert (arm.n_docs, arm.n_tokens) == (len(rows[arm.name]), sum(row["n_tokens"] for row in rows[arm.name]))
            assert arm.n_in_pivot == len(keys[arm.name] & keys["pivot"])

    def test_densities(self, report: Report, corpus: SmallCorpus, spark: "SparkSession") -> None:
        scores = rows_of(spark, corpus, "document_scores")
        for language in report.densities:
            of_language = [row for row in scores if row["lang"] == language.lang]
            pivots = sum(row["n_pivot_tokens"] for row in of_language)
            assert language.density == pytest.approx(pivots / sum(row["n_tokens"] for row in of_language))
            assert sum(language.raw) == sum(language.shrunken) == language.n_docs == len(of_language)
            assert sum(language.taken) == language.n_taken == sum(b.n_taken for b in language.lengths)
            assert len(language.sample) == language.n_docs
            assert all(p.shrunken >= (language.cut or 0) for p in language.sample if p.taken)
        assert sum(language.n_taken for language in report.densities) == report.arms[0].n_docs

    def test_word_pairs(self, report: Report, corpus: SmallCorpus, spark: "SparkSession") -> None:
        counts = rows_of(spark, corpus, "word_cooccurrence")
        shown = [(p.lang_a, row.word_a, p.lang_b, row.word_b) for p in report.language_pairs for row in p.pairs]
        by_words = {(r["lang_a"], r["word_a"], r["lang_b"], r["word_b"]): r for r in counts}
        lines = [[(lang, line[lang]) for lang in ("en", "fr", "ja", "zh")] for line in corpus.rows]
        cells = {(a, b) for line in lines for a, b in combinations(line, 2)}
        assert shown
        assert len(set(shown)) == len(shown)
        for pair in report.language_pairs:
            assert [row.npmi for row in pair.pairs] == sorted((row.npmi for row in pair.pairs), reverse=True)
            for row in pair.pairs:
                cell = by_words[pair.lang_a, row.word_a, pair.lang_b, row.word_b]
                assert (row.pair_count, row.doc_count) == (cell["pair_count"], cell["doc_count"])
                words = (pair.lang_a, row.word_a), (pair.lang_b, row.word_b)
                assert row.is_translation == (words in cells)

    def test_pivots_and_examples(self, report: Report, corpus: SmallCorpus, spark: "SparkSession") -> None:
        pivots = sorted(rows_of(spark, corpus, "pivots"), key=lambda row: row["rank"])
        assert [pivot.token for pivot in report.pivots] == [row["token"] for row in pivots]
        assert all(pivot.ties for pivot in report.pivots[:30])
        assert report.examples
        for example in report.examples:
            assert any(is_pivot for _, is_pivot in example.passage.pieces) == (example.density > 0)
        assert {note.name for note in report.tables} > {"documents", "datasets/pivot"}
        Reader(make_page(report))
