"""Means over words in every layer, with bootstrap bands."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jobs.gpu.analysis.bootstrap import Values, bounds, resampled_sums

Band = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]


def mean_band(values: Values, n_resamples: int, seed: int) -> Band:
    """The mean of ``values`` (words, layers) with its 95 % interval over resampled words; NaN bounds for too few.

    mean, low, high have one number for each layer; n is the number of words.
    """
    n = len(values)
    low, high = bounds(resampled_sums(values, n_resamples, seed, np.arange(n)) / n)
    return {"mean": values.mean(axis=0).tolist(), "low": low.tolist(), "high": high.tolist(), "n": n}


def language_curves(rows: Rows, languages: Sequence[str], n_resamples: int, seed: int) -> dict[str, Band]:
    """Per language the mean probability of the concept's word, and of a random concept's as ``control <language>``."""
    columns = {language: f"p_{language}" for language in languages}
    columns |= {f"control {language}": f"control_{language}" for language in languages}
    found = {}
    for name, column in columns.items():
        values = [row[column] for row in rows if row[column] is not None]
        if values:
            found[name] = mean_band(np.array(values), n_resamples, seed)
    return found


def role_curves(rows: Rows, languages: Sequence[str], n_resamples: int, seed: int) -> dict[str, Band]:
    """The mean probability of source and target word, and of the best third-language word, of all directions together.

    A concept is one unit: the mean of its directions. ``third language`` is the largest probability among the concept's
    words in third languages, ``control`` the same of the random concept.
    """
    found: dict[str, dict[int, list[Any]]] = {"source": {}, "target": {}, "third language": {}, "control": {}}
    for row in rows:
        source, target = row["direction"].split("-")
        third = [language for language in languages if language not in (source, target)]
        columns = {"source": [f"p_{source}"], "target": [f"p_{target}"]}
        columns |= {"third language": [f"p_{k}" for k in third], "control": [f"control_{k}" for k in third]}
        for name, of_role in columns.items():
            there = [row[column] for column in of_role if row[column] is not None]
            if there:
                found[name].setdefault(row["concept"], []).append(np.max(there, axis=0))
    means = {name: [np.mean(of_unit, axis=0) for of_unit in of_role.values()] for name, of_role in found.items()}
    return {name: mean_band(np.stack(of_role), n_resamples, seed) for name, of_role in means.items() if of_role}


def precision_at_1(rows: Rows, n_resamples: int, seed: int) -> Band:
    """The share of words whose translation is retrieved (``retrieval_rank`` 0), by layer."""
    return mean_band(np.array([row["retrieval_rank"] for row in rows]) == 0, n_resamples, seed)
