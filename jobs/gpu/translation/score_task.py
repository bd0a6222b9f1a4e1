"""Scores a model on a whole task, in parts that an interrupted run keeps, and writes the scores."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.framework.log_lines import progress_bar, say
from jobs.gpu.analysis.bootstrap import mean_interval
from jobs.gpu.common.files import write_json
from jobs.gpu.common.result_parts import Parts
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.evaluate_translation import mean_over_draws, score_units
from jobs.gpu.translation.score_words import score_draw
from jobs.gpu.translation.task_model import TaskModel


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
