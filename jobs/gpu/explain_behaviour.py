"""Joins traces and scores with corpus counts and measures how well the counts separate direct from pivot behaviour.

    python -m jobs.gpu.explain_behaviour --config conf/demo-model.toml [--dry-run]

Reads ``<results.path>/traces/`` and ``scores/``, which must be complete and of one model and task, and the tables
``word_cooccurrence``, ``word_totals`` and ``pair_pivots``. Writes ``explained_pairs.parquet`` (one row per word and
direction) and ``explanation.json``: per direction the AUC of direct against pivot by the pair's count and by the target
word's count alone, for both labels, Pearson r of log count and score, how often the deciding token is one of the pair's
pivots, and how many pairs were left out and why.
"""

import math
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.framework.log_lines import say
from jobs.gpu.analysis.auc_and_correlation import auc_interval, behaviour_auc, count_score_correlation
from jobs.gpu.build_translation_task import load_task
from jobs.gpu.common.errors import TaskError
from jobs.gpu.common.files import results_path, write_json
from jobs.gpu.common.provenance import provenance, read_provenance, to_tree, why_stale
from jobs.gpu.common.read_tables import PinnedTable, check_files, open_table
from jobs.gpu.common.result_parts import Parts
from jobs.gpu.common.run_job import run_job
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.evaluate_translation import mean_over_draws, score_units
from jobs.gpu.trace_layers import LABELS
from jobs.gpu.translation.corpus_counts import (
    PairKey,
    WordKey,
    pair_key,
    read_pair_counts,
    read_pair_pivots,
    read_word_counts,
)
from jobs.gpu.translation.translation_task import Task, task_sha256
from pivot_udfs.provenance import Provenance

VERSION = 1
COUNTS = ("pair_count", "target_count")
_JOBS = {"traces": "jobs.gpu.trace_layers", "scores": "jobs.gpu.evaluate_translation"}


def explain(settings: ModelSettings) -> None:
    """Writes the joined pairs and the statistics of every direction."""
    task = load_task(settings)
    names = ("word_cooccurrence", "word_totals", "pair_pivots")
    tables = {name: open_table(settings.warehouse.path, name, release=settings.warehouse.release) for name in names}
    for table in tables.values():
        check_files(table, task.provenance.files["tokenizer"], task.provenance.files["lexicon"])
    traces, scores = read_results(settings, task, tables["pair_pivots"])
    pair_counts, word_counts = read_pair_counts(tables["word_cooccurrence"]), read_word_counts(tables["word_totals"])
    pivots = read_pair_pivots(tables["pair_pivots"], settings.trace.n_pivots)
    pairs = join_pairs(traces, scores, pair_counts, word_counts, pivots)
    pq.write_table(pairs, results_path(settings, "explained_pairs.parquet"), compression="zstd")
    directions = {
        name: explain_direction(pairs, name, left_out, len(task.of_direction(name)), settings)
        for name, left_out in task.left_out.items()
    }
    explanation = {
        "directions": directions,
        "mean": mean_over_directions(directions),
        "provenance": to_tree(_provenance(settings, tables)),
    }
    write_json(results_path(settings, "explanation.json"), explanation)
    for direction, row in directions.items():
        auc = {f"auc_{name}": f"{value['auc']:.3f}" for name, value in row["auc"]["behaviour"].items()}
        say(f"explained {direction}", **row["behaviour"], **auc, r=f"{row['correlation']['pair_count']['r']:.3f}")


def _provenance(settings: ModelSettings, tables: dict[str, PinnedTable]) -> Provenance:
    used = {"trace.n_pivots": settings.trace.n_pivots, "translation.n_resamples": settings.translation.n_resamples}
    results = {name: _made_from(settings, name).fingerprint for name in _JOBS}
    rows = {name: table.rows for name, table in tables.items()}
    return provenance("explain_behaviour", VERSION, used, rows, results)


def read_results(settings: ModelSettings, task: Task, pivots: PinnedTable) -> tuple[pa.Table, pa.Table]:
    """Traces and scores of all directions of the task, made by one model.

    The model itself is not read: it may be on another machine.

    Raises:
        TaskError: either is missing, or they differ in model, task, or table of pair pivots.
        WarehouseError: either is not complete.
    """
    traced, scored = (_made_from(settings, folder) for folder in _JOBS)
    task_file = {"task": task_sha256(results_path(settings, "task.jsonl"))}
    now = replace(
        traced,
        settings={**traced.settings, "trace.n_pivots": settings.trace.n_pivots},
        tables={"pair_pivots": pivots.rows},
        files={**traced.files, **task_file},
    )
    shared = {name: value for name, value in traced.settings.items() if name.startswith(("model.", "translation."))}
    _check(settings, "traces", traced, now)
    _check(settings, "scores", scored, replace(scored, settings=shared, files=now.files))
    traces = Parts(results_path(settings, "traces"), traced).read(list(task.examples))
    scores = Parts(results_path(settings, "scores"), scored).read(list(score_units(task)))
    return traces, mean_over_draws(scores)


