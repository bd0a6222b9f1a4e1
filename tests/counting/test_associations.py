"""Associations against formulas written cell by cell with ``math``, and their bounds."""

import math

import numpy as np
import oracle_pivots
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from pivot_udfs.counting.associations import MEASURES
from pivot_udfs.settings import Pivots

KINDS = list(oracle_pivots.MEASURES)


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """Documents with both, with the word, with the token, and in all; any 2 x 2 table that can be."""
    both, word, token, neither = (draw(st.integers(low, 10**9)) for low in (1, 0, 0, 0))
    return both, both + word, both + token, both + word + token + neither


def one(kind: str, both: int, word: int, token: int, n_docs: int) -> float:
    k, w, t = (np.array([value], np.float64) for value in (both, word, token))
    return float(MEASURES[kind].associate(k, w, t, float(n_docs))[0])


@pytest.mark.parametrize("kind", KINDS)
@given(cell=counts())
def test_formulas(kind: str, cell: tuple[int, int, int, int]) -> None:
    slack = 0.0 if kind == "llr" else 1e-9
    assert one(kind, *cell) == pytest.approx(oracle_pivots.MEASURES[kind](*cell), rel=1e-9, abs=slack)


@given(
    word=st.integers(1, 2**52), token=st.integers(1, 2**52), n_docs=st.integers(2**52, 2**53), excess=st.integers(1, 99)
)
@example(word=7 * 10**11, token=7 * 10**11, n_docs=10**12, excess=1)
def test_llr_of_many_documents_to_nine_digits(word: int, token: int, n_docs: int, excess: int) -> None:
    both = min(word, token, max(1, word + token - n_docs, word * token // n_docs + excess))
    exact = oracle_pivots.llr(both, word, token, n_docs)
    assert one("llr", both, word, token, n_docs) == pytest.approx(exact, rel=1e-9, abs=0)


def test_llr_of_more_cells_than_are_computed_at_once() -> None:
    token = np.arange(10, 20_010, dtype=np.float64)
    values = MEASURES["llr"].associate(np.full(20_000, 10.0), np.full(20_000, 50.0), token, 1e6)
    assert values[[0, -1]] == pytest.approx([one("llr", 10, 50, 10, 10**6), one("llr", 10, 50, 20_009, 10**6)])
    assert not MEASURES["llr"].associate(token[:0], token[:0], token[:0], 1e6).size


@given(cell=counts())
def test_bounds(cell: tuple[int, int, int, int]) -> None:
    assert -1 - 1e-12 <= one("npmi", *cell) <= 1 + 1e-12
    assert -1 <= one("lift_difference", *cell) <= 1
    assert one("llr", *cell) >= 0


@given(cell=counts())
def test_signs_agree(cell: tuple[int, int, int, int]) -> None:
    both, word, token, n_docs = cell
    excess = both * n_docs - word * token
    if abs(excess) > 1e-6 * both * n_docs:
        assert (one("npmi", *cell) > 0) == (one("lift_difference", *cell) > 0) == (excess > 0)
        assert excess > 0 or one("llr", *cell) == 0


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("npmi", (10, 10, 10, 100), 1.0),
        ("npmi", (1, 10, 10, 100), 0.0),
        ("npmi", (5, 5, 5, 5), 1.0),
        ("npmi", (1, 1, 1, 1), 1.0),
        ("npmi", (1, 1, 1, 10**12), 1.0),
        ("npmi", (4, 8, 4, 16), math.log(2) / math.log(4)),
        ("lift_difference", (5, 10, 20, 100), 0.3),
        ("lift_difference", (1, 100, 100, 100), -0.99),
        ("llr", (5, 5, 5, 5), 0.0),
        ("llr", (1, 10, 10, 100), 0.0),
        ("llr", (0.5, 10, 10, 100), 0.0),
        ("llr", (10, 10, 10, 20), 2 * 20 * math.log(2)),
    ],
)
def test_values_by_hand(kind: str, cell: tuple[int, int, int, int], value: float) -> None:
    assert one(kind, *cell) == pytest.approx(value, abs=1e-12)


def test_the_oracle_has_every_measure() -> None:
    assert tuple(MEASURES) == tuple(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_settings_take_every_measure_and_its_smallest_score(kind: str) -> None:
    assert Pivots(association=kind).score_floor == MEASURES[kind].min_score


def test_an_unknown_measure_is_an_error() -> None:
    with pytest.raises(ValidationError, match="is not a known measure; known measures: 'npmi', 'lift_diff"):
        Pivots(association="pmi")
