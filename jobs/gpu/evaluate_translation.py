"""Scores a model on the word translation task: one row per word and direction. An interrupted run is resumed.

    python -m jobs.gpu.evaluate_translation --config conf/demo-model.toml [--set model.path=...] [--dry-run]

Reads ``<results.path>/task.jsonl`` (built if it is missing); writes the parts of ``<results.path>/scores/``, one per
direction and draw, then ``scores.parquet`` (one row per word and direction) and ``scores.json`` (the mean of each
direction with its bootstrap confidence interval over concepts).
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from jobs.gpu.build_translation_task import check_task, load_task, task_identity
from jobs.gpu.common.check_inputs import check_model, run_checked
from jobs.gpu.common.files import read_provenance, results_path, write_json
from jobs.gpu.common.result_parts import Parts
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.models.model_files import model_hashes, model_settings
from jobs.gpu.translation.translation_task import Task
from pivot_udfs.provenance import Provenance, difference

if TYPE_CHECKING:
    from jobs.gpu.translation.task_model import TaskModel

VERSION = 3
_MEANS = ("p_target", "p_distractors", "contrast")


def evaluate(settings: ModelSettings, subject: "TaskModel | None" = None) -> None:
    """Scores ``[model]`` on every direction and writes the results; it is loaded unless it is given."""
    from jobs.gpu.models.load_model import model_summary
    from jobs.gpu.translation.score_task import score_task, write_scores
    from jobs.gpu.translation.task_model import load_task_model

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


def score_units(task: Task) -> dict[str, tuple[str, int]]:
    """The parts of a task's scores: (direction, draw) by name."""
    return {f"{name}-draw{draw}": (name, draw) for name, draws in task.examples.items() for draw in range(len(draws))}


def kept_scores(folder: Path, now: Provenance, task: Task) -> pa.Table | None:
    """The table of ``score_task`` if ``folder`` holds all of its parts with this provenance; else None."""
    if difference(read_provenance(folder), now):
        return None
    parts, units = Parts(folder, now), list(score_units(task))
    return mean_over_draws(parts.read(units)) if all(parts.has(name) for name in units) else None


def mean_over_draws(draws: pa.Table) -> pa.Table:
    """One row per word and direction (see ``score_task``) from the rows of every draw."""
    keys = ["direction", "concept", "source", "target"]
    means = draws.group_by(keys, use_threads=False).aggregate([(name, "mean") for name in _MEANS])
    means = means.rename_columns({f"{name}_mean": name for name in _MEANS})
    score = np.asarray(means["p_target"]) - np.asarray(means["p_distractors"])
    table = means.select([*keys, *_MEANS]).append_column("score", pa.array(score))
    return table.sort_by([("direction", "ascending"), ("concept", "ascending")])


def check(settings: ModelSettings) -> list[str]:
    """The task and the model."""
    return [*check_task(settings), *check_model(settings.model)]


main = partial(run_checked, "evaluate_translation", __doc__, evaluate, check)


if __name__ == "__main__":
    raise SystemExit(main())
