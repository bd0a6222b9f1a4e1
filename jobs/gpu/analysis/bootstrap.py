"""Bootstrap confidence intervals over units, such as concepts: all values of a unit are resampled together."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Values = NDArray[np.float64]
Units = NDArray[np.int64]
FEWEST_UNITS = 10
"""Units that an interval needs: of fewer, a bootstrap interval covers too little."""


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % percentile bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int


def resampled_sums(parts: Any, n_resamples: int, seed: int, units: Units) -> Values:
    """Sums of ``parts`` (n, k), dense or sparse, over resampled units: (n_resamples, k).

    ``units`` (n,) has the unit of each of the n values. NaN for fewer than ``FEWEST_UNITS``.
    """
    names, place = np.unique(units, return_inverse=True)
    if len(names) < FEWEST_UNITS:
        return np.full((n_resamples, parts.shape[1]), math.nan)
    times = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), n_resamples)
    of_units = csr_array((np.ones(len(place)), (place, np.arange(len(place))))) @ parts
    sums: Values = times.astype(float) @ of_units
    return sums


def bounds(found: Values) -> Values:
    """The 2.5 % and 97.5 % quantiles (2, ...) of resamples (n_resamples, ...); undefined ones (NaN) are skipped."""
    if np.isnan(found).all():
        return np.full((2, *found.shape[1:]), math.nan)
    limits: Values = np.nanquantile(found, [0.025, 0.975], axis=0)
    return limits


def mean_interval(values: Values, n_resamples: int, seed: int, units: Units | None = None) -> Interval:
    """The mean of ``values`` (n,) with its 95 % interval over resampled units; NaN bounds for too few units.

    ``units`` (n,) has the unit of each value: the values of a concept in all directions are resampled together. None:
    every value is a unit.
    """
    units = np.arange(len(values)) if units is None else units
    sums = resampled_sums(np.stack([values, np.ones(len(values))], axis=1), n_resamples, seed, units)
    low, high = bounds(sums[:, 0] / sums[:, 1]).tolist()
    return Interval(float(values.mean()) if values.size else math.nan, low, high, values.size)
