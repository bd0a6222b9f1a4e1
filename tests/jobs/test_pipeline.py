"""The whole pipeline on a small corpus, on Spark and Delta: every table equals the oracle's."""

import functools
import json
import math
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import counted
import oracle
import oracle_pivots
import pytest
from small_corpus import SmallCorpus, rows_of

from pivot_udfs.arms import ARMS
from pivot_udfs.count_cooccurrence import COUNTED, count_cooccurrence
from pivot_udfs.counting.partial_rows import PARTIAL_ROWS
from pivot_udfs.load_settings import load_settings
from pivot_udfs.matching.concept_halves import concept_halves
from pivot_udfs.schemas import DATASET, STAGE_TABLES, table_of
from pivot_udfs.settings import Settings
from pivot_udfs.tokenization.backends import TokenizerSpec
from pivot_udfs.tokenization.vocabulary import word_token_ids

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def tables(corpus: SmallCorpus) -> oracle.Tables:
    """The oracle's counts of the corpus."""
    return counted.expected(corpus.encoded, corpus.rows, 50, sources=[source for source, *_ in corpus.documents])


@pytest.mark.parametrize("name", [*STAGE_TABLES, "releases", *(f"datasets/{arm}" for arm in ARMS)])
def test_columns_and_their_comments_are_the_contracts(spark: "SparkSession", corpus: SmallCorpus, name: str) -> None:
    frame, schema = spark.read.format("delta").load(str(corpus.warehouse / name)), table_of(name).schema
    assert frame.columns == schema.names
    comments = [field.metadata[b"comment"].decode() for field in schema]
    assert [field.metadata.get("comment") for field in frame.schema] == comments


def test_records_are_documents_or_quarantine(spark: "SparkSession", corpus: SmallCorpus) -> None:
    documents, rejected = (rows_of(corpus, name) for name in ("documents", "quarantine"))
    assert Counter(row["reason"] for row in rejected) == Counter(corpus.reasons)
    keys = Counter((row["source"], row["doc_id"], row["lang"], row["text"]) for row in documents)
    assert keys == Counter(corpus.documents)
    ids = {(lang, text): [token.token_id for token in tokens] for lang, text, tokens in corpus.encoded}
    for row in documents:
        assert row["token_ids"] == ids[row["lang"], row["text"]]
        assert row["n_tokens"] == len(row["token_ids"])


def test_counts(spark: "SparkSession", corpus: SmallCorpus, tables: oracle.Tables) -> None:
    got = oracle.Tables()
    for name, table in vars(got).items():
        for row in rows_of(corpus, name):
            *cell, count, doc_count = row.values()
            key = cell[0] if len(cell) == 1 else tuple(cell)
            assert key not in table, f"{name} has {key} twice"
            table[key] = [count, doc_count]
    counted.assert_same(got, tables)


def test_corpus_totals(spark: "SparkSession", corpus: SmallCorpus) -> None:
    got = {row["lang"]: (row["n_docs"], row["n_tokens"]) for row in rows_of(corpus, "corpus_totals")}
    docs = Counter(lang for lang, _, _ in corpus.encoded)
    tokens = Counter(lang for lang, _, tokens in corpus.encoded for _ in tokens)
    assert got == {lang: (docs[lang], tokens[lang]) for lang in docs}


@pytest.mark.parametrize("n_partitions", [1, 11])
def test_any_partitions_give_the_same_cells(
    spark: "SparkSession", corpus: SmallCorpus, tables: oracle.Tables, n_partitions: int
) -> None:
    from pyspark.sql.pandas.types import from_arrow_schema

    from jobs.count_cooccurrence import gathered
    from pivot_udfs.tokenization.backends import load_tokenizer

    plan = counted.plan_of(corpus.rows, load_tokenizer(str(counted.SAMPLES / "tokenizer.json")), 50)
    documents = spark.read.format("delta").load(str(corpus.warehouse / "documents"))
    parts = documents.select(*COUNTED.names).repartition(n_partitions)
    found = parts.mapInArrow(partial(count_cooccurrence, plan=plan), from_arrow_schema(PARTIAL_ROWS))
    rows = gathered(found, len(plan.lexicon.words))
    together = rows.toArrow().sort_by([("kind", "ascending"), ("row", "ascending")])
    counted.assert_same(counted.summed(together.to_batches(), plan), tables)


