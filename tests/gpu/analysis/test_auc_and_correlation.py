"""AUC and correlation against their definitions."""

import itertools
import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from jobs.gpu.analysis.auc_and_correlation import Groups, behaviour_auc, count_score_correlation

pytestmark = pytest.mark.torch


def _concepts(units: NDArray[np.int64] | int, directions: NDArray[np.str_] | None = None) -> Groups:
    units = np.arange(units) if isinstance(units, int) else units
    return Groups(units, np.full(len(units), "fr-zh") if directions is None else directions)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=30))
def test_auc_is_the_share_of_ordered_pairs(rows: list[tuple[bool, int]]) -> None:
    direct = np.array([row[0] for row in rows])
    counts = np.array([row[1] for row in rows], float)
    wins = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(counts[direct], counts[~direct])]
    got = behaviour_auc(direct, counts, _concepts(len(rows)), 10, 0)
    undefined = not wins or not counts.any()
    assert math.isnan(got.mean) if undefined else got.mean == pytest.approx(sum(wins) / len(wins))
    assert math.isnan(got.low) or (not undefined and 0 <= got.low <= got.high <= 1)


def test_auc_interval_is_that_of_resampled_pairs() -> None:
    random = np.random.default_rng(1)
    direct = random.random(200) < 0.5
    counts = random.poisson(np.where(direct, 8.0, 3.0)).astype(float)
    got = behaviour_auc(direct, counts, _concepts(200), 2000, 0)
    drawn = random.integers(0, 200, (2000, 200))
    expected = np.quantile([roc_auc_score(direct[rows], counts[rows]) for rows in drawn], [0.025, 0.975])
    assert (got.low, got.high) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("n_pivots", "is_known"), [(9, False), (10, True)])
def test_an_auc_interval_needs_ten_units_of_either_kind(n_pivots: int, is_known: bool) -> None:
    """Ten pivot pairs of nine concepts are nine units."""
    direct, counts = np.repeat([False, True], [n_pivots + 1, 40]), np.arange(n_pivots + 41.0)
    units = np.r_[0, np.arange(n_pivots), 100 + np.arange(40)]
    for labels, found in ((direct, 1.0), (~direct, 0.0)):
        got = behaviour_auc(labels, counts, _concepts(units), 100, 0)
        assert (got.mean, math.isfinite(got.low)) == (found, is_known)


def test_correlation_is_of_log_counts() -> None:
    counts = 2.0 ** np.arange(12) - 1
    scores = np.arange(12.0) + np.array([0.0, 0.1, -0.1, 0.2] * 3)
    got = count_score_correlation(counts, scores, _concepts(12), 500, 0)
    assert got.mean == pytest.approx(np.corrcoef(np.log2(counts + 1), scores)[0, 1])
    assert got.low < got.mean < got.high <= 1
    assert math.isnan(count_score_correlation(np.ones(9), np.arange(9.0), _concepts(9), 10, 0).mean)


def test_correlation_interval_is_fishers_for_independent_pairs() -> None:
    random = np.random.default_rng(2)
    x = random.normal(3, 0.5, 400)
    got = count_score_correlation(np.expm1(x), x + random.normal(0, 0.5, 400), _concepts(400), 2000, 0)
    z, width = math.atanh(got.mean), 1.96 / math.sqrt(397)
    assert (got.low, got.high) == pytest.approx((math.tanh(z - width), math.tanh(z + width)), abs=0.02)


def test_directions_of_one_concept_are_one_unit() -> None:
    """Four copies of a concept's pair are no more evidence than one of it."""
    random = np.random.default_rng(3)
    direct, counts, scores = random.random(60) < 0.5, random.poisson(4.0, 60).astype(float), random.random(60)
    four, units = (lambda values: np.tile(values, 4)), np.tile(np.arange(60), 4)
    one = behaviour_auc(direct, counts, _concepts(60), 500, 0)
    together = behaviour_auc(four(direct), four(counts), _concepts(units), 500, 0)
    assert (together.mean, together.low, together.high) == pytest.approx((one.mean, one.low, one.high))
    one = count_score_correlation(counts, scores, _concepts(60), 500, 0)
    together = count_score_correlation(four(counts), four(scores), _concepts(units), 500, 0)
    assert (together.mean, together.low, together.high) == pytest.approx((one.mean, one.low, one.high))


def test_pairs_are_compared_within_directions() -> None:
    """What directions have in common (many counts, few pivots, high scores) is no property of words."""
    random, place = np.random.default_rng(4), np.repeat([0, 1], 200)
    directions, groups = np.array(["en-fr", "fr-zh"])[place], np.tile(np.arange(200), 2)
    direct, counts = (
        random.random(400) < np.where(place, 0.3, 0.9),
        random.poisson(np.where(place, 2, 20)).astype(float),
    )
    scores = random.normal(size=400) + np.where(place, 0.0, 5.0)
    apart, pooled = _concepts(groups, directions), _concepts(groups)
    assert behaviour_auc(direct, counts, pooled, 100, 0).low > 0.6
    assert count_score_correlation(counts, scores, pooled, 100, 0).low > 0.6
    auc, r = behaviour_auc(direct, counts, apart, 1000, 0), count_score_correlation(counts, scores, apart, 1000, 0)
    assert auc.low < 0.5 < auc.high
    assert r.low < 0 < r.high
    rows = [place == k for k in (0, 1)]
    weights = [direct[k].sum() * (~direct[k]).sum() for k in rows]
    assert auc.mean == pytest.approx(np.average([roc_auc_score(direct[k], counts[k]) for k in rows], weights=weights))
    left = [np.concatenate([v[k] - v[k].mean() for k in rows]) for v in (np.log1p(counts), scores)]
    assert r.mean == pytest.approx(np.corrcoef(*left)[0, 1])
    undefined = behaviour_auc(place == 0, counts, apart, 100, 0)
    assert math.isnan(undefined.mean), "no direction has both kinds"
