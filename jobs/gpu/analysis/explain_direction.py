"""The statistics of the traced words of one direction, or of all: labels, causality, counts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from jobs.framework.markdown import table
from jobs.gpu.analysis.auc_and_correlation import auc_interval, behaviour_auc, count_score_correlation
from jobs.gpu.analysis.bootstrap import Interval, mean_interval
from jobs.gpu.tracing.behaviour_labels import LATENT_LABELS

Rows = Sequence[Mapping[str, Any]]
COUNTS = ("pair_count", "sampled_pair_count", "target_count")
LABELS = ("latent_behaviour", "behaviour")
_EFFECTS = ("pivot_effect", "control_effect")


def explain_rows(rows: Rows, n_resamples: int, seed: int) -> dict[str, Any]:
    """The statistics of some rows of ``explained_pairs.parquet``; a concept is one unit of every interval of means."""
    pivots = [row for row in rows if row["latent_behaviour"] == "pivot"]
    languages = sorted({row["pivot_language"] for row in pivots})
    return {
        "n_pairs": len(rows),
        **{name: _counts(rows, name) for name in (*LABELS, "control_behaviour")},
        "pivot_language": {k: sum(row["pivot_language"] == k for row in pivots) for k in languages},
        "decided_by_wordless": sum(row["decided_by_word"] is False for row in rows),
        "causality": {label: _causality(rows, label, n_resamples, seed) for label in ("pivot", "direct")},
        "auc": {label: _aucs(rows, label, n_resamples, seed) for label in LABELS},
        "correlation": _correlations([row for row in rows if row["score"] is not None]),
        "best_word_is_pair_pivot": sum(row["best_word_is_pair_pivot"] for row in rows),
        "without_pair_pivots": sum(row["n_pair_pivots"] == 0 for row in rows),
        "target_never_in_corpus": sum(row["target_count"] == 0 for row in rows),
    }


def _counts(rows: Rows, label: str) -> dict[str, int]:
    names = LATENT_LABELS if label != "behaviour" else LATENT_LABELS[:2]
    return {name: sum(row[label] == name for row in rows) for name in names}


def _causality(rows: Rows, label: str, n_resamples: int, seed: int) -> dict[str, Any]:
    """Change of the answer's log-probability without the pivot's direction, without a random concept's, and between."""
    used = [row for row in rows if row["latent_behaviour"] == label and None not in (row[name] for name in _EFFECTS)]
    concepts = np.array([row["concept"] for row in used], np.int64)
    pivot, control = (np.array([row[name] for row in used], float) for name in _EFFECTS)
    values = {"pivot": pivot, "control": control, "difference": pivot - control}
    return {name: asdict(mean_interval(of_one, n_resamples, seed, concepts)) for name, of_one in values.items()}


def _aucs(rows: Rows, label: str, n_resamples: int, seed: int) -> dict[str, dict[str, float]]:
    """AUC of direct against pivot by each count, with its 95 % interval and the number of pairs."""
    labelled = [row for row in rows if row[label] in ("direct", "pivot")]
    direct = np.array([row[label] == "direct" for row in labelled], bool)
    found = {}
    for name in COUNTS:
        values = np.array([row[name] for row in labelled], float)
        low, high = auc_interval(direct, values, n_resamples, seed)
        found[name] = {"auc": behaviour_auc(direct, values), "low": low, "high": high, "n": len(labelled)}
    return found


def _correlations(rows: Rows) -> dict[str, dict[str, float]]:
    """Pearson r of each log count with the score."""
    scores = np.array([row["score"] for row in rows], float)
    return {name: vars(count_score_correlation(np.array([r[name] for r in rows], float), scores)) for name in COUNTS}


def markdown_table(directions: Mapping[str, Mapping[str, Any]]) -> str:
    """Labels, controls and causality of every direction, as Markdown."""
    head = (
        "direction", "words", "pivot", "direct", "undecided", "random concepts: pivot", "paper's label: pivot",
        "decided by wordless", "log p without pivot", "without random", "difference", "difference, direct words",
    )  # fmt: skip
    lines = []
    for name, row in directions.items():
        labels, causality = row["latent_behaviour"], row["causality"]
        cells = [name, row["n_pairs"], *(labels[k] for k in LATENT_LABELS), row["control_behaviour"]["pivot"]]
        cells += [row["behaviour"]["pivot"], row["decided_by_wordless"]]
        cells += [_cell(causality["pivot"][k]) for k in ("pivot", "control", "difference")]
        lines.append([*cells, _cell(causality["direct"]["difference"])])
    return table(head, lines) + "\n"


def precision_table(directions: Mapping[str, Mapping[str, Any]]) -> str:
    """Precision at 1 of the target language in the last layer, and of the best third language and layer, as Markdown.

    A dash stands where no word of the language has a first token; else the number of words that have one follows.
    """
    lines = []
    for name, row in directions.items():
        pair, p = name.split("-"), row.get("precision_at_1", {})
        places = [(values[-1], len(values), k) for k, values in p.items() if k == pair[-1]]
        third = [(v, layer, k) for k, values in p.items() if k not in pair for layer, v in enumerate(values, 1)]
        best = [max(found, key=lambda place: (place[0], -place[1])) if found else None for found in (places, third)]
        cells = ["-" if f is None else f"{f[0]:.3f} ({f[2]}, layer {f[1]}, {row['curves'][f[2]]['n']})" for f in best]
        lines += [[name, *cells]] if p else []
    return table(["direction", "target, last layer", "third language, best layer"], lines) + "\n"


def _cell(row: Mapping[str, float]) -> str:
    found = Interval(**row)  # type: ignore[arg-type]
    if not found.n:
        return "- (0)"
    return f"{found.mean:.3f}" if np.isnan(found.low) else f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
