"""How well corpus counts predict behaviour and scores: AUC of direct against pivot, and Pearson r.

Intervals are bootstrap intervals over units: a concept's pairs in several directions are not independent.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.stats import pearsonr
from sklearn.metrics import roc_auc_score

from jobs.gpu.analysis.bootstrap import Interval, Units, Values, bounds, resampled_sums


def behaviour_auc(direct: NDArray[np.bool_], counts: Values, units: Units, n_resamples: int, seed: int) -> Interval:
    """Probability that a direct pair has a larger count than a pivot pair, ties counted half.

    ``direct`` (pairs,) is True for direct and False for pivot; ``counts`` (pairs,) are occurrences in the corpus;
    ``units`` (pairs,) are such as the concept of each. NaN without both kinds, or if all counts are zero.
    """
    if direct.all() or not direct.any() or not counts.any():
        return Interval(math.nan, math.nan, math.nan, len(counts))
    levels, rank = np.unique(counts, return_inverse=True)
    cells = (np.arange(len(counts)), rank + len(levels) * direct)
    kinds = csr_array((np.ones(len(counts)), cells), shape=(len(counts), 2 * len(levels)))
    pivots, directs = np.split(resampled_sums(kinds, n_resamples, seed, units), 2, axis=1)
    below = pivots.cumsum(axis=1) - pivots / 2
    with np.errstate(invalid="ignore"):  # a resample without one of the kinds
        found = (directs * below).sum(axis=1) / (directs.sum(axis=1) * pivots.sum(axis=1))
    low, high = bounds(found).tolist()
    return Interval(float(roc_auc_score(direct, counts)), low, high, len(counts))


def count_score_correlation(counts: Values, scores: Values, units: Units, n_resamples: int, seed: int) -> Interval:
    """Pearson r of log(1 + count) and score; NaN for fewer than four pairs or if either is constant."""
    x, y = np.log1p(counts), scores
    if len(x) < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Interval(math.nan, math.nan, math.nan, len(x))
    x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    moments = np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1)
    n, sx, sy, sxx, syy, sxy = resampled_sums(moments, n_resamples, seed, units).T
    spread = np.sqrt(np.maximum(0, n * sxx - sx**2) * np.maximum(0, n * syy - sy**2))
    spread[spread < 1e-9 * n**2] = math.nan  # a resample in which one is constant
    found = (n * sxy - sx * sy) / spread
    low, high = bounds(found).tolist()
    return Interval(float(pearsonr(x, y).statistic), low, high, len(x))
