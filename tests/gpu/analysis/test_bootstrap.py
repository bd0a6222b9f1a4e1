"""Bootstrap intervals."""

import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")


from jobs.gpu.analysis.bootstrap import mean_interval

pytestmark = pytest.mark.torch


def test_the_interval_is_that_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(0.5, 1, 400)
    got = mean_interval(values, 2000, 0)
    assert got.mean == pytest.approx(values.mean())
    assert (got.high - got.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.15)
    assert mean_interval(values, 2000, 0) == got
    assert math.isnan(mean_interval(values[:1], 100, 0).low)


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


def test_units_are_weighted_by_their_size() -> None:
    values, units = np.array([1.0, 1.0, 1.0, 5.0]), np.array([7, 7, 7, 2])
    got = mean_interval(values, 500, 0, units)
    assert (got.mean, got.low, got.high) == (2.0, 1.0, 5.0)
