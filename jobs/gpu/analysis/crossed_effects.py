"""Effects on concepts that are all measured with every seed: estimates, intervals, tests, detectable effects.

The model of a value of seed s and concept c, with x_c a row of the design (a column of ones gives the mean):

    value(s, c) = x_c . (effect + seed effect_s) + concept_c + residual(s, c)

The last three are random: results hold for other seeds and for other concepts. The variance of an estimate is found
from three mean squares (seeds, concepts, residual), its degrees of freedom by Satterthwaite's approximation.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import chi2, norm
from scipy.stats import t as t_distribution

Values = NDArray[np.float64]
_QUANTILES = (np.arange(1000) + 0.5) / 1000
"""At which the power of a t-test is integrated over the estimated standard error; scipy's fails for few degrees."""


@dataclass(frozen=True)
class Components:
    """What decides how precise an effect is.

    Attributes:
        seed: variance of the effect among seeds; NaN for one seed.
        concept: variance of a concept's value, the same for all seeds; with one seed the residual is in it.
        residual: variance of a concept's value among seeds; 0 for one seed.
        leverage: variance of the estimate for a variance of 1 of the concepts' values.
        n_coefficients: columns of the design.
    """

    seed: float
    concept: float
    residual: float
    leverage: float
    n_coefficients: int

    def precision(self, n_seeds: int, n_concepts: int) -> tuple[float, float]:
        """Standard error and degrees of freedom of the effect; the leverage is that of ``n_concepts``."""
        n, free = n_seeds, n_concepts - self.n_coefficients
        if n == 1:
            return math.sqrt(self.leverage * (self.concept + self.residual)), free
        if math.isnan(self.seed):
            return math.nan, math.nan
        squares = np.array([self.seed / self.leverage + self.residual, n * self.concept + self.residual, self.residual])
        total = squares[0] + squares[1] - squares[2]
        if total <= 0:
            return 0.0, free
        degrees = total**2 / (squares**2 / np.array([n - 1, free, (n - 1) * free])).sum()
        return math.sqrt(self.leverage * total / n), float(degrees)

    def detectable(self, n_seeds: int, n_concepts: int, power: float = 0.8, level: float = 0.05) -> float:
        """The smallest effect that a two-sided test at ``level`` finds with probability ``power``; NaN if unknown.

        For one seed it covers other concepts only, not other seeds.
        """
        error, free = self.precision(n_seeds, n_concepts)
        if math.isnan(error) or free <= 0:
            return math.nan
        limits = t_distribution.ppf(1 - level / 2, free) * np.sqrt(chi2.ppf(_QUANTILES, free) / free)

        def lacking(shift: float) -> float:
            return float((norm.cdf(shift - limits) + norm.cdf(-shift - limits)).mean()) - power

        return error * float(brentq(lacking, 0, limits.max() + 10))


@dataclass(frozen=True)
class Effect:
    """An estimated effect: 95 % interval, two-sided p-value, degrees of freedom, and the estimate of each seed."""

    estimate: float
    low: float
    high: float
    p_value: float
    degrees: float
    by_seed: tuple[float, ...]
    n_concepts: int
    components: Components

    @property
    def n_seeds(self) -> int:
        """Number of seeds; for one, interval and p-value cover other concepts only."""
        return len(self.by_seed)

    def detectable(self, n_seeds: int | None = None) -> float:
        """The effect that would be found with 80 % power, with this or another number of seeds."""
        return self.components.detectable(n_seeds or self.n_seeds, self.n_concepts)

    def detectable_by(self, deviations: Mapping[str, float]) -> float:
        """The same, from the standard deviations of a pilot: its ``seed``, ``concept`` and ``residual``."""
        seed, concept, residual = (deviations[name] ** 2 for name in ("seed", "concept", "residual"))
        pilot = replace(self.components, seed=seed, concept=concept, residual=residual)
        return pilot.detectable(self.n_seeds, self.n_concepts)


def crossed_effects(values: Values, design: Values) -> list[Effect]:
    """The effect of every column of a design on ``values`` (seeds, concepts), such as differences between two arms.

    The design (concepts, columns) has full rank. Ones: the mean; ones and +-1: the mean, and half the difference
    between two halves.
    """
    (n_seeds, n_concepts), n_columns = values.shape, design.shape[1]
    if n_concepts <= n_columns or np.linalg.matrix_rank(design) < n_columns:
        return [_unknown(values, n_columns)] * n_columns
    inverse = np.linalg.pinv(design)
    of_seeds = values @ inverse.T
    left = values - of_seeds @ design.T
    free = n_concepts - n_columns
    of_concepts = float((left.mean(axis=0) ** 2).sum() / free)
    residual = float(((left - left.mean(axis=0)) ** 2).sum() / (free * (n_seeds - 1))) if n_seeds > 1 else 0.0
    concept = max(0.0, of_concepts - residual / n_seeds)
    found = []
    for column, leverage in zip(of_seeds.T, (inverse**2).sum(axis=1), strict=True):
        seed = max(0.0, float(column.var(ddof=1)) - leverage * residual) if n_seeds > 1 else math.nan
        found.append(_effect(column, n_concepts, Components(seed, concept, residual, float(leverage), n_columns)))
    return found


def _effect(of_seeds: Values, n_concepts: int, components: Components) -> Effect:
    estimate, (error, free) = float(of_seeds.mean()), components.precision(len(of_seeds), n_concepts)
    reach = error * float(t_distribution.ppf(0.975, free))
    p_value = 2 * float(t_distribution.sf(abs(estimate) / error, free)) if error > 0 else float(estimate == 0)
    seeds = tuple(of_seeds.tolist())
    return Effect(estimate, estimate - reach, estimate + reach, p_value, free, seeds, n_concepts, components)


def _unknown(values: Values, n_columns: int) -> Effect:
    """Too few concepts, or a design whose columns cannot be distinguished."""
    nothing = Components(math.nan, math.nan, math.nan, math.nan, n_columns)
    seeds = tuple([math.nan] * len(values))
    return Effect(math.nan, math.nan, math.nan, math.nan, math.nan, seeds, values.shape[1], nothing)
