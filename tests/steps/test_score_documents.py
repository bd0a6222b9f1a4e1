"""Scores equal a plain count of each document's tokens."""

from collections import Counter
from fractions import Fraction

import counted
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivot_udfs.errors import WarehouseError
from pivot_udfs.schemas import DOCUMENT_SCORES, DOCUMENTS
from pivot_udfs.score_documents import ScorePlan, score_documents, score_plan
from pivot_udfs.tokenization.backends import TokenizerSpec

SIZE = 12


def batch_of(documents: list[list[int]]) -> pa.RecordBatch:
    rows = [
        {
            "source": "s",
            "doc_id": str(k),
            "lang": "en",
            "text": "x",
            "token_ids": ids,
            "n_tokens": len(ids),
            "shard": "f",
            "record": k,
        }
        for k, ids in enumerate(documents)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=DOCUMENTS)


def plan_of(pivots: dict[int, float]) -> ScorePlan:
    """Of pivots; no token is a word."""
    numbers, nothing = np.full(SIZE, -1, np.int32), np.zeros(SIZE, np.uint8)
    for number, token_id in enumerate(pivots):
        numbers[token_id] = number
    lexicon = counted.lexicon_of(counted.sample_rows()[:9])
    return ScorePlan(numbers, np.array([*pivots.values()], np.float64), lexicon, nothing, nothing)


@given(
    documents=st.lists(st.lists(st.integers(0, SIZE - 1), max_size=20), max_size=6),
    pivots=st.dictionaries(st.integers(0, SIZE - 1), st.floats(-1, 1)),
    cut=st.integers(0, 6),
)
def test_scores_are_a_plain_count(documents: list[list[int]], pivots: dict[int, float], cut: int) -> None:
    batch = batch_of(documents)
    parts = iter([batch.slice(0, cut), batch.slice(cut)])
    tables, scored = zip(*score_documents(parts, plan_of(pivots)), strict=True)
    assert set(tables) == {"document_scores"}
    assert all(part.schema == DOCUMENT_SCORES for part in scored)
    rows = [row for part in scored for row in part.to_pylist()]
    assert [row["doc_id"] for row in rows] == [str(k) for k in range(len(documents))]
    for row, ids in zip(rows, documents, strict=True):
        found = Counter(token for token in ids if token in pivots)
        assert (row["n_pivot_tokens"], row["n_distinct_pivots"]) == (found.total(), len(found))
        assert row["pivot_density"] == (found.total() / len(ids) if ids else 0)
        assert row["n_tokens"] == len(ids)
        balance = sum(Fraction(pivots[token]) for token in ids if token in pivots) / max(len(ids), 1)
        assert row["half_balance"] == pytest.approx(float(balance), abs=1e-12)
        assert -1 <= row["half_balance"] <= 1
        assert row["word_share"] == row["foreign_share"] == 0


def test_a_plan_indexes_pivots_by_token_id(sample_tokenizer: TokenizerSpec) -> None:
    plan = score_plan({5: 0.5, 2: -1.0}, sample_tokenizer, counted.lexicon_of(counted.sample_rows()[:9]))
    assert plan.numbers[:7].tolist() == [-1, -1, 1, -1, -1, 0, -1]
    assert plan.balances.tolist() == [0.5, -1.0]
    assert len(plan.numbers) == len(plan.kinds) == len(plan.shapes)


def test_token_ids_outside_the_vocabulary_are_an_error() -> None:
    with pytest.raises(WarehouseError, match=r"from 1 to 12, expected 0 to 11.*another tokenizer"):
        list(score_documents(iter([batch_of([[1, 12]])]), plan_of({1: 0.0})))
