"""Joins traces and scores with the corpus' counts: do counts tell direct translation from translation by pivot?

    python -m jobs.gpu.explain_behaviour --config conf/demo-model.toml [--dry-run]

Reads ``<results.path>/traces/`` and ``scores/``, which must be whole and of one model and task, and the tables
``word_cooccurrence``, ``word_totals`` and ``pair_pivots``. Writes ``explained_pairs.parquet`` (a row a word and
direction) and ``explanation.json``: per direction the AUC of direct against pivot by the pair's count and by the target
word's count alone, for both labels, Pearson r of log count and score, how often the deciding token is one of the pair's
pivots, and how many pairs were left out and why.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.gpu.analysis.auc_and_correlation import auc_interval, behaviour_auc, count_score_correlation
from jobs.gpu.build_translation_task import load_task
from jobs.gpu.common.errors import TaskError
from jobs.gpu.common.read_tables import PinnedTable, check_files, open_table
from jobs.gpu.common.result_parts import Parts
from jobs.gpu.common.run_job import results_path, run_job, say, write_json
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.evaluate_translation import mean_over_draws, score_units
from jobs.gpu.translation.corpus_counts import CorpusCounts, PairKey, pair_key, read_counts, read_pair_pivots
from jobs.gpu.translation.translation_task import Task, task_hash

LABELS = ("behaviour", "word_behaviour")
COUNTS = ("pair_count", "target_count")
_JOBS = {"traces": "jobs.gpu.trace_layers", "scores": "jobs.gpu.evaluate_translation"}


def explain(settings: ModelSettings) -> None:
    """Writes the joined pairs and what the counts explain of them."""
    task = load_task(settings)
    tables = {name: _open(settings, name, task) for name in ("word_cooccurrence", "word_totals", "pair_pivots")}
    traces, scores = read_results(settings, task, tables["pair_pivots"].version)
    counts = read_counts(tables["word_cooccurrence"], tables["word_totals"])
    pairs = join_pairs(traces, scores, counts, read_pair_pivots(tables["pair_pivots"], settings.trace.n_pivots))
    pq.write_table(pairs, results_path(settings, "explained_pairs.parquet"), compression="zstd")
    directions = {
        name: explain_direction(pairs, name, left_out | _not_joined(task, pairs, name), settings)
        for name, left_out in task.header["left_out"].items()
    }
    versions = {name: table.version for name, table in tables.items()}
    found = {"directions": directions, "mean": mean_over_directions(directions), "versions": versions}
    write_json(results_path(settings, "explanation.json"), found)
    for direction, row in directions.items():
        _say_direction(direction, row)


def _open(settings: ModelSettings, name: str, task: Task) -> PinnedTable:
    table = open_table(settings.warehouse.path, name)
    check_files(table, task.header["tokenizer_sha256"], task.header["lexicon_sha256"])
    return table


def read_results(settings: ModelSettings, task: Task, pivots_version: int) -> tuple[pa.Table, pa.Table]:
    """Traces and scores of all directions of the task, which one model gave and this very task asked for.

    Raises:
        TaskError: either was not made, or not of the same model, task, and version of ``pair_pivots``.
        WarehouseError: either is not complete.
    """
    traced, scored = (_made_by(results_path(settings, folder), job) for folder, job in _JOBS.items())
    now = {"task": task_hash(results_path(settings, "task.jsonl")), "pair_pivots_version": pivots_version}
    now |= {"n_pivots": settings.trace.n_pivots}
    differ = [name for name in now if traced.get(name) != now[name]]
    if differ or scored.get("task") != now["task"]:
        folder, name = ("traces", differ[0]) if differ else ("scores", "task")
        found = (traced if differ else scored).get(name)
        raise TaskError(
            f"{settings.results.path}/{folder} was made with {name} = {found}, now it is {now[name]}: delete the "
            f"folder and run {_JOBS[folder]} again"
        )
    one, other = dict(traced["model"]), dict(scored["model"])
    if one != other:
        differ = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
        raise TaskError(
            f"{settings.results.path} holds traces of the model {one['path']} and scores of {other['path']}, different "
            f"in {', '.join(differ)}: delete one of the two folders and run its job again with the other's model"
        )
    traces = Parts(results_path(settings, "traces"), traced).read(list(task.examples))
    scores = Parts(results_path(settings, "scores"), scored).read(list(score_units(task)))
    return traces, mean_over_draws(scores)


def _made_by(folder: Path, job: str) -> dict[str, Any]:
    stamp = folder / "_made_by.json"
    if not stamp.is_file():
        raise TaskError(f"{folder} is not there or empty: run {job} first")
    return dict(json.loads(stamp.read_text(encoding="utf-8")))


def _not_joined(task: Task, pairs: pa.Table, direction: str) -> dict[str, int]:
    """How many words of the task lack a trace or a score."""
    rows = [row for row in pairs.select(["direction", "score"]).to_pylist() if row["direction"] == direction]
    unscored = sum(row["score"] is None for row in rows)
    return {"not traced": len(task.of_direction(direction)) - len(rows), "not scored": unscored}


def _say_direction(direction: str, row: dict[str, Any]) -> None:
    auc = row["auc"]["behaviour"]
    say(
        f"explained {direction}",
        direct=row["behaviour"]["direct"],
        pivot=row["behaviour"]["pivot"],
        auc_pair_count=f"{auc['pair_count']['auc']:.3f}",
        auc_target_count=f"{auc['target_count']['auc']:.3f}",
        r=f"{row['correlation']['pair_count']['r']:.3f}",
    )


def join_pairs(traces: pa.Table, scores: pa.Table, counts: CorpusCounts, pivots: dict[PairKey, list[int]]) -> pa.Table:
    """One row a traced pair: labels, score (null where it was not scored), counts, and the deciding token."""
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
                "pair_count": counts.pair(*key),
                "source_count": counts.word((source, row["source"])),
                "target_count": counts.word((target, row["target"])),
                "n_pivots": len(pivots.get(key, [])),
                "deciding_token": deciding["word_behaviour"],
                "deciding_is_pair_pivot": deciding["word_behaviour"] in pivots.get(key, []),
            }
        )
    return pa.Table.from_pylist(rows)


def explain_direction(
    pairs: pa.Table, direction: str, left_out: dict[str, int], settings: ModelSettings
) -> dict[str, Any]:
    """What the counts explain of one direction."""
    rows = [row for row in pairs.to_pylist() if row["direction"] == direction]
    by_pivot = [row for row in rows if row["word_behaviour"] == "pivot"]
    return {
        "n_pairs": len(rows),
        "auc": {label: _auc(rows, label, settings) for label in LABELS},
        "correlation": _correlations([row for row in rows if row["score"] is not None]),
        **{label: {k: sum(r[label] == k for r in rows) for k in ("direct", "pivot")} for label in LABELS},
        "pivot_is_pair_pivot": sum(row["deciding_is_pair_pivot"] for row in by_pivot),
        "without_pair_pivots": sum(row["n_pivots"] == 0 for row in rows),
        "left_out": left_out,
        "target_never_in_corpus": sum(row["target_count"] == 0 for row in rows),
    }


def _auc(rows: list[dict[str, Any]], label: str, settings: ModelSettings) -> dict[str, dict[str, float]]:
    """AUC of direct against pivot by each count, with its interval."""
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
    """Mean AUC over the directions that have both behaviours, and how many those are."""
    found: dict[str, Any] = {}
    for label in LABELS:
        for name in COUNTS:
            values = np.array([row["auc"][label][name]["auc"] for row in directions.values()])
            known = values[~np.isnan(values)]
            mean = float(known.mean()) if len(known) else float("nan")
            found.setdefault(label, {})[name] = {"auc": mean, "n_directions": len(known)}
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """The job; see the module's docstring."""
    return run_job(explain, __doc__ or "", argv)


if __name__ == "__main__":
    raise SystemExit(main())
