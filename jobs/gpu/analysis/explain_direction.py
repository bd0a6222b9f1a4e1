"""The statistics of the traced words of one direction, or of all: labels, causality, counts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.framework.markdown import table
from jobs.gpu.analysis.auc_and_correlation import Groups, behaviour_auc, count_score_correlation
from jobs.gpu.analysis.bootstrap import Interval, mean_interval
from jobs.gpu.analysis.layer_curves import language_curves, precision_at_1, role_curves
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.tracing.behaviour_labels import LATENT_LABELS
from jobs.gpu.translation.translation_task import Task

Rows = Sequence[Mapping[str, Any]]
COUNTS = ("pair_count", "sampled_pair_count", "target_count")
LABELS = ("latent_behaviour", "behaviour")
_COMPARED = ("pivot", "control", "rival", "difference", "less_rival")
_EFFECTS = ("pivot_effect", "control_effect", "rival_effect")


def explain_directions(pairs: Rows, traces: Rows, task: Task, settings: ModelSettings) -> dict[str, dict[str, Any]]:
    """The statistics of every direction, and of all together as ``all``.

    ``pairs`` are the rows of ``explained_pairs.parquet``, ``traces`` those of all directions.
    """
    options, languages = (settings.translation.n_resamples, settings.translation.seed), settings.lexicon.languages
    found = {}
    for name, left_out in task.left_out.items():
        mine, rows = ([row for row in of_all if row["direction"] == name] for of_all in (pairs, traces))
        n_words, n_scored = len(task.of_direction(name)), sum(row["score"] is not None for row in mine)
        missing = {"not traced": n_words - len(mine), "not scored": len(mine) - n_scored}
        curves = {
            "curves": language_curves(rows, languages, *options),
            "precision_at_1": precision_at_1(rows, *options),
        }
        found[name] = explain_rows(mine, *options) | curves | {"left_out": left_out | missing}
    found["all"] = explain_rows(pairs, *options) | {"curves": role_curves(traces, languages, *options)}
    return found


def explain_rows(rows: Rows, n_resamples: int, seed: int) -> dict[str, Any]:
    """The statistics of some rows of ``explained_pairs.parquet``; a concept is one unit of every interval."""
    pivots = [row for row in rows if row["latent_behaviour"] == "pivot"]
    languages = sorted({row["pivot_language"] for row in pivots})
    return {
        "n_pairs": len(rows),
        **{name: _counts(rows, name) for name in (*LABELS, "control_behaviour")},
        "pivot_language": {k: sum(row["pivot_language"] == k for row in pivots) for k in languages},
        "causality": {label: _causality(rows, label, n_resamples, seed) for label in ("pivot", "direct")},
        "auc": {label: _aucs(rows, label, n_resamples, seed) for label in LABELS},
        "correlation": _correlations(rows, n_resamples, seed),
        "best_word_is_pair_pivot": sum(row["best_word_is_pair_pivot"] for row in rows),
        "without_pair_pivots": sum(row["n_pair_pivots"] == 0 for row in rows),
        "target_never_in_corpus": sum(row["target_count"] == 0 for row in rows),
    }


def _counts(rows: Rows, label: str) -> dict[str, int]:
    names = LATENT_LABELS if label != "behaviour" else LATENT_LABELS[:2]
    return {name: sum(row[label] == name for row in rows) for name in names}


def _causality(rows: Rows, label: str, n_resamples: int, seed: int) -> dict[str, Any]:
    """Change of the answer's log-probability without the pivot, a random concept, or the rival; pivot less either."""
    used = [row for row in rows if row["latent_behaviour"] == label and None not in (row[name] for name in _EFFECTS)]
    concepts = _column(used, "concept", int)
    pivot, control, rival = (_column(used, name) for name in _EFFECTS)
    values = {"pivot": pivot, "control": control, "rival": rival}
    values |= {"difference": pivot - control, "less_rival": pivot - rival}
    return {name: asdict(mean_interval(of_one, n_resamples, seed, concepts)) for name, of_one in values.items()}


def _aucs(rows: Rows, label: str, n_resamples: int, seed: int) -> dict[str, dict[str, float]]:
    """AUC of direct against pivot by each count."""
    labelled = [row for row in rows if row[label] in ("direct", "pivot")]
    direct, groups = np.array([row[label] == "direct" for row in labelled], bool), _groups(labelled)
    return {k: asdict(behaviour_auc(direct, _column(labelled, k), groups, n_resamples, seed)) for k in COUNTS}


def _correlations(rows: Rows, n_resamples: int, seed: int) -> dict[str, dict[str, float]]:
    """Pearson r of each log count with the score."""
    scored = [row for row in rows if row["score"] is not None]
    scores, groups = _column(scored, "score"), _groups(scored)
    return {k: asdict(count_score_correlation(_column(scored, k), scores, groups, n_resamples, seed)) for k in COUNTS}


def _groups(rows: Rows) -> Groups:
    return Groups(_column(rows, "concept", int), _column(rows, "direction", str))


def _column(rows: Rows, name: str, kind: type = float) -> NDArray[Any]:
    return np.array([row[name] for row in rows], kind)


def markdown_table(directions: Mapping[str, Mapping[str, Any]]) -> str:
    """Labels, controls and causality of every direction, as Markdown."""
    head = (
        "direction", "words", "pivot", "direct", "undecided", "random concepts: pivot", "paper's label: pivot",
        "log p without pivot", "without random", "without rival", "pivot less random", "pivot less rival",
        "direct words: pivot less random",
    )  # fmt: skip
    lines = []
    for name, row in directions.items():
        labels, causality = row["latent_behaviour"], row["causality"]
        cells = [name, row["n_pairs"], *(labels[k] for k in LATENT_LABELS), row["control_behaviour"]["pivot"]]
        cells += [row["behaviour"]["pivot"], *(_cell(causality["pivot"][k]) for k in _COMPARED)]
        lines.append([*cells, _cell(causality["direct"]["difference"])])
    return table(head, lines) + "\n"


def precision_table(directions: Mapping[str, Mapping[str, Any]]) -> str:
    """Lexical precision at 1, as Markdown: in layers 0, 6, 12 and 23 of 24, or there in proportion, and the best."""
    head, lines = ("direction", "words", "first layer", "a quarter", "the middle", "last layer", "best layer"), []
    for name, row in directions.items():
        if "precision_at_1" in row:
            p, low, high = (row["precision_at_1"][k] for k in ("mean", "low", "high"))
            n, best = len(p), max(range(len(p)), key=lambda layer: p[layer])
            cells = [f"{p[layer]:.3f} ({layer + 1})" for layer in (0, n // 4, n // 2, n - 1)]
            interval = {"mean": p[best], "low": low[best], "high": high[best], "n": row["n_pairs"]}
            lines.append([name, row["n_pairs"], *cells, f"{_cell(interval)} ({best + 1})"])
    return table(head, lines) + "\n"


def _cell(row: Mapping[str, float]) -> str:
    found = Interval(**row)  # type: ignore[arg-type]
    if not found.n:
        return "- (0)"
    if np.isnan(found.low):
        return f"{found.mean:.3f} ({found.n})"
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
