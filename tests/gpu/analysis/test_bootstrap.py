"""Bootstrap intervals and the sign-flip test."""

import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")


from jobs.gpu.analysis.bootstrap import crossed_interval, mean_interval, sign_flip_p_value

pytestmark = pytest.mark.torch


def test_intervals_and_p_values() -> None:
    values = np.random.default_rng(0).normal(0.5, 1, 400)
    got = mean_interval(values, 2000, 0)
    assert got.mean == pytest.approx(values.mean())
    assert (got.high - got.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.15)
    assert mean_interval(values, 2000, 0) == got
    assert math.isnan(mean_interval(values[:1], 100, 0).low)
    assert sign_flip_p_value(values, 2000, 0) < 0.001
    assert sign_flip_p_value(values - values.mean(), 2000, 0) > 0.9
    scores = np.random.default_rng(0).normal(0, 1, (3, 50)) + np.array([[0.0], [5.0], [10.0]])
    wide, narrow = crossed_interval(scores, 500, 0), mean_interval(scores.ravel(), 500, 0)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low), "differences between seeds must show"


def test_directions_of_one_concept_are_one_unit() -> None:
    """Four copies of a concept's value are no more evidence than one of it."""
    random = np.random.default_rng(0)
    one, concepts = random.normal(0.5, 1, 40), np.arange(40)
    four, units = np.tile(one, 4), np.tile(concepts, 4)
    alone, together = mean_interval(one, 2000, 0), mean_interval(four, 2000, 0, units)
    assert (together.mean, together.low, together.high) == pytest.approx((alone.mean, alone.low, alone.high))
    assert together.n == 160
    naive = mean_interval(four, 2000, 0)
    assert together.high - together.low > 1.6 * (naive.high - naive.low)
    small = one - one.mean() + 0.2
    assert sign_flip_p_value(np.tile(small, 4), 2000, 0, units) == sign_flip_p_value(small, 2000, 0) > 0.05
    assert sign_flip_p_value(np.tile(small, 4), 2000, 0) < 0.05


def test_units_are_weighted_by_their_size() -> None:
    values, units = np.array([1.0, 1.0, 1.0, 5.0]), np.array([7, 7, 7, 2])
    got = mean_interval(values, 500, 0, units)
    assert (got.mean, got.low, got.high) == (2.0, 1.0, 5.0)
    assert sign_flip_p_value(values, 999, 0, units) == pytest.approx(0.5, abs=0.06), "signs of -3 -5 +3 +5: two of four"
