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
    units = np.repeat(np.arange(10), np.where(np.arange(10) < 5, 3, 1))
    values = np.where(units < 5, 1.0, 5.0)
    got = mean_interval(values, 5000, 0, units)
    assert got.mean == 2.0
    times = np.random.default_rng(1).binomial(10, 0.5, 20000)  # how often one of the first five is drawn
    expected = (3 * times + 5 * (10 - times)) / (3 * times + (10 - times))
    assert (got.low, got.high) == pytest.approx(np.quantile(expected, [0.025, 0.975]))


@pytest.mark.parametrize(("n_units", "is_known"), [(9, False), (10, True)])
def test_an_interval_needs_ten_units(n_units: int, is_known: bool) -> None:
    units = np.arange(40) % n_units
    got = mean_interval(units.astype(float), 100, 0, units)
    assert (got.n, math.isfinite(got.low), math.isfinite(got.high)) == (40, is_known, is_known)
