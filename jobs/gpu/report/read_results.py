"""The content of the model report as plain values, read from the results."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from jobs.gpu.build_translation_task import task_tokens
from jobs.gpu.common.files import read_provenance, results_path
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.explain_behaviour import VERSION
from jobs.gpu.translation.word_tokens import WordTokens
from pivot_udfs.errors import TaskError
from pivot_udfs.provenance import Provenance
from pivot_udfs.tokenization.backends import load_tokenizer

_CELLS = 5
_JOBS = ("evaluate_translation", "trace_layers", "explain_behaviour", "run_experiment")
_FILES = {
    "evaluate_translation": "scores.json",
    "explain_behaviour": "explanation.json",
    "run_experiment": "experiment.json",
    "sweep_revisions": "sweep.json",
}


@dataclass(frozen=True)
class ModelReport:
    """The content of the page; parts are empty if their job has not run."""

    model: dict[str, Any]
    lens: str
    trained_on_corpus: bool
    scores: dict[str, dict[str, float]]
    left_out: dict[str, dict[str, int]]
    curves: dict[str, dict[str, dict[str, Any]]]
    precision: dict[str, dict[str, Any]]
    heatmaps: tuple[dict[str, Any], ...]
    explanation: dict[str, Any]
    count_scores: dict[str, list[tuple[float, float]]]
    experiment: dict[str, Any]
    training: dict[str, list[dict[str, float]]]
    sweep: tuple[dict[str, Any], ...]
    missing: tuple[str, ...]


def read_parts(settings: ModelSettings) -> dict[str, Any]:
    """The results of each job, empty where it has not run; raises TaskError as ``read_model_report``."""
    parts: dict[str, Any] = {job: _json(results_path(settings, name)) for job, name in _FILES.items()}
    parts["trace_layers"] = _rows(results_path(settings, "traces"))
    if not any(parts.values()):
        raise TaskError(f"{settings.results.path} holds no results: run jobs.gpu.evaluate_translation first")
    explained = Provenance.from_tree(parts["explain_behaviour"].get("provenance"))
    if parts["explain_behaviour"] and (explained is None or explained.version != VERSION):
        raise TaskError(
            f"{settings.results.path}/explanation.json is of another release: run jobs.gpu.explain_behaviour again"
        )
    return parts


def jobs_without(parts: dict[str, Any]) -> tuple[str, ...]:
    """The jobs without results."""
    return tuple(job for job in _JOBS if not parts[job])


def read_model_report(settings: ModelSettings) -> ModelReport:
    """Reads all results; raises TaskError where there are no results, or the explanation is of another release."""
    parts = read_parts(settings)
    traces = parts["trace_layers"]
    directions = sorted(parts["explain_behaviour"].get("directions", {}).items(), key=lambda item: item[0] != "all")
    traced = read_provenance(results_path(settings, "traces"))
    pairs = _rows(results_path(settings, "explained_pairs.parquet"))
    return ModelReport(
        model=_json(results_path(settings, "model.json")),
        lens=str(traced.settings.get("trace.lens", "logit")) if traced else "logit",
        trained_on_corpus=settings.model.trained_on_corpus,
        scores=parts["evaluate_translation"],
        left_out=_left_out(results_path(settings, "task.jsonl")),
        curves={name: row["curves"] for name, row in directions},
        precision={name: row["precision_at_1"] for name, row in directions if "precision_at_1" in row},
        heatmaps=_heatmaps(traces, settings),
        explanation=parts["explain_behaviour"],
        count_scores=_count_scores(pairs),
        experiment=parts["run_experiment"],
        training=_training(results_path(settings, "runs")),
        sweep=tuple(parts["sweep_revisions"].get("revisions", ())),
        missing=jobs_without(parts),
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


def _heatmaps(traces: list[dict[str, Any]], settings: ModelSettings) -> tuple[dict[str, Any], ...]:
    """The words whose third-language word has the largest, the median and the smallest probability where it decides."""
    decided = [row for row in traces if row["pivot_layer"] is not None]
    ranked = sorted(decided, key=lambda row: (_deciding_probability(row), row["direction"], row["concept"]))
    if not ranked:
        return ()
    tokens = task_tokens(settings, load_tokenizer(settings.tokenizer.path, "reference"))
    chosen = {"largest": len(ranked) - 1, "median": len(ranked) // 2, "smallest": 0}
    return tuple({"rule": rule} | _heatmap(ranked[place], tokens) for rule, place in chosen.items())


def _deciding_probability(row: dict[str, Any]) -> float:
    return float(row[f"p_{row['pivot_language']}"][row["pivot_layer"]])


def _heatmap(row: dict[str, Any], tokens: WordTokens) -> dict[str, Any]:
    """The trace of one word: ``rows`` of (layer, cells), most probable tokens first, the last layer on top.

    A cell has ``text``, ``probability`` and ``kind``: ``source``, ``target`` or ``third`` if it belongs to the word in
    that language, or empty.
    """
    source, target = row["direction"].split("-")
    own = {"source": tokens.of(source, row["source"]), "target": tokens.of(target, row["target"])}
    own["third"] = frozenset(row["pivot_ids"])
    rows = []
    for layer, (ids, values) in enumerate(zip(row["top_ids"], row["top_probabilities"], strict=True), 1):
        cells = []
        for token, p in zip(ids[:_CELLS], values[:_CELLS], strict=True):
            kind = next((kind for kind, group in own.items() if token in group), "")
            cells.append({"text": tokens.texts[token], "probability": p, "kind": kind})
        rows.append((layer, cells))
    named = {key: row[key] for key in ("direction", "source", "target", "latent_behaviour", "pivot_language")}
    return named | {"layer": row["pivot_layer"] + 1, "probability": _deciding_probability(row), "rows": rows[::-1]}


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
