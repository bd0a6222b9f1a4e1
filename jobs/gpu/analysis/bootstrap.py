"""Means with bootstrap confidence intervals, and the paired comparison of two arms."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Units = NDArray[np.int64]
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % percentile bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values: Values, n_resamples: int, seed: int, units: Units | None = None) -> Interval:
    """The mean of ``values`` (n,) with its 95 % interval over resampled units; NaN bounds for fewer than two units.

    Args:
        values: one per word and direction.
        n_resamples, seed: of the bootstrap.
        units: (n,), the unit of each value (the values of a concept in all directions are resampled together); None:
            every value is a unit.
    """
    return crossed_interval(values[None], n_resamples, seed, units)


def crossed_interval(scores: Values, n_resamples: int, seed: int, units: Units | None = None) -> Interval:
    """The mean of ``scores`` (seeds, words) with its 95 % interval.

    Seeds and units of words (see ``mean_interval``) are resampled independently. With one seed the interval is over
    words alone and does not cover the variation of training.
    """
    sums, sizes = _by_unit(scores, units)
    n_seeds, n_units = sums.shape
    mean = float(scores.mean()) if scores.size else math.nan
    if n_units < 2:
        return Interval(mean, math.nan, math.nan, scores.size)
    random = np.random.default_rng(seed)
    means = np.empty(n_resamples)
    for k in range(n_resamples):
        drawn = random.integers(0, n_units, n_units)
        of_units = sums[random.integers(0, n_seeds, n_seeds)].mean(axis=0) if n_seeds > 1 else sums[0]
        means[k] = of_units[drawn].sum() / sizes[drawn].sum()
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(mean, float(low), float(high), scores.size)


def sign_flip_p_value(differences: Values, n_resamples: int, seed: int, units: Units | None = None) -> float:
    """Two-sided p-value that paired ``differences`` (n,) have mean zero, by random sign flips.

    All differences of a unit (see ``mean_interval``) are flipped together. The smallest possible value is
    1 / (n_resamples + 1).
    """
    if not len(differences):
        return math.nan
    sums = _by_unit(differences[None], units)[0][0]
    random = np.random.default_rng(seed)
    observed, slack = abs(sums.sum()), 1e-12 * np.abs(sums).sum()
    step, extreme = max(1, _CHUNK // len(sums)), 0
    for k in range(0, n_resamples, step):
        signs = random.integers(0, 2, (min(step, n_resamples - k), len(sums))) * 2 - 1
        extreme += int((np.abs((signs * sums).sum(axis=1)) >= observed - slack).sum())
    return (extreme + 1) / (n_resamples + 1)


def _by_unit(scores: Values, units: Units | None) -> tuple[Values, Values]:
    """Sums of each unit (seeds, units), and its number of words (units,)."""
    if units is None:
        return scores, np.ones(scores.shape[1])
    names, place = np.unique(units, return_inverse=True)
    sums = [np.bincount(place, row, len(names)) for row in scores]
    return np.stack(sums), np.bincount(place, minlength=len(names)).astype(float)
