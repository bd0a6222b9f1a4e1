"""The contrasts of an experiment: pairs of arms whose gains are compared, concept by concept.

A contrast is written ``<treatment>-<control>``. That of the two halves is a crossover: the effect is half the
difference of the two arms between the concepts of half A and those of half B, so that what training does to all words
cancels. Any other is the mean difference over all concepts. A concept is one unit: its directions are averaged.
"""

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.gpu.analysis.crossed_effects import Effect, Values, crossed_effects
from jobs.gpu.analysis.dose_response import dose_slopes
from pivot_udfs.arms import CROSSOVER, arms_of
from pivot_udfs.errors import TaskError

METRICS = ("contrast", "score")
"""The primary one first."""
_OTHER_SEEDS = (2, 4, 8, 16)


@dataclass(frozen=True)
class RunResult:
    """What one run gave: scores of all words, bits per byte ``before`` and ``after``, doses by concept (ascending)."""

    scores: pa.Table
    bits: Mapping[str, Mapping[str, float]]
    doses: Mapping[str, Values]


Runs = Mapping[tuple[str, int], RunResult]


class Words:
    """The words of a task and their scores before training; ``masks``: bool (words,) by direction and of ``all``."""

    def __init__(self, base: pa.Table) -> None:
        self._base = base
        direction = np.asarray(base["direction"].to_pylist())
        self.masks = {str(name): direction == name for name in dict.fromkeys(direction.tolist())}
        self.masks["all"] = np.ones(len(direction), bool)
        self._numbers = np.asarray(base["concept"])
        self.concepts: NDArray[np.int64] = np.unique(self._numbers)

    def vector(self, scores: pa.Table, metric: str) -> Values:
        """A metric of every word (words,); raises TaskError where the scores are of another task."""
        keys = ["direction", "concept"]
        if not scores.select(keys).equals(self._base.select(keys)):
            raise TaskError("scores of different tasks cannot be compared: evaluate all models on one task file")
        return np.asarray(scores[metric], float)

    def before(self, metric: str) -> Values:
        """A metric of every word before training (words,)."""
        return self.vector(self._base, metric)

    def after(self, runs: Iterable[RunResult], metric: str) -> Values:
        """A metric of every word after training: (runs, words)."""
        return np.stack([self.vector(run.scores, metric) for run in runs])

    def by_concept(self, values: Values, name: str = "all") -> tuple[Values, NDArray[np.int64]]:
        """Means over the words of each concept in a direction: (seeds, concepts), and the concepts' numbers."""
        mask = self.masks[name]
        numbers, place, sizes = np.unique(self._numbers[mask], return_inverse=True, return_counts=True)
        return np.stack([np.bincount(place, row[mask], len(numbers)) / sizes for row in values]), numbers

    def means(self, values: Values) -> dict[str, dict[str, Any]]:
        """The mean over concepts and seeds of each direction of ``values`` (seeds, words)."""
        found = {name: self.by_concept(values, name)[0] for name in self.masks}
        return {name: effect_row(crossed_effects(rows, np.ones((rows.shape[1], 1)))[0]) for name, rows in found.items()}


def effect_row(effect: Effect) -> dict[str, Any]:
    """An effect as a part of a JSON file: estimate with interval, and the numbers of concepts and seeds."""
    numbers = {"n": effect.n_concepts, "n_seeds": effect.n_seeds}
    return {"mean": effect.estimate, "low": effect.low, "high": effect.high, **numbers}


