"""Scores equal a plain count of each document's tokens."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivot_udfs.errors import WarehouseError
from pivot_udfs.schemas import DOCUMENT_SCORES, DOCUMENTS
from pivot_udfs.score_documents import pivot_numbers, score_documents

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


@given(
    documents=st.lists(st.lists(st.integers(0, SIZE - 1), max_size=20), max_size=6),
    pivots=st.sets(st.integers(0, SIZE - 1)),
    cut=st.integers(0, 6),
)
def test_scores_are_a_plain_count(documents: list[list[int]], pivots: set[int], cut: int) -> None:
    batch = batch_of(documents)
    numbers = pivot_numbers(sorted(pivots), SIZE)
    tables, scored = zip(*score_documents(iter([batch.slice(0, cut), batch.slice(cut)]), numbers), strict=True)
    assert set(tables) == {"document_scores"}
    assert all(part.schema == DOCUMENT_SCORES for part in scored)
    rows = [row for part in scored for row in part.to_pylist()]
    assert [row["doc_id"] for row in rows] == [str(k) for k in range(len(documents))]
    for row, ids in zip(rows, documents, strict=True):
        found = Counter(token for token in ids if token in pivots)
        assert (row["n_pivot_tokens"], row["n_distinct_pivots"]) == (found.total(), len(found))
        assert row["pivot_density"] == (found.total() / len(ids) if ids else 0)
        assert row["n_tokens"] == len(ids)


def test_pivot_numbers_index_pivots_by_token_id() -> None:
    assert pivot_numbers([2, 5], 7).tolist() == [-1, -1, 0, -1, -1, 1, -1]
    assert pivot_numbers([], 3).dtype == np.int32


def test_token_ids_outside_the_vocabulary_are_an_error() -> None:
    with pytest.raises(WarehouseError, match=r"from 1 to 12, expected 0 to 11.*another tokenizer"):
        list(score_documents(iter([batch_of([[1, 12]])]), pivot_numbers([1], SIZE)))
