"""Associations against formulas written cell by cell with ``math``, and their bounds."""

import math

import numpy as np
import oracle_pivots
import pytest
from hypothesis import given
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
    # G2 of large tables is a small difference of large sums in either form.
    slack = 1e-9 if kind != "llr" else 1e-12 * cell[3] * math.log(cell[3] + 1) + 1e-6
    assert one(kind, *cell) == pytest.approx(oracle_pivots.MEASURES[kind](*cell), rel=1e-9, abs=slack)


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
