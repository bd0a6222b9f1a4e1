"""AUC and correlation against their definitions."""

import itertools
import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from jobs.gpu.analysis.auc_and_correlation import behaviour_auc, count_score_correlation

pytestmark = pytest.mark.torch


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=30))
def test_auc_is_the_share_of_ordered_pairs(rows: list[tuple[bool, int]]) -> None:
    direct = np.array([row[0] for row in rows])
    counts = np.array([row[1] for row in rows], float)
    wins = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(counts[direct], counts[~direct])]
    got = behaviour_auc(direct, counts, np.arange(len(rows)), 10, 0)
    undefined = not wins or not counts.any()
    assert math.isnan(got.mean) if undefined else got.mean == pytest.approx(sum(wins) / len(wins))
    assert math.isnan(got.low) or (not undefined and 0 <= got.low <= got.high <= 1)


def test_auc_interval_is_that_of_resampled_pairs() -> None:
    random = np.random.default_rng(1)
    direct = random.random(200) < 0.5
    counts = random.poisson(np.where(direct, 8.0, 3.0)).astype(float)
    got = behaviour_auc(direct, counts, np.arange(200), 2000, 0)
    drawn = random.integers(0, 200, (2000, 200))
    expected = np.quantile([roc_auc_score(direct[rows], counts[rows]) for rows in drawn], [0.025, 0.975])
    assert (got.low, got.high) == pytest.approx(expected, abs=0.01)


def test_correlation_is_of_log_counts() -> None:
    counts = np.array([0, 1, 3, 7, 15, 31], float)
    scores = np.array([0.0, 1.1, 1.9, 3.2, 3.9, 5.0])
    got = count_score_correlation(counts, scores, np.arange(6), 500, 0)
    assert got.mean == pytest.approx(np.corrcoef(np.log2(counts + 1), scores)[0, 1])
    assert got.low < got.mean < got.high <= 1
    assert math.isnan(count_score_correlation(np.ones(9), np.arange(9.0), np.arange(9), 10, 0).mean)


def test_correlation_interval_is_fishers_for_independent_pairs() -> None:
    random = np.random.default_rng(2)
    x = random.normal(3, 0.5, 400)
    got = count_score_correlation(np.expm1(x), x + random.normal(0, 0.5, 400), np.arange(400), 2000, 0)
    z, width = math.atanh(got.mean), 1.96 / math.sqrt(397)
    assert (got.low, got.high) == pytest.approx((math.tanh(z - width), math.tanh(z + width)), abs=0.02)


def test_directions_of_one_concept_are_one_unit() -> None:
    """Four copies of a concept's pair are no more evidence than one of it."""
    random = np.random.default_rng(3)
    direct, counts, scores = random.random(60) < 0.5, random.poisson(4.0, 60).astype(float), random.random(60)
    four, units = (lambda values: np.tile(values, 4)), np.tile(np.arange(60), 4)
    one = behaviour_auc(direct, counts, np.arange(60), 500, 0)
    together = behaviour_auc(four(direct), four(counts), units, 500, 0)
    assert (together.mean, together.low, together.high) == pytest.approx((one.mean, one.low, one.high))
    one = count_score_correlation(counts, scores, np.arange(60), 500, 0)
    together = count_score_correlation(four(counts), four(scores), units, 500, 0)
    assert (together.mean, together.low, together.high) == pytest.approx((one.mean, one.low, one.high))
