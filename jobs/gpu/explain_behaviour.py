"""Joins traces and scores with the corpus' counts: do counts tell direct translation from translation by pivot?

    python -m jobs.gpu.explain_behaviour --config conf/demo-model.toml [--dry-run]

Reads ``<results.path>/traces/`` and ``scores.parquet`` and the tables ``word_cooccurrence``, ``word_totals`` and
``pair_pivots``. Writes ``explained_pairs.parquet`` (a row a word and direction) and ``explanation.json``: per
direction the AUC of direct against pivot by the pair's count and by the target word's count alone, for both labels,
Pearson r of log count and score, how often the deciding token is one of the pair's pivots, and how many pairs were left
out and why.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.gpu.append_rows import Parts
from jobs.gpu.attribution import auc_interval, behaviour_auc, count_score_correlation
from jobs.gpu.build_translation_task import load_task
from jobs.gpu.errors import TaskError
from jobs.gpu.read_tables import check_files, open_table
from jobs.gpu.run_job import results_path, run_job, say, write_json
from jobs.gpu.settings import ModelSettings
from jobs.gpu.word_pairs import CorpusCounts, PairKey, pair_key, read_counts, read_pair_pivots
from pivot_udfs.tokenizer_backends import load_tokenizer

LABELS = ("behaviour", "word_behaviour")
COUNTS = ("pair_count", "target_count")


def explain(settings: ModelSettings) -> None:
    """Writes the joined pairs and what the counts explain of them."""
    tokenizer, task = load_tokenizer(settings.tokenizer.path), load_task(settings)
    names = ("word_cooccurrence", "word_totals", "pair_pivots")
    tables = {name: open_table(settings.warehouse.path, name) for name in names}
    for table in tables.values():
        check_files(table, tokenizer.sha256, task.header["lexicon_sha256"])
    counts = read_counts(tables["word_cooccurrence"], tables["word_totals"])
    pivots = read_pair_pivots(tables["pair_pivots"], settings.trace.n_pivots)
    stamp = results_path(settings, "traces") / "_made_by.json"
    if not stamp.is_file():
        raise TaskError(f"{stamp.parent} holds no traces: run jobs.gpu.trace_layers first")
    traces = Parts(stamp.parent, json.loads(stamp.read_text(encoding="utf-8"))).read()
    pairs = join_pairs(traces, _scores(settings), counts, pivots)
    pq.write_table(pairs, results_path(settings, "explained_pairs.parquet"), compression="zstd")
    directions = {
        direction: explain_direction(pairs, direction, left_out, settings)
        for direction, left_out in task.header["left_out"].items()
    }
    versions = {name: table.version for name, table in tables.items()}
    found = {"directions": directions, "mean": mean_over_directions(directions), "versions": versions}
    write_json(results_path(settings, "explanation.json"), found)
    for direction, row in directions.items():
        auc = row["auc"]["behaviour"]
        say(
            f"explained {direction}",
            direct=row["behaviour"]["direct"],
            pivot=row["behaviour"]["pivot"],
            auc_pair_count=f"{auc['pair_count']['auc']:.3f}",
            auc_target_count=f"{auc['target_count']['auc']:.3f}",
            r=f"{row['correlation']['pair_count']['r']:.3f}",
        )


def _scores(settings: ModelSettings) -> pa.Table:
    path = results_path(settings, "scores.parquet")
    if not path.is_file():
        raise TaskError(f"{path} is missing: run jobs.gpu.evaluate_translation first")
    return pq.read_table(path)


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
    unscored = sum(row["score"] is None for row in rows)
    unseen = sum(row["target_count"] == 0 for row in rows)
    scored = [row for row in rows if row["score"] is not None]
    scores = np.array([row["score"] for row in scored], float)
    n, seed = settings.translation.n_resamples, settings.translation.seed
    auc: dict[str, Any] = {}
    for label in LABELS:
        direct = np.array([row[label] == "direct" for row in rows], bool)
        auc[label] = {}
        for name in COUNTS:
            values = np.array([row[name] for row in rows], float)
            low, high = auc_interval(direct, values, n, seed)
            auc[label][name] = {"auc": behaviour_auc(direct, values), "low": low, "high": high}
    by_pivot = [row for row in rows if row["word_behaviour"] == "pivot"]
    return {
        "n_pairs": len(rows),
        "auc": auc,
        "correlation": {
            name: vars(count_score_correlation(np.array([row[name] for row in scored], float), scores))
            for name in COUNTS
        },
        **{label: {k: sum(r[label] == k for r in rows) for k in ("direct", "pivot")} for label in LABELS},
        "pivot_is_pair_pivot": sum(row["deciding_is_pair_pivot"] for row in by_pivot),
        "without_pair_pivots": sum(row["n_pivots"] == 0 for row in rows),
        "left_out": left_out | {"not scored": unscored},
        "target_never_in_corpus": unseen,
    }


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
