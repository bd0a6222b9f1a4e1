"""The two steps that find pair pivots, on files of counts: what is kept, and which pairs have pivots."""

from pathlib import Path
from typing import Any

import counted
import numpy as np
import oracle_pivots
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.framework.refresh import drift_between
from pivot_udfs.find_pivots import (
    ASSOCIATIONS,
    PivotPlan,
    TokenFigures,
    associate_files,
    best_hubs,
    find_pair_pivots,
)
from pivot_udfs.schemas import PAIR_PIVOTS, TOKEN_COOCCURRENCE
from pivot_udfs.setting_sections.pivot_and_selection_settings import Pivots
from pivot_udfs.tokenization.backends import TokenizerSpec
from pivot_udfs.tokenization.vocabulary import vocabulary

N_DOCS = 100
WORDS = {"a": 0, "b": 1}
"""Word ids: ("en", "a"), ("fr", "b")."""


def plan_of(tokenizer: TokenizerSpec, pivots: Pivots, **changes: Any) -> PivotPlan:
    size = vocabulary(tokenizer).size
    figures = TokenFigures(
        np.full(size, 10), np.full(size, 0.1), np.ones(size), np.ones(size, np.int64), np.ones(size, np.bool_)
    )
    lexicon = counted.lexicon_of([{"en": "a", "fr": "b"}])
    return PivotPlan(lexicon, tokenizer, pivots, N_DOCS, np.array([10, 10]), figures._replace(**changes))


def associations(folder: Path, plan: PivotPlan, cells: list[tuple[str, str, int, int]]) -> pa.Table:
    """What the first step makes of (language, word, token, documents)."""
    rows = [
        {"lang": lang, "word": word, "token_id": token, "pair_count": docs, "doc_count": docs}
        for lang, word, token, docs in cells
    ]
    half = len(rows) // 2
    for number, part in enumerate((rows[:half], rows[half:])):
        pq.write_table(pa.Table.from_pylist(part, TOKEN_COOCCURRENCE), folder / f"{number}.parquet")
    files = pa.record_batch({"file": ["0.parquet", "1.parquet"], "sign": [1, 1]})
    found = associate_files(iter([files]), str(folder), plan)
    return pa.Table.from_batches(found, ASSOCIATIONS).sort_by([("concept", "ascending"), ("word", "ascending")])


def kept(table: pa.Table) -> dict[tuple[int, int], float]:
    """Association by word id and token."""
    return {
        (row["word"], token): value
        for row in table.to_pylist()
        for token, value in zip(
            np.frombuffer(row["tokens"], np.int32).tolist(), np.frombuffer(row["associations"]).tolist(), strict=True
        )
    }


@pytest.mark.parametrize("kind", oracle_pivots.MEASURES)
def test_associations_above_the_floor_are_kept(tmp_path: Path, sample_tokenizer: TokenizerSpec, kind: Any) -> None:
    measure = oracle_pivots.MEASURES[kind]
    floor = measure(5, 10, 10, N_DOCS)
    cells = [("en", "a", 300, 10), ("en", "a", 301, 1), ("en", "a", 302, 5), ("fr", "b", 300, 7)]
    for shift, wanted in ((1e-6, {(0, 300), (1, 300)}), (-1e-6, {(0, 300), (0, 302), (1, 300)})):
        plan = plan_of(sample_tokenizer, Pivots(association=kind, min_score=floor + shift, min_doc_count=1))
        found = kept(associations(tmp_path, plan, cells))
        assert found.keys() == wanted
        for (word, token), value in found.items():
            docs = next(n for _, name, t, n in cells if (WORDS[name], t) == (word, token))
            assert value == pytest.approx(measure(docs, 10, 10, N_DOCS))


def test_pieces_of_words_unusable_tokens_and_rare_cells_are_left_out(
    tmp_path: Path, sample_tokenizer: TokenizerSpec
) -> None:
    size = vocabulary(sample_tokenizer).size
    usable, words = np.ones(size, np.bool_), np.ones(size)
    usable[300] = False
    words[301] = 0.49
    words[302] = 0.5
    plan = plan_of(sample_tokenizer, Pivots(), usable=usable, word_share=words)
    cells = [("en", "a", token, 5) for token in (300, 301, 302)] + [("en", "a", 303, 4)]
    assert kept(associations(tmp_path, plan, cells)).keys() == {(0, 302)}
    everything = plan_of(sample_tokenizer, Pivots(min_word_share=0, min_doc_count=1), usable=usable, word_share=words)
    assert kept(associations(tmp_path, everything, cells)).keys() == {(0, 301), (0, 302), (0, 303)}


