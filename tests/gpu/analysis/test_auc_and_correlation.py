"""AUC and correlation against their definitions."""

import itertools
import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from hypothesis import given
from hypothesis import strategies as st

from jobs.gpu.analysis.auc_and_correlation import auc_interval, behaviour_auc, count_score_correlation

pytestmark = pytest.mark.torch


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=30))
def test_auc_is_the_share_of_ordered_pairs(rows: list[tuple[bool, int]]) -> None:
    direct = np.array([row[0] for row in rows])
    counts = np.array([row[1] for row in rows], float)
    wins = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(counts[direct], counts[~direct])]
    got = behaviour_auc(direct, counts)
    undefined = not wins or not counts.any()
    assert math.isnan(got) if undefined else got == pytest.approx(sum(wins) / len(wins))
    assert undefined == math.isnan(auc_interval(direct, counts, 10, 0)[0])


def test_auc_interval_holds_the_auc() -> None:
    random = np.random.default_rng(1)
    direct = random.random(200) < 0.5
    counts = random.poisson(np.where(direct, 8.0, 3.0)).astype(float)
    low, high = auc_interval(direct, counts, 500, 0)
    assert low < behaviour_auc(direct, counts) < high
    assert high - low < 0.2


def test_correlation_is_of_log_counts() -> None:
    counts = np.array([0, 1, 3, 7, 15, 31], float)
    scores = np.array([0.0, 1.1, 1.9, 3.2, 3.9, 5.0])
    got = count_score_correlation(counts, scores)
    assert got.r == pytest.approx(np.corrcoef(np.log2(counts + 1), scores)[0, 1])
    z, width = math.atanh(got.r), 1.959964 / math.sqrt(3)
    assert (got.low, got.high) == pytest.approx((math.tanh(z - width), math.tanh(z + width)))
    assert math.isnan(count_score_correlation(np.ones(9), np.arange(9.0)).r)