def _check(settings: ModelSettings, folder: str, made: Provenance, now: Provenance) -> None:
    stale = why_stale(made, now)
    if stale:
        raise TaskError(
            f"{settings.results.path}/{folder} was made from {stale}: delete the folder and run {_JOBS[folder]} again "
            "(traces and scores must be of one model, one task and the current table of pair pivots)"
        )


def _made_from(settings: ModelSettings, folder: str) -> Provenance:
    path = results_path(settings, folder)
    found = read_provenance(path)
    if found is None:
        raise TaskError(f"{path} has no results with provenance: delete it and run {_JOBS[folder]}")
    return found


def join_pairs(
    traces: pa.Table,
    scores: pa.Table,
    pair_counts: dict[PairKey, int],
    word_counts: dict[WordKey, int],
    pivots: dict[PairKey, list[int]],
) -> pa.Table:
    """One row per traced pair: labels, score (null if it was not scored), counts, and the deciding token."""
    by_pair = {
        (row["direction"], row["concept"]): row["score"]
        for row in scores.select(["direction", "concept", "score"]).to_pylist()
    }
    rows = []
    for row in traces.to_pylist():
        source, target = row["direction"].split("-")
        key = pair_key((source, row["source"]), (target, row["target"]))
        deciding = {name: row["top_ids"][row[f"{name}_layer"]][0] for name in LABELS}
        rows.append(
            {
                **{name: row[name] for name in ("direction", "concept", "source", "target", *LABELS)},
                "score": by_pair.get((row["direction"], row["concept"])),
                "pair_count": pair_counts.get(key, 0),
                "source_count": word_counts.get((source, row["source"]), 0),
                "target_count": word_counts.get((target, row["target"]), 0),
                "n_pivots": len(pivots.get(key, [])),
                "deciding_token": deciding["word_behaviour"],
                "deciding_is_pair_pivot": deciding["word_behaviour"] in pivots.get(key, []),
            }
        )
    return pa.Table.from_pylist(rows)


def explain_direction(
    pairs: pa.Table, direction: str, left_out: dict[str, int], n_words: int, settings: ModelSettings
) -> dict[str, Any]:
    """The statistics of one direction, whose task has ``n_words`` words."""
    rows = pairs.filter(pc.field("direction") == direction).to_pylist()
    scored = [row for row in rows if row["score"] is not None]
    by_pivot = [row for row in rows if row["word_behaviour"] == "pivot"]
    return {
        "n_pairs": len(rows),
        "auc": {label: _auc(rows, label, settings) for label in LABELS},
        "correlation": _correlations(scored),
        **{label: {k: sum(r[label] == k for r in rows) for k in ("direct", "pivot")} for label in LABELS},
        "pivot_is_pair_pivot": sum(row["deciding_is_pair_pivot"] for row in by_pivot),
        "without_pair_pivots": sum(row["n_pivots"] == 0 for row in rows),
        "left_out": left_out | {"not traced": n_words - len(rows), "not scored": len(rows) - len(scored)},
        "target_never_in_corpus": sum(row["target_count"] == 0 for row in rows),
    }


def _auc(rows: list[dict[str, Any]], label: str, settings: ModelSettings) -> dict[str, dict[str, float]]:
    """AUC of direct against pivot by each count, with its 95 % interval."""
    direct = np.array([row[label] == "direct" for row in rows], bool)
    found = {}
    for name in COUNTS:
        values = np.array([row[name] for row in rows], float)
        low, high = auc_interval(direct, values, settings.translation.n_resamples, settings.translation.seed)
        found[name] = {"auc": behaviour_auc(direct, values), "low": low, "high": high}
    return found


def _correlations(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Pearson r of each log count with the score."""
    scores = np.array([row["score"] for row in rows], float)
    return {name: vars(count_score_correlation(np.array([r[name] for r in rows], float), scores)) for name in COUNTS}


def mean_over_directions(directions: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Mean AUC over the directions that have both behaviours, and their number."""
    found: dict[str, Any] = {label: {} for label in LABELS}
    for label, name in product(LABELS, COUNTS):
        values = [row["auc"][label][name]["auc"] for row in directions.values()]
        defined = [value for value in values if not math.isnan(value)]
        found[label][name] = {"auc": float(np.mean(defined)) if defined else math.nan, "n_directions": len(defined)}
    return found


main = partial(run_job, explain, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
