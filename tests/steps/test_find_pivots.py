"""The association step's filtering: by floor and by token."""

import numpy as np
import oracle_pivots
import pyarrow as pa
import pytest

from pivot_udfs.find_pivots import ASSOCIATIONS, associate_rows, drift_between

KINDS = list(oracle_pivots.MEASURES)


@pytest.mark.parametrize("kind", KINDS)
def test_the_step_keeps_what_exceeds_the_floor_and_may_be_a_pivot(kind: str) -> None:
    rows = [
        {"lang": "en", "word": "a", "token_id": token, "doc_count": both, "word_docs": 10, "token_docs": 10}
        for token, both in enumerate((10, 10, 1, 5))
    ]
    batch = pa.RecordBatch.from_pylist(rows)
    usable = np.array([True, False, True, True])
    floor = oracle_pivots.MEASURES[kind](5, 10, 10, 100)
    (kept,) = associate_rows(iter([batch]), kind, 100, floor + 1e-6, usable)
    assert kept.schema == ASSOCIATIONS
    assert kept.column("token_id").to_pylist() == [0]
    (kept,) = associate_rows(iter([batch]), kind, 100, floor - 1e-6, usable)
    assert kept.column("token_id").to_pylist() == [0, 3]
    for row in kept.to_pylist():
        wanted = oracle_pivots.MEASURES[kind](rows[row["token_id"]]["doc_count"], 10, 10, 100)
        assert row["association"] == pytest.approx(wanted)


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
