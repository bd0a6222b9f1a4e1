"""The numbers of the report are those of the tables."""

from collections import Counter
from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING

import pytest
from report_pages import PageReader
from small_corpus import SmallCorpus, rows_of

from jobs.report.arm_budgets_and_mixes import compared_arms
from jobs.report.render_page import make_page
from jobs.report.report_types import Report
from pivot_udfs.arms import ARMS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_each_arm_is_compared_with_its_pair_or_the_pivot_arm() -> None:
    assert compared_arms(["pivot", "pivot_matched", "matched", "random", "lexicon_swap"]) == {
        "pivot_matched": "matched",
        "random": "pivot",
    }
    assert compared_arms(["pivot", "half_a", "half_b"]) == {"half_a": "half_b"}
    assert compared_arms(["pivot", "matched"]) == {"matched": "pivot"}
    assert compared_arms(["random"]) == {}


@pytest.mark.spark
def test_a_document_without_tokens_has_a_density(spark: "SparkSession") -> None:
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.types import from_arrow_schema

    from jobs.report.arm_budgets_and_mixes import read_mixes, sums_by_group, sums_by_language
    from jobs.report.density_by_language import read_densities
    from jobs.selection.shrunken_density import with_shrunken_density
    from pivot_udfs.schemas import DOCUMENT_SCORES

    empty = ("s", "empty", "en", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, "f", 0)
    rows = [empty, ("s", "full", "en", 10, 2, 1, 0.2, 0.0, 0.0, 0.0, "f", 1)]
    scores = spark.createDataFrame(rows, from_arrow_schema(DOCUMENT_SCORES))
    marked = with_shrunken_density(scores, {"en": 0.2}, 0).withColumn("taken", F.lit(False))
    by_group = sums_by_group(scores, [])
    languages = sums_by_language(by_group, [])
    mixes = read_mixes(by_group, languages, [])
    assert [(mix.rows[0].n_groups, mix.distances) for mix in mixes] == [(1, {}), (1, {}), (2, {})]
    (language,) = read_densities(marked, languages)
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
        by_source = Counter(source for source, *_ in corpus.documents)
        assert {row.source: row.n_docs for row in intake.sources} == by_source
        assert intake.n_sources == len(by_source)
        languages = {(source, lang) for source, _, lang, _ in corpus.documents}
        assert {(row.source, lang) for row in intake.sources for lang in row.langs} == languages
        kept = {(row["shard"], row["record"]): row for row in rows_of(corpus, "quarantine")}
        for row in intake.rejected:
            for example in row.examples:
                record = kept[example.shard, example.record]
                assert (row.reason, example.detail) == (record["reason"], record["detail"])
                raw = (record["raw"] or b"").decode(errors="replace")[:120]
                assert len(example.raw) == len(raw)
                assert example.raw == raw if raw.isprintable() else example.raw.isprintable()

    def test_arms(self, report: Report, corpus: SmallCorpus) -> None:
        """Tokens of an arm with replaced words are those of the original."""
        originals = {arm.name: ARMS[arm.name].copy_of or arm.name for arm in report.arms}
        rows = {arm: rows_of(corpus, f"datasets/{original}") for arm, original in originals.items()}
        keys = {name: {(row["source"], row["doc_id"]) for row in of_arm} for name, of_arm in rows.items()}
        for arm in report.arms:
            assert (arm.n_docs, arm.n_tokens) == (len(rows[arm.name]), sum(row["n_tokens"] for row in rows[arm.name]))
            assert arm.n_in_pivot == len(keys[arm.name] & keys["pivot"])

    def test_mixes(self, report: Report, corpus: SmallCorpus) -> None:
        keys = {"language": "lang", "source": "source", "length": "octave"}
        names = [ARMS[arm.name].copy_of or arm.name for arm in report.arms]
        tables = {"corpus": "document_scores"} | {
            arm.name: f"datasets/{n}" for arm, n in zip(report.arms, names, strict=True)
        }
        for mix in report.mixes:
            tokens: dict[str, Counter[str]] = {}
            for name, table in tables.items():
                tokens[name] = Counter()
                for row in rows_of(corpus, table):
                    values = row | {"octave": max(row["n_tokens"], 1).bit_length() - 1}
                    tokens[name][str(values[keys[mix.kind]])] += row["n_tokens"]
            assert {row.key: row.corpus for row in mix.rows} == tokens["corpus"]
            for row in mix.rows:
                assert {name: row[name] for name in tokens} == {name: of[row.key] for name, of in tokens.items()}
            for arm, distance in mix.distances.items():
                here, there = (tokens[name] for name in (arm, report.compared[arm]))
                shares = [abs(here[k] / here.total() - there[k] / there.total()) for k in {*here, *there}]
                assert distance == pytest.approx(sum(shares) / 2)
        assert {arm for mix in report.mixes for arm in mix.distances} == set(report.compared)

    def test_budgets(self, report: Report, corpus: SmallCorpus) -> None:
        """The pivot arm's budgets are the share of each language's tokens; the controls' what the pivot arm holds."""
        tokens: Counter[str] = Counter()
        for row in rows_of(corpus, "document_scores"):
            tokens[row["lang"]] += row["n_tokens"]
        arms = {arm.name: arm for arm in report.arms}
        assert {b.lang: b.amount for b, _ in arms["pivot"].budgets} == {
            lang: int(0.3 * n) for lang, n in tokens.items()
        }
        held: Counter[str] = Counter()
        for row in rows_of(corpus, "datasets/pivot"):
            held[row["lang"]] += row["n_tokens"]
        assert {b.lang: b.amount for b, _ in arms["random"].budgets} == held
        assert [(b.lang, b.amount) for b, _ in arms["parallel"].budgets] == [("all", arms["pivot"].n_tokens)]
        assert all(taken <= b.amount for arm in report.arms for b, taken in arm.budgets)

    def test_densities(self, report: Report, corpus: SmallCorpus) -> None:
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

    def test_word_pairs(self, report: Report, corpus: SmallCorpus) -> None:
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

    def test_pivots_and_examples(self, report: Report, corpus: SmallCorpus) -> None:
        pivots = sorted(rows_of(corpus, "pivots"), key=lambda row: row["rank"])
        assert [pivot.token for pivot in report.pivots] == [row["token"] for row in pivots]
        assert all(pivot.pairs for pivot in report.pivots)
        n_docs = {row["token_id"]: row["doc_count"] for row in rows_of(corpus, "token_totals")}
        near = {(r["token_id"], r["lang"], r["word"]): r["doc_count"] for r in rows_of(corpus, "token_cooccurrence")}
        pairs = rows_of(corpus, "pair_pivots")
        for pivot in report.pivots[:100]:
            linked = [row for row in pairs if row["token_id"] == pivot.token_id]
            words = {(row[f"lang_{side}"], row[f"word_{side}"]) for row in linked for side in "ab"}
            shares = [near[pivot.token_id, *word] / n_docs[pivot.token_id] for word in words]
            assert pivot.overlap == pytest.approx(median(shares))
            names = ("lang_a", "word_a", "lang_b", "word_b")
            ranked = sorted(linked, key=lambda row: (-row["score"], row["concept"], *(row[name] for name in names)))
            of_concepts = {row["concept"]: tuple(row[name] for name in names) for row in reversed(ranked)}
            in_order = dict.fromkeys(row["concept"] for row in ranked)
            assert [tuple(pair) for pair in pivot.pairs] == [of_concepts[concept] for concept in in_order][:6]
        assert report.examples
        held = {arm: {(row["shard"], row["record"]) for row in rows_of(corpus, f"datasets/{arm}")} for arm in ARMS}
        for example, passage in report.examples:
            assert any(is_pivot for _, is_pivot in passage.segments) == (example.pivot_density > 0)
            place = example.shard, example.record
            assert example.arms == [arm for arm in ARMS if place in held[arm]]
            assert example.cut is None or example.shrunken_density >= example.cut - 1e-12
        assert {name for name, *_ in report.tables} > {"documents", "datasets/pivot"}
        PageReader(make_page(report))
