"""Joins traces and scores with corpus counts: labels, latent-language curves, causality, and what the counts explain.

    python -m jobs.gpu.explain_behaviour --config conf/demo-model.toml [--dry-run]

Reads ``<results.path>/traces/`` and ``scores/``, which must be complete and of one model and task, and the tables
``word_cooccurrence``, ``word_totals`` and ``pair_pivots``. Writes ``explained_pairs.parquet`` (one row per word and
direction), ``explanation.json`` (the statistics of every direction) and ``traces.md`` (the tables of
labels, controls and causality, and of lexical precision at 1).
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.framework.log_lines import say
from jobs.gpu.build_translation_task import check_task, load_task, task_tokens
from jobs.gpu.common.check_inputs import check_tables, run_checked
from jobs.gpu.common.files import read_provenance, results_path, write_json, write_text
from jobs.gpu.common.read_tables import PinnedTable, check_files, open_table
from jobs.gpu.common.result_parts import Parts
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.evaluate_translation import VERSION as SCORES_VERSION
from jobs.gpu.evaluate_translation import mean_over_draws, score_units
from jobs.gpu.trace_layers import VERSION as TRACES_VERSION
from jobs.gpu.translation.corpus_counts import (
    PairKey,
    WordKey,
    pair_key,
    read_pair_counts,
    read_pair_pivots,
    read_word_counts,
    sampled_count,
)
from jobs.gpu.translation.translation_task import Task, task_sha256
from jobs.gpu.translation.word_tokens import WordTokens
from pivot_udfs.errors import TaskError
from pivot_udfs.load_settings import result_settings
from pivot_udfs.provenance import Provenance, difference
from pivot_udfs.tokenization.backends import load_tokenizer

VERSION = 8
TABLES = ("word_cooccurrence", "word_totals", "pair_pivots")
_JOBS = {"traces": "jobs.gpu.trace_layers", "scores": "jobs.gpu.evaluate_translation"}
_COPIED = (
    "direction", "concept", "source", "target", "latent_behaviour", "pivot_language", "pivot_layer",
    "control_behaviour", "behaviour", "log_probability",
)  # fmt: skip


def explain(settings: ModelSettings) -> None:
    """Writes the joined pairs and the statistics of every direction."""
    from jobs.gpu.analysis.explain_direction import explain_directions, markdown_table, precision_table

    task = load_task(settings)
    tables = {name: open_table(settings.warehouse.path, name, settings.warehouse.release) for name in TABLES}
    for table in tables.values():
        check_files(table, task.provenance.files["tokenizer"], task.provenance.files["lexicon"])
    traces, scores = read_results(settings, task, tables["pair_pivots"])
    pair_counts, word_counts = read_pair_counts(tables["word_cooccurrence"]), read_word_counts(tables["word_totals"])
    pivots = read_pair_pivots(tables["pair_pivots"], settings.trace.n_pivots)
    tokens = task_tokens(settings, load_tokenizer(settings.tokenizer.path))
    pairs = join_pairs(traces, scores, pair_counts, word_counts, pivots, tokens, settings.explanation.max_occurrences)
    pq.write_table(pairs, results_path(settings, "explained_pairs.parquet"), compression="zstd")
    directions = explain_directions(pairs.to_pylist(), traces.to_pylist(), task, settings)
    explanation = {"directions": directions, "provenance": _provenance(settings, tables).to_tree()}
    write_json(results_path(settings, "explanation.json"), explanation)
    write_text(results_path(settings, "traces.md"), f"{markdown_table(directions)}\n{precision_table(directions)}")
    for direction, row in directions.items():
        difference = row["causality"]["pivot"]["difference"]
        say(f"explained {direction}", **row["latent_behaviour"], log_p_without_pivot=f"{difference['mean']:.3f}")


def _provenance(settings: ModelSettings, tables: dict[str, PinnedTable]) -> Provenance:
    used = {"trace.n_pivots": settings.trace.n_pivots, "translation.n_resamples": settings.translation.n_resamples}
    used |= result_settings(settings.explanation)
    results = {name: _made_from(settings, name).fingerprint for name in _JOBS}
    rows = {name: table.rows for name, table in tables.items()}
    return Provenance("explain_behaviour", VERSION, used, rows, results)


def read_results(settings: ModelSettings, task: Task, pivots: PinnedTable) -> tuple[pa.Table, pa.Table]:
    """Traces and scores of all directions of the task, made by one model, which itself may be on another machine.

    Raises TaskError where either is missing, or they differ in model, task, or table of pair pivots; WarehouseError
    where either is not complete.
    """
    traced, scored = (_made_from(settings, folder) for folder in _JOBS)
    task_file = {"task": task_sha256(results_path(settings, "task.jsonl"))}
    now = replace(
        traced,
        version=TRACES_VERSION,
        settings={**traced.settings, "trace.n_pivots": settings.trace.n_pivots},
        tables={"pair_pivots": pivots.rows},
        files={**traced.files, **task_file},
    )
    shared = {name: value for name, value in traced.settings.items() if name.startswith(("model.", "translation."))}
    _check(settings, "traces", traced, now)
    _check(settings, "scores", scored, replace(scored, version=SCORES_VERSION, settings=shared, files=now.files))
    traces = Parts(results_path(settings, "traces"), traced).read(list(task.examples))
    scores = Parts(results_path(settings, "scores"), scored).read(list(score_units(task)))
    return traces, mean_over_draws(scores)


def _check(settings: ModelSettings, folder: str, made: Provenance, now: Provenance) -> None:
    stale = difference(made, now)
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
    pair_counts: Mapping[PairKey, int],
    word_counts: Mapping[WordKey, int],
    pivots: Mapping[PairKey, list[int]],
    tokens: WordTokens,
    max_occurrences: int,
) -> pa.Table:
    """One row per traced pair: labels, effects of removal, score, counts, and every best word of some layer.

    The score is null if the pair was not scored.
    """
    by_pair = {
        (row["direction"], row["concept"]): row["score"]
        for row in scores.select(["direction", "concept", "score"]).to_pylist()
    }
    rows = []
    for row in traces.to_pylist():
        source, target = row["direction"].split("-")
        key = pair_key((source, row["source"]), (target, row["target"]))
        n_pairs = pair_counts.get(key, 0)
        best = [ids[0] for ids in row["top_ids"]]
        words = [k for k in dict.fromkeys(best) if k not in tokens.wordless]
        rows.append(
            {
                **{name: row[name] for name in _COPIED},
                "pivot_effect": _change(row, "without_pivot"),
                "control_effect": _change(row, "without_control"),
                "rival_effect": _change(row, "without_rival"),
                "score": by_pair.get((row["direction"], row["concept"])),
                "pair_count": n_pairs,
                "sampled_pair_count": sampled_count(key, n_pairs, word_counts, max_occurrences),
                "source_count": word_counts.get((source, row["source"]), 0),
                "target_count": word_counts.get((target, row["target"]), 0),
                "n_pair_pivots": len(pivots.get(key, [])),
                "best_words": [tokens.texts[k] for k in words],
                "best_word_is_pair_pivot": not set(words).isdisjoint(pivots.get(key, [])),
            }
        )
    return pa.Table.from_pylist(rows)


def _change(row: Mapping[str, Any], name: str) -> float | None:
    return None if row[name] is None else row[name] - row["log_probability"]


def check(settings: ModelSettings) -> list[str]:
    """The task, the tables, and the results of two jobs."""
    found = [*check_task(settings), *check_tables(settings, *TABLES)]
    for folder in _JOBS:
        _made_from(settings, folder)
        found.append(f"results {results_path(settings, folder)}")
    return found


main = partial(run_checked, "explain_behaviour", __doc__, explain, check, reads_release=True)


if __name__ == "__main__":
    raise SystemExit(main())
