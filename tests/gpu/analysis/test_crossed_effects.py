"""Effects with crossed seeds and concepts: against simulations with known truth, and against restricted likelihood."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from jobs.gpu.analysis.crossed_effects import Components, Values, crossed_effects

pytestmark = pytest.mark.torch
N_SEEDS, N_CONCEPTS = 8, 120
HALF = np.where(np.arange(N_CONCEPTS) < 60, 1.0, -1.0)
CROSSOVER = np.stack([np.ones(N_CONCEPTS), HALF], axis=1)
SLOPE = np.stack([np.ones(N_CONCEPTS), np.random.default_rng(5).lognormal(size=N_CONCEPTS)], axis=1)


def _simulated(random: np.random.Generator, design: Values, effect: float, variances: tuple[float, ...]) -> Values:
    """Values (seeds, concepts) with this effect of the last column; every seed also moves all concepts."""
    seed, concept, residual = np.sqrt(variances)
    of_seeds = effect + random.normal(0, seed, (N_SEEDS, 1))
    common = random.normal(3, 1, (N_SEEDS, 1)) if design.shape[1] > 1 else 0.0
    values: Values = common + of_seeds * design[:, -1]
    return values + random.normal(0, concept, N_CONCEPTS) + random.normal(0, residual, (N_SEEDS, N_CONCEPTS))


@pytest.mark.parametrize("variances", [(0.02, 0.5, 1.0), (0.2, 0.5, 1.0), (0.05, 0.0, 1.0), (0.0, 1.0, 1.0)])
@pytest.mark.parametrize("design", [CROSSOVER, CROSSOVER[:, :1], SLOPE], ids=["crossover", "mean", "slope"])
def test_coverage_size_and_power_are_the_nominal_ones(design: Values, variances: tuple[float, ...]) -> None:
    random, n = np.random.default_rng(0), 1000
    leverage = float((np.linalg.pinv(design)[-1] ** 2).sum())
    smallest = Components(*variances, leverage, design.shape[1]).detectable(N_SEEDS, N_CONCEPTS)
    null = [crossed_effects(_simulated(random, design, 0.0, variances), design)[-1] for _ in range(n)]
    real = [crossed_effects(_simulated(random, design, smallest, variances), design)[-1] for _ in range(n)]
    assert 0.93 < np.mean([effect.low <= smallest <= effect.high for effect in real]) < 0.975
    assert 0.03 < np.mean([effect.p_value < 0.05 for effect in null]) < 0.075
    assert 0.76 < np.mean([effect.p_value < 0.05 for effect in real]) < 0.84


@pytest.mark.parametrize(("n_seeds", "least", "most"), [(2, 0.08, 0.13), (3, 0.05, 0.09), (4, 0.04, 0.075)])
def test_tests_of_fewer_than_four_seeds_reject_a_true_null_too_often(n_seeds: int, least: float, most: float) -> None:
    random, n, n_concepts = np.random.default_rng(0), 1000, 400
    shape, design = (n_seeds, n_concepts), np.ones((n_concepts, 1))
    values = (
        random.normal(0, 0.05, (n_seeds, 1)) + random.normal(0, 0.06, n_concepts) + random.normal(0, 0.05, shape)
        for _ in range(n)
    )
    assert least < np.mean([crossed_effects(rows, design)[-1].p_value < 0.05 for rows in values]) < most


def test_a_pilot_predicts_the_detectable_effect_of_more_seeds() -> None:
    random, variances = np.random.default_rng(1), (0.05, 0.5, 1.0)
    pilots = [crossed_effects(_simulated(random, CROSSOVER, 0.0, variances), CROSSOVER)[-1] for _ in range(200)]
    for n_seeds in (2, 4, 16):
        truth = Components(*variances, 1 / N_CONCEPTS, 2).detectable(n_seeds, N_CONCEPTS)
        assert np.median([pilot.detectable(n_seeds) for pilot in pilots]) == pytest.approx(truth, rel=0.15)


def test_what_training_does_to_all_words_cancels_in_a_crossover() -> None:
    values = _simulated(np.random.default_rng(2), CROSSOVER, 0.3, (0.1, 0.5, 1.0))
    moved = values + np.random.default_rng(3).normal(0, 100, (N_SEEDS, 1))
    one, two = (crossed_effects(rows, CROSSOVER)[1] for rows in (values, moved))
    assert (two.estimate, two.low, two.p_value) == pytest.approx((one.estimate, one.low, one.p_value))
    first, second = values[:, :60].mean(), values[:, 60:].mean()
    assert one.estimate == pytest.approx((first - second) / 2)


def test_components_are_those_of_restricted_maximum_likelihood() -> None:
    """For balanced data and positive components both are the same; the likelihood needs no mean squares."""
    n_seeds, n_concepts = 4, 14
    random = np.random.default_rng(4)
    half = np.where(np.arange(n_concepts) < 7, 1.0, -1.0)
    values = random.normal(0, 1, (n_seeds, 1)) + half * random.normal(1, 1.5, (n_seeds, 1))
    values = values + random.normal(0, 1, n_concepts) + random.normal(0, 0.7, (n_seeds, n_concepts))
    effect = crossed_effects(values, np.stack([np.ones(n_concepts), half], axis=1))[1]
    seeds, concepts = np.repeat(np.arange(n_seeds), n_concepts), np.tile(np.arange(n_concepts), n_seeds)
    signs, y = half[concepts], values.ravel()
    fixed = np.stack([np.ones(len(y)), signs], axis=1)
    same_seed, same_concept = seeds[:, None] == seeds, concepts[:, None] == concepts

    def covariance(variances: Values) -> Values:
        of_seed, common, of_concept, residual = variances
        shared: Values = same_seed * (common + of_seed * signs[:, None] * signs) + same_concept * of_concept
        return shared + residual * np.eye(len(y))

    def minus_log_likelihood(logs: Values) -> float:
        matrix = covariance(np.exp(logs))
        inverse = np.linalg.inv(matrix)
        information = fixed.T @ inverse @ fixed
        left = y - fixed @ np.linalg.solve(information, fixed.T @ inverse @ y)
        return float(np.linalg.slogdet(matrix)[1] + np.linalg.slogdet(information)[1] + left @ inverse @ left)

    found = minimize(minus_log_likelihood, np.zeros(4), method="Nelder-Mead", options={"maxiter": 4000, "fatol": 1e-10})
    of_seed, _, of_concept, residual = np.exp(found.x)
    parts = effect.components
    assert (parts.seed, parts.concept, parts.residual) == pytest.approx((of_seed, of_concept, residual), rel=1e-3)
    information = fixed.T @ np.linalg.inv(covariance(np.exp(found.x))) @ fixed
    error = math.sqrt(np.linalg.inv(information)[1, 1])
    assert parts.precision(n_seeds, n_concepts)[0] == pytest.approx(error, rel=1e-3)


def test_one_seed_gives_the_interval_over_concepts_alone() -> None:
    values = np.random.default_rng(6).normal(0.2, 1, (1, 50))
    effect = crossed_effects(values, np.ones((50, 1)))[0]
    assert (effect.high - effect.estimate) == pytest.approx(2.0096 * values.std(ddof=1) / math.sqrt(50), rel=1e-3)
    assert effect.degrees == 49
    assert effect.detectable() == pytest.approx(2.85 * values.std(ddof=1) / math.sqrt(50), rel=0.02)
    assert math.isnan(effect.detectable(8)), "one seed says nothing of others"


def test_a_pilot_of_several_seeds_says_what_one_seed_detects() -> None:
    """With one seed the residual is part of what a concept differs by."""
    effect = crossed_effects(np.random.default_rng(7).normal(0.2, 1, (1, 50)), np.ones((50, 1)))[0]
    whole = effect.detectable_by({"seed": 0.0, "concept": 0.5, "residual": 0.0})
    assert effect.detectable_by({"seed": 0.1, "concept": 0.3, "residual": 0.4}) == pytest.approx(whole)


@pytest.mark.parametrize("design", [np.ones((3, 4)), np.array([[1, 0.5], [1, 0.5], [1, 0.5]]), np.ones((1, 1))])
def test_effects_that_cannot_be_told_apart_are_not_estimated(design: Values) -> None:
    effects = crossed_effects(np.ones((2, len(design))), design)
    assert len(effects) == design.shape[1]
    assert all(math.isnan(effect.p_value) and math.isnan(effect.detectable()) for effect in effects)


def test_equal_values_have_no_variance() -> None:
    effect = crossed_effects(np.ones((3, 5)), np.ones((5, 1)))[0]
    assert (effect.estimate, effect.low, effect.high, effect.p_value) == pytest.approx((1, 1, 1, 0))
