"""The numbers of the report are those of the tables."""

from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from report_pages import PageReader
from small_corpus import SmallCorpus, rows_of

from jobs.report.render_page import make_page
from jobs.report.report_types import Report
from pivot_udfs.arms import ARMS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="module")
def report(spark: "SparkSession", corpus: SmallCorpus) -> Report:
    """The report of the small corpus."""
    from jobs.framework.stage import Run
    from jobs.report.read_report import read_report
    from pivot_udfs.load_settings import load_settings
    from pivot_udfs.settings import Settings

    return read_report(Run(spark, load_settings(corpus.config, [], Settings)))


@pytest.mark.spark
def test_a_document_without_tokens_has_a_density(spark: "SparkSession") -> None:
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.types import from_arrow_schema

    from jobs.report.arm_budgets_and_sources import sums_by_language, sums_by_source
    from jobs.report.density_by_language import read_densities
    from jobs.selection.shrunken_density import with_shrunken_density
    from pivot_udfs.schemas import DOCUMENT_SCORES

    rows = [("s", "empty", "en", 0, 0, 0, 0.0, 0.0, 0.0, "f", 0), ("s", "full", "en", 10, 2, 1, 0.2, 0.0, 0.0, "f", 1)]
    scores = spark.createDataFrame(rows, from_arrow_schema(DOCUMENT_SCORES))
    marked = with_shrunken_density(scores, {"en": 0.2}, 0).withColumn("taken", F.lit(False))
    (language,) = read_densities(marked, sums_by_language(sums_by_source(scores, []), []))
    assert [point.shrunken for point in language.sample] == [0.0, 0.2]
    assert sum(language.shrunken) == 2


@pytest.mark.spark
@pytest.mark.timeout(900)
class TestOfTables:
    def test_sources_and_quarantine(self, report: Report, corpus: SmallCorpus) -> None:
        intake = report.intake
        assert intake.n_docs == len(corpus.documents)
        assert intake.n_bytes == sum(len(text.encode()) for *_, text in corpus.documents)
        assert {row.reason: row.n_records for row in intake.rejected} == Counter(corpus.reasons)
        assert intake.n_quarantined == len(corpus.reasons)
        by_source = Counter((lang, source) for source, _, lang, _ in corpus.documents)
        assert {(row.lang, row.source): row.n_docs for row in intake.sources}.items() <= by_source.items()

    def test_arms(self, report: Report, corpus: SmallCorpus, spark: "SparkSession") -> None:
        """Tokens of an arm with replaced words are those of the original."""
        originals = {arm.name: ARMS[arm.name].copy_of or arm.name for arm in report.arms}
        rows = {arm: rows_of(corpus, f"datasets/{original}") for arm, original in originals.items()}
        keys = {name: {(row["source"], row["doc_id"]) for row in of_arm} for name, of_arm in rows.items()}
        for arm in report.arms:
            assert (arm.n_docs, arm.n_tokens) == (len(rows[arm.name]), sum(row["n_tokens"] for row in rows[arm.name]))
            assert arm.n_in_pivot == len(keys[arm.name] & keys["pivot"])
        for row in report.source_tokens:
            for name, of_arm in rows.items():
                assert row[name] == sum(r["n_tokens"] for r in of_arm if r["source"] == row.source)

    def test_budgets(self, report: Report, corpus: SmallCorpus, spark: "SparkSession") -> None:
        """The pivot arm's budgets are the share of each language's tokens; the controls' what the pivot arm holds."""
        tokens: Counter[str] = Counter()
        for row in rows_of(corpus, "document_scores"):
            tokens[row["lang"]] += row["n_tokens"]
        arms = {arm.name: arm for arm in report.arms}
        assert {b.lang: b.amount for b, _ in arms["pivot"].budgets} == {
            lang: int(0.3 * n) for lang, n in tokens.items()
        }
        assert {b.lang: b.amount for b, _ in arms["random"].budgets} == arms["pivot"].language_tokens
        assert [(b.lang, b.amount) for b, _ in arms["parallel"].budgets] == [("all", arms["pivot"].n_tokens)]
        assert all(taken <= b.amount for arm in report.arms for b, taken in arm.budgets)

    def test_densities(self, report: Report, corpus: SmallCorpus, spark: "SparkSession") -> None:
        scores = rows_of(corpus, "document_scores")
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
        counts = rows_of(corpus, "word_cooccurrence")
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
        pivots = sorted(rows_of(corpus, "pivots"), key=lambda row: row["rank"])
        assert [pivot.token for pivot in report.pivots] == [row["token"] for row in pivots]
        assert all(pivot.pairs for pivot in report.pivots[:30])
        assert report.examples
        for example, passage in report.examples:
            assert any(is_pivot for _, is_pivot in passage.segments) == (example.pivot_density > 0)
        assert {name for name, *_ in report.tables} > {"documents", "datasets/pivot"}
        PageReader(make_page(report))
