"""The content of the model report as plain values, read from the results."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from sklearn.metrics import roc_curve

from jobs.gpu.build_translation_task import task_tokens
from jobs.gpu.common.errors import TaskError
from jobs.gpu.common.files import results_path
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.translation.prompts import WordTokens
from pivot_udfs.tokenization.backends import load_tokenizer

_SETS = ("p_source", "p_target", "p_pivot")
_CELLS, _WORDS = 5, 4
_JOBS = ("evaluate_translation", "trace_layers", "explain_behaviour", "run_experiment")


@dataclass(frozen=True)
class ModelReport:
    """The content of the page; parts are empty if their job has not run."""

    model: dict[str, Any]
    scores: dict[str, dict[str, float]]
    left_out: dict[str, dict[str, int]]
    layer_curves: dict[str, dict[str, list[float]]]
    heatmaps: tuple[dict[str, Any], ...]
    explanation: dict[str, Any]
    roc: dict[str, dict[str, tuple[Sequence[float], Sequence[float]]]]
    count_scores: dict[str, list[tuple[float, float]]]
    experiment: dict[str, Any]
    training: dict[str, list[dict[str, float]]]
    missing: tuple[str, ...]


def read_model_report(settings: ModelSettings) -> ModelReport:
    """Reads all results.

    Raises:
        TaskError: there are no results.
    """
    files = {"evaluate_translation": "scores.json", "explain_behaviour": "explanation.json"}
    files |= {"run_experiment": "experiment.json"}
    parts: dict[str, Any] = {job: _json(results_path(settings, name)) for job, name in files.items()}
    traces = parts["trace_layers"] = _rows(results_path(settings, "traces"))
    if not any(parts.values()):
        raise TaskError(f"{settings.results.path} holds no results: run jobs.gpu.evaluate_translation first")
    pairs = _rows(results_path(settings, "explained_pairs.parquet"))
    return ModelReport(
        model=_json(results_path(settings, "model.json")),
        scores=parts["evaluate_translation"],
        left_out=_left_out(results_path(settings, "task.jsonl")),
        layer_curves=_layer_curves(traces),
        heatmaps=_heatmaps(traces, settings),
        explanation=parts["explain_behaviour"],
        roc=_roc(pairs),
        count_scores=_count_scores(pairs),
        experiment=parts["run_experiment"],
        training=_training(results_path(settings, "runs")),
        missing=tuple(job for job in _JOBS if not parts[job]),
    )


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _rows(path: Path) -> list[dict[str, Any]]:
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path] if path.is_file() else []
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def _left_out(path: Path) -> dict[str, dict[str, int]]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8") as file:
        return dict(json.loads(file.readline()).get("left_out", {}))


def _layer_curves(traces: list[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Mean over words by direction; the curve of pivots is over the words that have pair pivots."""
    found: dict[str, dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    for row in traces:
        for name in _SETS:
            if name != "p_pivot" or row["n_pivots"]:
                found[row["direction"]][name].append(row[name])
    n_layers = len(traces[0]["p_source"]) if traces else 0
    return {
        direction: {
            name: (np.mean(sets[name], axis=0) if sets[name] else np.zeros(n_layers)).tolist() for name in _SETS
        }
        for direction, sets in found.items()
    }


def _heatmaps(traces: list[dict[str, Any]], settings: ModelSettings) -> tuple[dict[str, Any], ...]:
    if not traces:
        return ()
    tokens = task_tokens(settings, load_tokenizer(settings.tokenizer.path, "reference"))
    wanted = settings.model_report.heatmap_words
    if wanted:
        chosen = [row for row in traces if row["source"] in wanted]
    else:
        chosen = [row for row in traces if row["word_behaviour"] == "pivot"][:_WORDS]
    return tuple(_heatmap(row, tokens) for row in chosen[: 3 * _WORDS])


def _heatmap(row: dict[str, Any], tokens: WordTokens) -> dict[str, Any]:
    """The trace of one word: ``rows`` of (layer, cells), most probable tokens first, the last layer on top.

    A cell has ``text``, ``probability`` and ``kind``: ``source`` or ``target`` if it belongs to that word, or empty.
    """
    source, target = row["direction"].split("-")
    own = {"source": tokens.of(source, row["source"]), "target": tokens.of(target, row["target"])}
    rows = []
    for layer, (ids, values) in enumerate(zip(row["top_ids"], row["top_probabilities"], strict=True), 1):
        cells = []
        for token, p in zip(ids[:_CELLS], values[:_CELLS], strict=True):
            kind = next((kind for kind, group in own.items() if token in group), "")
            cells.append({"text": tokens.texts[token], "probability": p, "kind": kind})
        rows.append((layer, cells))
    named = {key: row[key] for key in ("direction", "source", "target")}
    decided = {"behaviour": row["word_behaviour"], "layer": row["word_behaviour_layer"] + 1}
    return named | decided | {"rows": rows[::-1]}


def _roc(pairs: list[dict[str, Any]]) -> dict[str, dict[str, tuple[Sequence[float], Sequence[float]]]]:
    found: dict[str, dict[str, tuple[Sequence[float], Sequence[float]]]] = {}
    for direction in dict.fromkeys(row["direction"] for row in pairs):
        rows = [row for row in pairs if row["direction"] == direction]
        direct = [row["word_behaviour"] == "direct" for row in rows]
        if all(direct) or not any(direct):
            continue
        for name, label in (("pair_count", "pair's count"), ("target_count", "target's count")):
            false, true, _ = roc_curve(direct, [row[name] for row in rows])
            found.setdefault(direction, {})[label] = (false.tolist(), true.tolist())
    return found


def _count_scores(pairs: list[dict[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in pairs:
        if row["score"] is not None:
            found[row["direction"]].append((row["pair_count"], row["score"]))
    return dict(found)


def _training(folder: Path) -> dict[str, list[dict[str, float]]]:
    logs = {}
    for path in sorted(folder.glob("*/training.jsonl")):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        steps = [row for row in rows if "loss" in row]
        stride = max(1, len(steps) // 400)
        logs[path.parent.name] = steps[::stride]
    return {name: rows for name, rows in logs.items() if rows}