def row_with_p_value(effect: Effect, pilot: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A tested effect: also its p-value, standard deviations of the components, and detectable effects.

    ``pilot`` is the row of an earlier run, by whose standard deviations an effect was detectable; without it NaN.
    """
    parts = effect.components
    return effect_row(effect) | {
        "p_value": effect.p_value,
        "degrees": effect.degrees,
        "by_seed": list(effect.by_seed),
        "sd": {name: float(np.sqrt(getattr(parts, name))) for name in ("seed", "concept", "residual")},
        "detectable": effect.detectable(),
        "detectable_by_pilot": effect.detectable_by(pilot["sd"]) if pilot else math.nan,
        "detectable_with_seeds": [[n, effect.detectable(n)] for n in _OTHER_SEEDS],
    }


class Contrast:
    """One contrast, over the seeds that both arms have.

    ``half_a`` are the concepts of half A, for the crossover; ``pilot`` is the comparison of an earlier run, or empty.
    """

    def __init__(
        self, name: str, runs: Runs, words: Words, half_a: Set[int], pilot: Mapping[str, Any] | None = None
    ) -> None:
        self._name, self._words, self._crossover = name, words, name == CROSSOVER
        self._pilot = _pilot_effects(pilot or {}, name, self.kind)
        self._half_a = sorted(half_a)
        treatment, control = arms_of(name)
        self.seeds = [seed for arm, seed in runs if arm == treatment and (control, seed) in runs]
        self._pairs = [[runs[arm, seed] for seed in self.seeds] for arm in arms_of(name)]

    @property
    def kind(self) -> str:
        """``crossover`` or ``difference``."""
        return "crossover" if self._crossover else "difference"

    def tree(self) -> dict[str, Any]:
        """The results as a part of a JSON file.

        ``effects`` are by metric, ``by_direction`` of the primary metric; ``gain`` is the mean change of both arms
        since before training, by metric; ``doses`` are the slopes of the primary metric on the doses; ``dose_effects``
        what the arms do to ln(1 + dose), estimated like the effects: how strong the treatment was.
        """
        words, primary = self._words, METRICS[0]
        gains = {m: words.means(sum(self._after[m]) / 2 - words.before(m))["all"] for m in METRICS}
        return {
            "name": self._name,
            "kind": self.kind,
            "seeds": self.seeds,
            "effects": {m: row_with_p_value(self._effect(m, "all"), self._pilot.get(m)) for m in METRICS},
            "by_direction": {name: effect_row(self._effect(primary, name)) for name in words.masks if name != "all"},
            "gain": gains,
            "doses": {kind: row_with_p_value(slope) for kind, slope in self._slopes().items()},
            "dose_effects": {kind: effect_row(effect) for kind, effect in self._dose_effects().items()},
        }

    @cached_property
    def _after(self) -> dict[str, list[Values]]:
        """By metric, the values after training of treatment and control: (seeds, words) each."""
        return {m: [self._words.after(runs, m) for runs in self._pairs] for m in METRICS}

    def _effect(self, metric: str, direction: str) -> Effect:
        treatment, control = self._after[metric]
        return self._estimate(*self._words.by_concept(treatment - control, direction))

    def _estimate(self, gains: Values, numbers: NDArray[np.int64]) -> Effect:
        """The effect on a difference between the arms (seeds, concepts)."""
        mean = np.ones(len(numbers))
        half = np.where(np.isin(numbers, self._half_a), 1.0, -1.0)
        return crossed_effects(gains, np.stack([mean, half] if self._crossover else [mean], axis=1))[-1]

    @cached_property
    def _doses(self) -> list[dict[str, Values]]:
        """The doses of treatment and control, (seeds, concepts) each; empty without pivots in the task."""
        return [{kind: np.stack([run.doses[kind] for run in runs]) for kind in runs[0].doses} for runs in self._pairs]

    def _slopes(self) -> dict[str, Effect]:
        treatment, control = self._after[METRICS[0]]
        return dose_slopes(self._words.by_concept(treatment - control)[0], *self._doses) if self._doses[0] else {}

    def _dose_effects(self) -> dict[str, Effect]:
        numbers, (treatment, control) = self._words.concepts, self._doses
        return {k: self._estimate(np.log1p(treatment[k]) - np.log1p(control[k]), numbers) for k in treatment}


def _pilot_effects(pilot: Mapping[str, Any], name: str, kind: str) -> Mapping[str, Any]:
    """The effects of the pilot's contrast of this name, else of its first one of this kind; empty if it has none."""
    of_kind = [contrast for contrast in pilot.get("contrasts", ()) if contrast["kind"] == kind]
    return next((row["effects"] for row in sorted(of_kind, key=lambda row: row["name"] != name)), {})


def correct_p_values(contrasts: Sequence[Mapping[str, Any]]) -> None:
    """Adds ``p_holm`` to every tested row: corrected for all of them."""
    rows = [row for contrast in contrasts for part in ("effects", "doses") for row in contrast[part].values()]
    for row, p_value in zip(rows, holm(np.array([row["p_value"] for row in rows])).tolist(), strict=True):
        row["p_holm"] = p_value


def holm(p_values: Values) -> Values:
    """Holm's adjusted p-values (n,): the probability of any false finding among them is controlled; NaN stays NaN."""
    order = np.argsort(p_values)  # NaN last
    n = int(np.isfinite(p_values).sum())
    raised = np.minimum(1, np.maximum.accumulate((n - np.arange(n)) * p_values[order[:n]]))
    found = np.full(len(p_values), np.nan)
    found[order[:n]] = raised
    return found
