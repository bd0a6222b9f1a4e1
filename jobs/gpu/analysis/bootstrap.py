"""Means with bootstrap confidence intervals."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Units = NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % percentile bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values: Values, n_resamples: int, seed: int, units: Units | None = None) -> Interval:
    """The mean of ``values`` (n,) with its 95 % interval over resampled units; NaN bounds for fewer than two units.

    ``units`` (n,) has the unit of each value: the values of a concept in all directions are resampled together. None:
    every value is a unit.
    """
    sums, sizes = _by_unit(values, units)
    mean = float(values.mean()) if values.size else math.nan
    if len(sums) < 2:
        return Interval(mean, math.nan, math.nan, values.size)
    random = np.random.default_rng(seed)
    means = np.empty(n_resamples)
    for k in range(n_resamples):
        drawn = random.integers(0, len(sums), len(sums))
        means[k] = sums[drawn].sum() / sizes[drawn].sum()
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(mean, float(low), float(high), values.size)


def _by_unit(values: Values, units: Units | None) -> tuple[Values, Values]:
    """The sum of each unit's values (units,), and their number (units,)."""
    if units is None:
        return values, np.ones(len(values))
    names, place = np.unique(units, return_inverse=True)
    sums: Values = np.bincount(place, values, len(names)).astype(float)
    return sums, np.bincount(place, minlength=len(names)).astype(float)
