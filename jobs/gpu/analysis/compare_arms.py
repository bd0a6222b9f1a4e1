"""Compares the arms of an experiment: scores before and after, bits per byte, and the contrasts."""

import math
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.framework.markdown import table
from jobs.gpu.analysis.contrasts import METRICS, Contrast, Runs, Words, correct_p_values


def compare(
    base: pa.Table, runs: Runs, contrasts: Sequence[str], half_a: Set[int], pilot: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The comparison as a tree for a JSON file.

    ``base`` are the scores before training, ``runs`` are by arm and seed; contrasts, the primary one first, without a
    common seed are left out; ``half_a`` are the concepts of half A, for the crossover; ``pilot`` is
    the comparison of an earlier run, from whose variances the detectable effects are computed, too.
    """
    words = Words(base)
    by_arm = {arm: {seed: run for (a, seed), run in runs.items() if a == arm} for arm, _ in runs}
    found = [Contrast(name, runs, words, half_a, pilot) for name in contrasts]
    trees = [contrast.tree() for contrast in found if contrast.seeds]
    correct_p_values(trees)
    before = {metric: words.before(metric) for metric in METRICS}
    after = {m: {arm: words.after(of_arm.values(), m) for arm, of_arm in by_arm.items()} for m in METRICS}
    return {
        "seeds": {arm: list(of_arm) for arm, of_arm in by_arm.items()},
        "contrasts": trees,
        "before": {metric: words.means(before[metric][None]) for metric in METRICS},
        "after": {m: {arm: words.means(values) for arm, values in after[m].items()} for m in METRICS},
        "change": {
            m: {arm: words.means(values - before[m])["all"] for arm, values in after[m].items()} for m in METRICS
        },
        "bits_per_byte": {arm: _mean_bits([run.bits for run in of_arm.values()]) for arm, of_arm in by_arm.items()},
    }


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
    """The comparison as Markdown: the contrasts with what they could have detected, then the arms."""
    lines = [*_contrast_lines(found["contrasts"]), *_seed_lines(found["contrasts"])]
    for metric in METRICS:
        names = list(found["before"][metric])
        of_arms = {"before": found["before"][metric], **found["after"][metric]}
        changes = {arm: _cell(row) for arm, row in found["change"][metric].items()}
        cells = [[arm, *(_cell(row[n]) for n in names), changes.get(arm, "-")] for arm, row in of_arms.items()]
        lines += [table([metric, *names, "all, less before"], cells), ""]
    bits = found["bits_per_byte"]
    languages = list(next(iter(bits.values())))
    if not languages:
        return "\n".join(lines)
    rows = [["before", *(_number(row["before"], 4, "") for row in next(iter(bits.values())).values())]]
    rows += [[arm, *(_number(of_arm[k]["after"], 4, "") for k in languages)] for arm, of_arm in bits.items()]
    return "\n".join([*lines, table(["bits per byte", *languages], rows), ""])


def _contrast_lines(contrasts: Sequence[Mapping[str, Any]]) -> list[str]:
    header = ["contrast", "of", "estimate", "p", "p (Holm)", "detectable", "by the pilot", "concepts", "seeds"]
    header.append("gain of all training")
    rows = []
    for contrast in contrasts:
        for part, kind in (("effects", contrast["kind"]), ("doses", "slope on ln(1 + dose)")):
            for name, row in contrast[part].items():
                gain = contrast["gain"].get(name)
                p_values = [_number(row[key], 4, "") for key in ("p_value", "p_holm")]
                detectable = [_number(row[key], 4, "") for key in ("detectable", "detectable_by_pilot")]
                numbers = [*detectable, row["n"], row["n_seeds"]]
                rows.append([contrast["name"], f"{kind}: {name}", _cell(row), *p_values, *numbers])
                rows[-1].append(_cell(gain) if gain else "-")
    return [table(header, rows), ""] if rows else []


def _seed_lines(contrasts: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each seed gave, and what other numbers of seeds would detect, of the primary metric."""
    lines = []
    for contrast in contrasts:
        row = contrast["effects"][METRICS[0]]
        pairs = zip(contrast["seeds"], row["by_seed"], strict=True)
        by_seed = ", ".join(f"{seed}: {_number(value, 4)}" for seed, value in pairs)
        others = ", ".join(f"{n}: {_number(value, 4, '')}" for n, value in row["detectable_with_seeds"])
        doses = ", ".join(f"{kind} {_cell(effect)}" for kind, effect in contrast["dose_effects"].items())
        sd = ", ".join(f"{name} {_number(value, 4, '')}" for name, value in row["sd"].items())
        lines += [
            f"{contrast['name']}, {METRICS[0]}, by seed: {by_seed}. Standard deviations: {sd}. Effect detectable with "
            f"80 % power at 5 %, by number of seeds: {others}. Effect on ln(1 + dose): {doses or 'unknown'}."
            + (" One seed: intervals and p-values cover other concepts only." if row["n_seeds"] == 1 else ""),
            "",
        ]
    return lines


def _cell(row: Mapping[str, float]) -> str:
    return f"{_number(row['mean'], 4)} [{_number(row['low'], 4)}, {_number(row['high'], 4)}]"


def _number(value: float, places: int, sign: str = "+") -> str:
    return "-" if math.isnan(value) else f"{value:{sign}.{places}f}"