def unusable_tokens() -> frozenset[int]:
    """Special tokens and tokens with no letter."""
    text = (counted.SAMPLES / "tokenizer.json").read_text(encoding="utf-8")
    special = {added["id"] for added in json.loads(text)["added_tokens"] if added["special"]}
    raw = oracle.byte_level_vocabulary(text)
    return frozenset(
        special | {k for k, token in raw.items() if not any(map(str.isalpha, token.decode(errors="ignore")))}
    )


@pytest.fixture(scope="module")
def brute_pairs(
    corpus: SmallCorpus, tables: oracle.Tables, sample_tokenizer: TokenizerSpec
) -> list[oracle_pivots.PairPivot]:
    own_tokens = functools.cache(functools.partial(word_token_ids, sample_tokenizer))
    unusable = unusable_tokens() | {
        token for token in tables.token_totals if oracle_pivots.word_share(tables, token) < 0.5
    }
    return oracle_pivots.pair_pivots(
        tables, corpus.rows, len(corpus.documents), unusable, own_tokens, min_doc_count=2, min_word_doc_count=4
    )


def test_pair_pivots(spark: "SparkSession", corpus: SmallCorpus, brute_pairs: list[oracle_pivots.PairPivot]) -> None:
    rows = sorted(
        rows_of(corpus, "pair_pivots"),
        key=lambda row: (row["concept"], row["lang_a"], row["lang_b"], row["rank"]),
    )
    names = oracle_pivots.PairPivot._fields[:-1]
    assert len(brute_pairs) > 200
    assert {tuple(row[name] for name in names) for row in rows} == {pair[:-1] for pair in brute_pairs}
    score = {pair[:-1]: pair.score for pair in brute_pairs}
    for row in rows:
        assert row["score"] == min(row["association_a"], row["association_b"])
        assert row["score"] == pytest.approx(score[tuple(row[name] for name in names)])
    ranks: dict[tuple[object, ...], list[tuple[float, int]]] = {}
    for row in rows:
        ranks.setdefault(tuple(row[name] for name in names[:-1]), []).append((-row["score"], row["token_id"]))
        assert row["rank"] == len(ranks[tuple(row[name] for name in names[:-1])]) <= 50
    assert all(found == sorted(found) for found in ranks.values())


def test_pivots(
    spark: "SparkSession", corpus: SmallCorpus, tables: oracle.Tables, brute_pairs: list[oracle_pivots.PairPivot]
) -> None:
    n_docs = len(corpus.documents)
    wanted = oracle_pivots.pivots(brute_pairs, tables, n_docs, 10_000, 0.2, min_concepts=2)
    rows = sorted(rows_of(corpus, "pivots"), key=lambda row: row["rank"])
    assert len(rows) == min(150, len(wanted)) > 20
    by_token = {row[0]: row for row in wanted}
    for rank, row in enumerate(rows, 1):
        _, score, n_concepts, n_pairs = by_token[row["token_id"]]
        assert (row["rank"], row["n_concepts"], row["n_language_pairs"]) == (rank, n_concepts, n_pairs)
        assert row["score"] == pytest.approx(score)
        assert row["half_balance"] == pytest.approx(half_balance(brute_pairs, row["token_id"]))
        assert row["word_share"] == oracle_pivots.word_share(tables, row["token_id"]) >= 0.5
        assert row["n_sources"] == sum(token == row["token_id"] for _, token in tables.token_sources)
        assert row["doc_share"] == tables.token_totals[row["token_id"]][1] / n_docs <= 0.2
    order = [(-row["score"], row["token_id"]) for row in rows]
    assert order == sorted(order)
    assert rows[-1]["score"] >= wanted[len(rows) - 1][1] - 1e-9


def test_pivots_ranked_by_votes(
    spark: "SparkSession", corpus: SmallCorpus, tables: oracle.Tables, brute_pairs: list[oracle_pivots.PairPivot]
) -> None:
    from jobs import find_pivots
    from jobs.framework.stage import Run
    from pivot_udfs.find_pivots import best_hubs

    run = Run(spark, load_settings(corpus.config, ["pivots.rank_by=votes"], Settings))
    rows = best_hubs(run.warehouse.read_small("pair_pivots"), find_pivots.pivot_plan(run))
    n_of_pair = Counter(pair[:5] for pair in brute_pairs)
    votes: dict[int, list[float]] = {}
    for pair in brute_pairs:
        votes.setdefault(pair.token_id, []).append(pair.score / n_of_pair[pair[:5]])
    by_score = oracle_pivots.pivots(brute_pairs, tables, len(corpus.documents), 10_000, 0.2, min_concepts=2)
    best = sorted((math.fsum(votes[token]) for token, *_ in by_score), reverse=True)[:150]
    assert [row["rank"] for row in rows] == list(range(1, len(best) + 1))
    assert [math.fsum(votes[row["token_id"]]) for row in rows] == pytest.approx(best)
    assert [row["token_id"] for row in rows] != [row[0] for row in by_score[: len(rows)]]


