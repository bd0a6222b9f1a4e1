"""Means with bootstrap confidence intervals, and the paired comparison of two arms."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % percentile bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values: Values, n_resamples: int, seed: int) -> Interval:
    """The mean of ``values`` (n,) with its 95 % interval over resampled values; NaN bounds for n < 2."""
    if len(values) < 2:
        return Interval(float(values.mean()) if len(values) else float("nan"), float("nan"), float("nan"), len(values))
    random = np.random.default_rng(seed)
    step = max(1, _CHUNK // len(values))
    means = [
        values[random.integers(0, len(values), (min(step, n_resamples - k), len(values)))].mean(axis=1)
        for k in range(0, n_resamples, step)
    ]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high), len(values))


def crossed_interval(scores: Values, n_resamples: int, seed: int) -> Interval:
    """The mean of ``scores`` (seeds, words) with its 95 % interval.

    Seeds and words are resampled each by themselves.
    One seed gives an interval over words alone: what it says nothing about is how much training varies.
    """
    n_seeds, n_words = scores.shape
    random = np.random.default_rng(seed)
    means = np.empty(n_resamples)
    for k in range(n_resamples):
        rows = scores[random.integers(0, n_seeds, n_seeds)]
        means[k] = rows.mean(axis=0)[random.integers(0, n_words, n_words)].mean()
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(scores.mean()), float(low), float(high), scores.size)


def sign_flip_p_value(differences: Values, n_resamples: int, seed: int) -> float:
    """Two-sided p-value that paired ``differences`` (n,) have mean zero, by random changes of their signs.

    The smallest value it can give is 1 / (n_resamples + 1).
    """
    if not len(differences):
        return float("nan")
    random = np.random.default_rng(seed)
    observed = abs(differences.mean())
    step, extreme = max(1, _CHUNK // len(differences)), 0
    for k in range(0, n_resamples, step):
        signs = random.integers(0, 2, (min(step, n_resamples - k), len(differences))) * 2 - 1
        extreme += int((np.abs((signs * differences).mean(axis=1)) >= observed - 1e-15).sum())
    return (extreme + 1) / (n_resamples + 1)
