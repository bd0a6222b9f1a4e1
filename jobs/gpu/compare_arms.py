"""The experiment's table: scores of every arm before and after, the paired test, bits per byte."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.gpu.bootstrap import crossed_interval, mean_interval, sign_flip_p_value
from jobs.gpu.errors import TaskError

Values = NDArray[np.float64]
Runs = Mapping[tuple[str, int], pa.Table]
BitsPerByte = Mapping[tuple[str, int], Mapping[str, Mapping[str, float]]]


def score_vector(scores: pa.Table, like: pa.Table) -> Values:
    """Scores in the order of ``like``'s words.

    Raises:
        TaskError: the two were not made from one task.
    """
    keys = ["direction", "concept"]
    if not scores.select(keys).equals(like.select(keys)):
        raise TaskError("scores of different tasks cannot be compared: evaluate all models on one task file")
    return np.asarray(scores["score"], float)


def compare(
    base: pa.Table, runs: Runs, bits: BitsPerByte, treatment: str, control: str, n_resamples: int
) -> dict[str, Any]:
    """The whole table.

    Args:
        base: scores before training.
        runs: scores after training, by (arm, seed).
        bits: by (arm, seed): ``before`` and ``after``, each bits per byte by language.
        treatment: the arm under test.
        control: the arm it is compared with, word by word.
        n_resamples: of every interval and test.
    """
    direction = np.asarray(base["direction"].to_pylist())
    before = np.asarray(base["score"], float)
    names = [*dict.fromkeys(direction.tolist()), "all"]
    masks = {name: (direction == name) | (name == "all") for name in names}
    arms = list(dict.fromkeys(arm for arm, _ in runs))
    after = {arm: np.stack([score_vector(table, base) for (a, _), table in runs.items() if a == arm]) for arm in arms}
    found: dict[str, Any] = {
        "seeds": {arm: [seed for a, seed in runs if a == arm] for arm in arms},
        "before": {name: asdict(mean_interval(before[masks[name]], n_resamples, 0)) for name in names},
        "after": {},
        "change": {},
        "bits_per_byte": {arm: _mean_bits([bits[key] for key in runs if key[0] == arm]) for arm in arms},
    }
    for arm in arms:
        found["after"][arm] = {
            name: asdict(crossed_interval(after[arm][:, masks[name]], n_resamples, 0)) for name in names
        }
        found["change"][arm] = {
            name: asdict(crossed_interval((after[arm] - before)[:, masks[name]], n_resamples, 0)) for name in names
        }
    if {treatment, control} <= set(arms):
        found["test"] = {
            "treatment": treatment,
            "control": control,
            **{name: _paired(after[treatment], after[control], masks[name], n_resamples) for name in names},
        }
    return found


def _paired(treatment: Values, control: Values, mask: NDArray[np.bool_], n_resamples: int) -> dict[str, Any]:
    """Treatment minus control over the seeds both have, word by word: interval and two-sided p-value."""
    n = min(len(treatment), len(control))
    differences = (treatment[:n] - control[:n])[:, mask]
    p_value = sign_flip_p_value(differences.mean(axis=0), n_resamples, 0)
    return asdict(crossed_interval(differences, n_resamples, 0)) | {"p_value": p_value, "n_seeds": n}


def _mean_bits(rows: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Means over seeds, before and after, and the range after."""
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
    """The table as Markdown: means with 95 % intervals, then bits per byte, then the paired test."""
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
    test = found.get("test")
    if test:
        row = test["all"]
        lines += [
            "",
            f"{test['treatment']} minus {test['control']}, word by word over {row['n_seeds']} seeds: {_cell(row)}, "
            f"p = {row['p_value']:.3g} (two-sided, signs changed at random).",
        ]
    return "\n".join(lines) + "\n"


def _cell(row: Mapping[str, float]) -> str:
    return f"{row['mean']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"
