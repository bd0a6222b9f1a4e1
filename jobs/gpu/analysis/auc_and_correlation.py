"""How well corpus counts predict behaviour and scores: AUC of direct against pivot, and Pearson r."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr
from sklearn.metrics import roc_auc_score

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """Pearson r with its 95 % confidence interval (Fisher's z); NaN if it is undefined."""

    r: float
    low: float
    high: float
    n: int


def behaviour_auc(direct: NDArray[np.bool_], counts: Values) -> float:
    """Probability that a direct pair has a larger count than a pivot pair, ties counted half.

    ``direct`` (pairs,) is True for direct and False for pivot; ``counts`` (pairs,) are occurrences in the corpus. NaN
    without both kinds, or if all counts are zero.
    """
    if _undefined(direct, counts):
        return math.nan
    return float(roc_auc_score(direct, np.log1p(counts)))


def _undefined(direct: NDArray[np.bool_], counts: Values) -> bool:
    return bool(direct.all() or not direct.any() or not counts.any())


def auc_interval(direct: NDArray[np.bool_], counts: Values, n_resamples: int, seed: int) -> tuple[float, float]:
    """95 % percentile bootstrap interval of ``behaviour_auc`` over pairs, both kinds resampled independently."""
    if _undefined(direct, counts):
        return math.nan, math.nan
    random = np.random.default_rng(seed)
    positive, negative = np.log1p(counts[direct]), np.log1p(counts[~direct])
    found = np.empty(n_resamples)
    for k in range(n_resamples):
        first = random.choice(positive, len(positive))
        second = np.sort(random.choice(negative, len(negative)))
        below = np.searchsorted(second, first, "left") + np.searchsorted(second, first, "right")
        found[k] = below.mean() / (2 * len(second))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def count_score_correlation(counts: Values, scores: Values) -> Correlation:
    """Pearson r of log(1 + count) and score; NaN for fewer than four pairs or if either is constant."""
    logs = np.log1p(counts)
    if len(logs) < 4 or np.ptp(logs) == 0 or np.ptp(scores) == 0:
        return Correlation(math.nan, math.nan, math.nan, len(logs))
    found = pearsonr(logs, scores)
    low, high = found.confidence_interval(0.95)
    return Correlation(float(found.statistic), float(low), float(high), len(logs))