def half_balance(pairs: list[oracle_pivots.PairPivot], token_id: int) -> float:
    """Scores are above 0 here."""
    sums = Counter[bool]()
    for pair in pairs:
        if pair.token_id == token_id:
            sums[bool(concept_halves([pair.concept], 0)[0])] += pair.score  # type: ignore[assignment]
    return (sums[True] - sums[False]) / sums.total()


def test_document_scores(spark: "SparkSession", corpus: SmallCorpus) -> None:
    pivots = {row["token_id"]: row["half_balance"] for row in rows_of(corpus, "pivots")}
    scores = {(row["source"], row["doc_id"]): row for row in rows_of(corpus, "document_scores")}
    assert len(scores) == len(corpus.documents)
    for (source, doc_id, lang, _), (_, _, tokens) in zip(corpus.documents, corpus.encoded, strict=True):
        row, found = scores[source, doc_id], [token.token_id for token in tokens if token.token_id in pivots]
        assert (row["lang"], row["n_tokens"]) == (lang, len(tokens))
        assert (row["n_pivot_tokens"], row["n_distinct_pivots"]) == (len(found), len(set(found)))
        assert row["pivot_density"] == pytest.approx(len(found) / len(tokens))
        assert row["half_balance"] == pytest.approx(sum(map(pivots.get, found)) / len(tokens))


def test_datasets_hold_documents_as_they_are(spark: "SparkSession", corpus: SmallCorpus) -> None:
    documents = {(row["source"], row["doc_id"]): row for row in rows_of(corpus, "documents")}
    scores = {(row["source"], row["doc_id"]): row for row in rows_of(corpus, "document_scores")}
    shrunken = oracle_pivots.shrunken_densities(scores, 100)
    ends = {row["stratum"]: row["value"] for row in rows_of(corpus, "selection_cuts") if row["arm"] == "pivot"}
    cuts = {lang: pytest.approx(1 - value) for lang, value in ends.items() if value is not None}
    assert cuts
    for row in rows_of(corpus, "datasets/pivot"):
        assert row["cut"] is None or row["shrunken_density"] >= row["cut"] - 1e-12
    for arm in ARMS:
        rows = rows_of(corpus, f"datasets/{arm}")
        keys = [(row["source"], row["doc_id"]) for row in rows]
        assert len(set(keys)) == len(keys) > 0, arm
        for key, row in zip(keys, rows, strict=True):
            whole = documents[key] | scores[key] | {"shrunken_density": pytest.approx(shrunken[key])}
            whole["cut"] = cuts.get(row["lang"])
            altered = {"text", "token_ids", "n_tokens"} if arm == "lexicon_swap" else set[str]()
            assert row.keys() == {*DATASET.names}
            assert {k: v for k, v in row.items() if k not in altered} == {
                name: whole[name] for name in DATASET.names if name not in altered
            }
    swapped, matched = (
        {(row["source"], row["doc_id"]): row["text"] for row in rows_of(corpus, f"datasets/{arm}")}
        for arm in ("lexicon_swap", "matched")
    )
    assert swapped.keys() == matched.keys()
    assert sum(swapped[key] != matched[key] for key in matched) > 0


def test_the_arms_of_the_rebuild(spark: "SparkSession", corpus: SmallCorpus) -> None:
    totals = {row["lang"]: row["n_tokens"] for row in rows_of(corpus, "corpus_totals")}
    held = {arm: Counter[str]() for arm in ARMS}
    for arm in ARMS:
        for row in rows_of(corpus, f"datasets/{arm}"):
            held[arm][row["lang"]] += row["n_tokens"]
    for lang, n_tokens in totals.items():
        assert 0.1 * n_tokens < held["pivot"][lang] <= 0.3 * n_tokens
        assert held["random"][lang] <= held["pivot"][lang]
    assert set(held["parallel"]) == {"mul"}
    assert held["parallel"].total() <= held["pivot"].total()
    density = {arm: [row["pivot_density"] for row in rows_of(corpus, f"datasets/{arm}")] for arm in ("pivot", "random")}
    assert sum(density["pivot"]) / len(density["pivot"]) > 1.3 * sum(density["random"]) / len(density["random"])
