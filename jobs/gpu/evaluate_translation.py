"""Scores a model on the word translation task: one row per word and direction. An interrupted run is resumed.

    python -m jobs.gpu.evaluate_translation --config conf/demo-model.toml [--set model.path=...] [--dry-run]

Reads ``<results.path>/task.jsonl`` (built if it is missing); writes the parts of ``<results.path>/scores/``, one per
direction and draw, then ``scores.parquet`` (one row per word and direction) and ``scores.json`` (the mean of each
direction with its bootstrap confidence interval over concepts).
"""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.framework.command_line import run_command
from jobs.framework.log_lines import progress_bar, say
from jobs.gpu.analysis.bootstrap import mean_interval
from jobs.gpu.build_translation_task import load_task, task_identity
from jobs.gpu.common.files import read_provenance, results_path, write_json
from jobs.gpu.common.result_parts import Parts
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.models.load_model import model_summary
from jobs.gpu.models.model_files import model_hashes, model_settings
from jobs.gpu.translation.score_words import score_draw
from jobs.gpu.translation.task_model import TaskModel, load_task_model
from jobs.gpu.translation.translation_task import Task
from pivot_udfs.provenance import Provenance, difference

VERSION = 3
_MEANS = ("p_target", "p_distractors", "contrast")


def evaluate(settings: ModelSettings, subject: TaskModel | None = None) -> None:
    """Scores ``[model]`` on every direction and writes the results; it is loaded unless it is given."""
    task = load_task(settings)
    parts = Parts(results_path(settings, "scores"), base_provenance(settings))
    subject = subject or load_task_model(settings, task, settings.translation.batch_size)
    write_json(results_path(settings, "model.json"), model_summary(settings.model, subject.model))
    write_scores(score_task(subject, parts), settings, results_path(settings, "scores.parquet"))


def base_provenance(settings: ModelSettings) -> Provenance:
    """The provenance of the scores of ``[model]``."""
    return scores_provenance(settings, model_settings(settings.model), model_hashes(settings.model))


def scores_provenance(
    settings: ModelSettings, of_model: Mapping[str, Any], model_files: Mapping[str, str]
) -> Provenance:
    """The provenance of the scores of a model, identified by settings and by the SHA-256 (hex) of files."""
    of_task, task_file = task_identity(settings)
    return Provenance("evaluate_translation", VERSION, {**of_model, **of_task}, files={**task_file, **model_files})


def score_task(subject: TaskModel, parts: Parts) -> pa.Table:
    """Scores all directions and draws that ``parts`` lacks; returns the table of all words.

    Columns: direction, concept, source, target; means over draws of p_target, p_distractors (0..1), contrast (nats),
    see ``DrawScores``; score = p_target - p_distractors.
    """
    units = score_units(subject.task)
    for part, (direction, draw) in progress_bar(units.items(), desc="directions and draws", unit="draw"):
        if not parts.has(part):
            parts.write(part, _score_part(subject, direction, draw))
    return mean_over_draws(parts.read(list(units)))


def score_units(task: Task) -> dict[str, tuple[str, int]]:
    """The parts of a task's scores: (direction, draw) by name."""
    return {f"{name}-draw{draw}": (name, draw) for name, draws in task.examples.items() for draw in range(len(draws))}


def kept_scores(folder: Path, now: Provenance, task: Task) -> pa.Table | None:
    """The table of ``score_task`` if ``folder`` holds all of its parts with this provenance; else None."""
    if difference(read_provenance(folder), now):
        return None
    parts, units = Parts(folder, now), list(score_units(task))
    return mean_over_draws(parts.read(units)) if all(parts.has(name) for name in units) else None


def _score_part(subject: TaskModel, direction: str, draw: int) -> pa.Table:
    task, words = subject.task, subject.task.of_direction(direction)
    examples, lead = task.examples[direction][draw], task.leads[direction]
    work = partial(score_draw, words=words, examples=examples, tokens=subject.tokens, lead=lead)
    found = subject.runner.within_memory(work)
    return pa.table(
        {
            "direction": [word.direction for word in words],
            "concept": pa.array([word.concept for word in words], pa.int64()),
            "source": [word.source for word in words],
            "target": [word.target for word in words],
            "draw": pa.array([draw] * len(words), pa.int32()),
            **found._asdict(),
        }
    )


def mean_over_draws(draws: pa.Table) -> pa.Table:
    """One row per word and direction (see ``score_task``) from the rows of every draw."""
    keys = ["direction", "concept", "source", "target"]
    means = draws.group_by(keys, use_threads=False).aggregate([(name, "mean") for name in _MEANS])
    means = means.rename_columns({f"{name}_mean": name for name in _MEANS})
    score = np.asarray(means["p_target"]) - np.asarray(means["p_distractors"])
    table = means.select([*keys, *_MEANS]).append_column("score", pa.array(score))
    return table.sort_by([("direction", "ascending"), ("concept", "ascending")])


def write_scores(scores: pa.Table, settings: ModelSettings, path: Path) -> dict[str, Any]:
    """Writes the rows, and beside them the mean of each direction; reports and returns the means.

    The scores of a concept in all directions are one unit of the bootstrap.
    """
    pq.write_table(scores, path, compression="zstd")
    direction, values = np.asarray(scores["direction"].to_pylist()), np.asarray(scores["score"])
    concepts, options = np.asarray(scores["concept"]), settings.translation
    masks = {str(name): direction == name for name in dict.fromkeys(direction)}
    masks["all"] = np.ones(len(direction), bool)
    summary: dict[str, Any] = {
        name: asdict(mean_interval(values[mask], options.n_resamples, options.seed, concepts[mask]))
        for name, mask in masks.items()
    }
    for name, row in summary.items():
        interval = f"[{row['low']:.4f}, {row['high']:.4f}]"
        say(f"score {name}", words=row["n"], mean=f"{row['mean']:.4f}", ci=interval)
    write_json(path.with_suffix(".json"), summary)
    return summary


main = partial(run_command, "evaluate_translation", __doc__, ModelSettings, evaluate)


if __name__ == "__main__":
    raise SystemExit(main())