def test_a_pair_has_the_tokens_of_both_words_best_first(tmp_path: Path, sample_tokenizer: TokenizerSpec) -> None:
    plan = plan_of(sample_tokenizer, Pivots(min_doc_count=1, min_score=-0.99, pivots_per_pair=2))
    cells = [("en", "a", 300, 3), ("en", "a", 301, 9), ("en", "a", 302, 9), ("en", "a", 303, 9)]
    cells += [("fr", "b", 302, 8), ("fr", "b", 301, 8), ("fr", "b", 300, 9), ("fr", "b", 304, 9)]
    table = associations(tmp_path, plan, cells)
    ((name, rows),) = find_pair_pivots(iter(table.to_batches()), plan)
    assert name == "pair_pivots"
    assert [(row["token_id"], row["rank"]) for row in rows.to_pylist()] == [(301, 1), (302, 2)]
    by_token = kept(table)
    for row in rows.to_pylist():
        assert (row["lang_a"], row["word_a"], row["lang_b"], row["word_b"]) == ("en", "a", "fr", "b")
        assert row["association_a"] == by_token[0, row["token_id"]]
        assert row["score"] == min(row["association_a"], row["association_b"])
        assert row["token"] == vocabulary(sample_tokenizer).texts[row["token_id"]]


def pair_rows(cells: list[tuple[int, str, str, int, float]]) -> pa.Table:
    """Rows of ``pair_pivots`` of (concept, language a, language b, token, score)."""
    rows = [
        {
            "concept": concept,
            "lang_a": a,
            "word_a": "a",
            "lang_b": b,
            "word_b": "b",
            "token_id": token,
            "token": "",
            "rank": 1,
        }
        | dict.fromkeys(("association_a", "association_b", "score"), score)
        for concept, a, b, token, score in cells
    ]
    return pa.Table.from_pylist(rows, PAIR_PIVOTS)


def test_hubs_are_ranked_by_the_sum_of_their_scores_and_then_by_token(sample_tokenizer: TokenizerSpec) -> None:
    pairs = pair_rows([(0, "en", "fr", 302, 0.5), (0, "en", "fr", 301, 0.25), (0, "fr", "zh", 301, 0.25)])
    plan = plan_of(sample_tokenizer, Pivots(min_concepts=1))
    hubs = best_hubs(pairs, plan)
    names = ("token_id", "score", "n_concepts", "n_language_pairs", "rank")
    assert [tuple(hub[name] for name in names) for hub in hubs] == [(301, 0.5, 1, 2, 1), (302, 0.5, 1, 1, 2)]
    assert all(hub["token"] == vocabulary(sample_tokenizer).texts[hub["token_id"]] for hub in hubs)
    assert {abs(hub["half_balance"]) for hub in hubs} == {1.0}
    assert len(best_hubs(pairs, plan_of(sample_tokenizer, Pivots(min_concepts=1, n_pivots=1)))) == 1
    assert best_hubs(pairs, plan_of(sample_tokenizer, Pivots(min_concepts=2))) == []
    assert best_hubs(pairs.slice(0, 0), plan) == []


def test_hubs_in_too_many_documents_or_too_few_sources_are_left_out(sample_tokenizer: TokenizerSpec) -> None:
    size = vocabulary(sample_tokenizer).size
    share, sources = np.full(size, 0.2), np.full(size, 3)
    share[301], sources[302] = 0.21, 2
    plan = plan_of(
        sample_tokenizer, Pivots(min_concepts=1, max_doc_share=0.2, min_sources=3), doc_share=share, n_sources=sources
    )
    hubs = best_hubs(pair_rows([(0, "en", "fr", token, 0.5) for token in (300, 301, 302)]), plan)
    assert [hub["token_id"] for hub in hubs] == [300]


@pytest.mark.parametrize(
    ("pinned", "found", "drift"),
    [
        ([], [], 0),
        ([1], [], 1),
        ([], [1], 1),
        ([1, 2], [2, 1], 0),
        ([1, 2, 3, 4], [1, 2, 3, 5], 0.25),
        ([1], [1, 2], 0.5),
    ],
)
def test_drift_is_the_share_of_the_larger_set_that_differs(pinned: list[int], found: list[int], drift: float) -> None:
    assert drift_between(pinned, found) == drift
