"""Compares the arms of an experiment: scores before and after, the paired test, bits per byte."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.gpu.analysis.bootstrap import crossed_interval, sign_flip_p_value
from jobs.gpu.common.errors import TaskError

Values = NDArray[np.float64]
Runs = Mapping[tuple[str, int], pa.Table]
BitsPerByte = Mapping[tuple[str, int], Mapping[str, Mapping[str, float]]]


def score_vector(scores: pa.Table, like: pa.Table) -> Values:
    """Scores in the order of the words of ``like``; a ``TaskError`` if the two are of different tasks."""
    keys = ["direction", "concept"]
    if not scores.select(keys).equals(like.select(keys)):
        raise TaskError("scores of different tasks cannot be compared: evaluate all models on one task file")
    return np.asarray(scores["score"], float)


@dataclass(frozen=True)
class _Words:
    """Masks (words,) of each direction and of all, the concept of each word (words,), and the number of resamples."""

    masks: dict[str, NDArray[np.bool_]]
    concepts: NDArray[np.int64]
    n_resamples: int

    def intervals(self, scores: Values) -> dict[str, dict[str, Any]]:
        """Mean and interval of each direction of ``scores`` (seeds, words), resampling concepts and seeds."""
        return {
            name: asdict(crossed_interval(scores[:, mask], self.n_resamples, 0, self.concepts[mask]))
            for name, mask in self.masks.items()
        }


def compare(
    base: pa.Table, runs: Runs, bits: BitsPerByte, treatment: str, control: str, n_resamples: int
) -> dict[str, Any]:
    """The comparison, in which a concept is one unit: all of its directions are resampled together.

    Args:
        base, runs: scores before training, and after training by (arm, seed).
        bits: by (arm, seed): ``before`` and ``after``, each bits per byte by language.
        treatment, control: the arms of the paired test, word by word.
        n_resamples: of every interval and test.
    """
    words, before = _words(base, n_resamples), np.asarray(base["score"], float)
    arms = list(dict.fromkeys(arm for arm, _ in runs))
    after = {arm: {seed: score_vector(table, base) for (a, seed), table in runs.items() if a == arm} for arm in arms}
    stacked = {arm: np.stack(list(of_seed.values())) for arm, of_seed in after.items()}
    found: dict[str, Any] = {
        "seeds": {arm: list(of_seed) for arm, of_seed in after.items()},
        "before": words.intervals(before[None]),
        "after": {arm: words.intervals(scores) for arm, scores in stacked.items()},
        "change": {arm: words.intervals(scores - before) for arm, scores in stacked.items()},
        "bits_per_byte": {arm: _mean_bits([bits[key] for key in runs if key[0] == arm]) for arm in arms},
    }
    seeds = [seed for seed in after.get(treatment, {}) if seed in after.get(control, {})]
    if seeds:
        differences = np.stack([after[treatment][seed] - after[control][seed] for seed in seeds])
        found["test"] = {"treatment": treatment, "control": control, **_paired(differences, seeds, words)}
    return found


def _words(base: pa.Table, n_resamples: int) -> _Words:
    direction = np.asarray(base["direction"].to_pylist())
    masks = {str(name): direction == name for name in dict.fromkeys(direction.tolist())}
    masks["all"] = np.ones(len(direction), bool)
    return _Words(masks, np.asarray(base["concept"]), n_resamples)


def _paired(differences: Values, seeds: Sequence[int], words: _Words) -> dict[str, dict[str, Any]]:
    """Treatment minus control (seeds, words) of each direction: interval, two-sided p-value, difference by seed.

    The p-value is of a sign-flip test over concepts, with seeds averaged: it holds for these runs and does not cover
    other seeds, which the differences by seed show.
    """
    found = words.intervals(differences)
    for name, mask in words.masks.items():
        of_words, concepts = differences[:, mask], words.concepts[mask]
        found[name] |= {
            "p_value": sign_flip_p_value(of_words.mean(axis=0), words.n_resamples, 0, concepts),
            "n_seeds": len(seeds),
            "n_concepts": len(np.unique(concepts)),
            "by_seed": {str(seed): float(row.mean()) for seed, row in zip(seeds, of_words, strict=True)},
        }
    return found


def _mean_bits(rows: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Means over seeds before and after, and the range after."""
    languages = rows[0]["after"].keys()
    return {
        language: {
            "before": float(np.mean([row["before"][language] for row in rows])),
            "after": float(np.mean([row["after"][language] for row in rows])),
            "lowest": min(row["after"][language] for row in rows),
            "highest": max(row["after"][language] for row in rows),
        }
        for language in languages
    }


def markdown_table(found: Mapping[str, Any]) -> str:
    """The comparison as Markdown: means with 95 % intervals, bits per byte, the paired test."""
    arms, names = list(found["after"]), list(found["before"])
    lines = ["| arm | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    lines.append("| before | " + " | ".join(_cell(found["before"][name]) for name in names) + " |")
    lines += [f"| {arm} | " + " | ".join(_cell(found["after"][arm][n]) for n in names) + " |" for arm in arms]
    languages = list(found["bits_per_byte"][arms[0]])
    lines += ["", "| bits per byte | " + " | ".join(languages) + " |", "| --- |" + " --- |" * len(languages)]
    first = found["bits_per_byte"][arms[0]]
    lines.append("| before | " + " | ".join(f"{first[k]['before']:.4f}" for k in languages) + " |")
    for arm in arms:
        row = found["bits_per_byte"][arm]
        lines.append(f"| {arm} | " + " | ".join(f"{row[k]['after']:.4f}" for k in languages) + " |")
    if "test" in found:
        lines += ["", _test_text(found["test"])]
    return "\n".join(lines) + "\n"


def _test_text(test: Mapping[str, Any]) -> str:
    row = test["all"]
    by_seed = ", ".join(f"seed {seed}: {value:+.4f}" for seed, value in row["by_seed"].items())
    return (
        f"{test['treatment']} minus {test['control']}, over {row['n_concepts']} concepts and {row['n_seeds']} seeds: "
        f"{_cell(row)}, p = {row['p_value']:.3g} (two-sided sign-flip test over concepts, seeds averaged; it holds for "
        f"these runs and does not cover other seeds). {by_seed}."
    )


def _cell(row: Mapping[str, float]) -> str:
    if math.isnan(row["low"]):
        return f"{row['mean']:.4f}"
    return f"{row['mean']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"
