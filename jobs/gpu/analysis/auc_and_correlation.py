"""How well corpus counts predict behaviour and scores: AUC of direct against pivot, and Pearson r.

Pairs are compared with pairs of the same direction: directions differ in counts and labels alike, which says nothing of
words. Intervals are bootstrap intervals over units: a concept's pairs in several directions are not independent.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from jobs.gpu.analysis.bootstrap import FEWEST_UNITS, Interval, Units, Values, bounds, resampled_sums


@dataclass(frozen=True)
class Groups:
    """What pairs belong to, (pairs,) each: the unit that is resampled, such as the concept, and the direction."""

    units: Units
    directions: NDArray[np.str_]


def behaviour_auc(direct: NDArray[np.bool_], counts: Values, groups: Groups, n_resamples: int, seed: int) -> Interval:
    """Probability that a direct pair has a larger count than a pivot pair of its direction, ties counted half.

    ``direct`` (pairs,) is True for direct and False for pivot; ``counts`` (pairs,) are occurrences in the corpus. NaN
    without both kinds in any direction, or if all counts are zero; its bounds also with too few units of either kind.
    """
    nothing = Interval(math.nan, math.nan, math.nan, len(counts))
    if not counts.any():
        return nothing
    levels, rank = np.unique(counts, return_inverse=True)
    names, place = np.unique(groups.directions, return_inverse=True)
    shape = (len(names), 2, len(levels))
    cells = (np.arange(len(counts)), np.ravel_multi_index((place, direct.astype(int), rank), shape))
    kinds = csr_array((np.ones(len(counts)), cells), shape=(len(counts), math.prod(shape)))
    mean = float(_ordered_share(kinds.sum(axis=0).reshape(1, *shape))[0])
    few = min(len(np.unique(groups.units[of_kind])) for of_kind in (direct, ~direct)) < FEWEST_UNITS
    if few or math.isnan(mean):
        return Interval(mean, math.nan, math.nan, len(counts))
    found = _ordered_share(resampled_sums(kinds, n_resamples, seed, groups.units).reshape(-1, *shape))
    low, high = bounds(found).tolist()
    return Interval(mean, low, high, len(counts))


def _ordered_share(kinds: Values) -> Values:
    """AUC (n,) of numbers of pairs (n, directions, [pivot, direct], levels of counts); NaN without both kinds."""
    pivots, directs = kinds[:, :, 0], kinds[:, :, 1]
    below = pivots.cumsum(axis=-1) - pivots / 2
    with np.errstate(invalid="ignore"):  # no direction has both kinds
        share: Values = (directs * below).sum(axis=(1, 2)) / (directs.sum(axis=2) * pivots.sum(axis=2)).sum(axis=1)
    return share


def count_score_correlation(counts: Values, scores: Values, groups: Groups, n_resamples: int, seed: int) -> Interval:
    """Pearson r of log(1 + count) and score within directions (both less their mean there).

    NaN for fewer than four pairs or if either is constant in every direction.
    """
    nothing = Interval(math.nan, math.nan, math.nan, len(counts))
    if len(counts) < 4:
        return nothing
    names, place = np.unique(groups.directions, return_inverse=True)
    ones = np.ones(len(counts))
    x, y = (_standardized(values, place) for values in (np.log1p(counts), scores))
    if not (x.any() and y.any()):
        return nothing
    moments = np.zeros((len(counts), len(names), 6))
    moments[np.arange(len(counts)), place] = np.stack([ones, x, y, x * x, y * y, x * y], axis=1)
    sums = resampled_sums(moments.reshape(len(counts), -1), n_resamples, seed, groups.units)
    low, high = bounds(_within(sums.reshape(-1, len(names), 6))).tolist()
    return Interval(float(_within(moments.sum(axis=0)[None])[0]), low, high, len(counts))


def _standardized(values: Values, place: NDArray[np.int64]) -> Values:
    """Values less the mean of their direction, over the deviation of all; zeros if all are constant there."""
    left = values - (np.bincount(place, values) / np.bincount(place))[place]
    left[np.abs(left) < 1e-12 * np.abs(values).max(initial=1e-300)] = 0.0
    return left / (left.std() or 1.0)


def _within(moments: Values) -> Values:
    """Pearson r (n,) within directions of sums (n, directions, [1, x, y, x x, y y, x y]); NaN if one is constant."""
    size, x, y, xx, yy, xy = np.moveaxis(moments, -1, 0)
    size = np.maximum(size, 1)
    both, of_x, of_y = ((a - b * c / size).sum(axis=1) for a, b, c in ((xy, x, y), (xx, x, x), (yy, y, y)))
    spread = np.sqrt(np.maximum(0, of_x) * np.maximum(0, of_y))
    spread[spread < 1e-9 * size.sum(axis=1)] = math.nan
    share: Values = both / spread
    return share
