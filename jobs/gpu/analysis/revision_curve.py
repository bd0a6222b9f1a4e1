"""How pivots arise in training: traces of several revisions of one model, as one table and as a curve."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.gpu.analysis.bootstrap import mean_interval
from pivot_udfs.storage.typed_columns import schema_of

_KEYS = ("direction", "concept", "source", "target")
_COPIED = (
    "latent_behaviour", "control_behaviour", "pivot_language", "pivot_layer", "log_probability", "without_pivot",
    "without_control",
)  # fmt: skip
_STEP = re.compile(r"step[-_]?(\d+)")


def step_of(revision: str) -> int | None:
    """The training step in the name of a revision, such as ``step1000-tokens4B``; None if it names none."""
    found = _STEP.findall(revision)
    return int(found[-1]) if found else None


def revision_rows(revision: str, traces: pa.Table) -> pa.Table:
    """One row per word and direction: labels, and the probabilities of pivot and control in the deciding layer."""
    rows = []
    for row in traces.to_pylist():
        language, layer = row["pivot_language"], row["pivot_layer"]
        pivot, control = (None if layer is None else row[f"{name}_{language}"] for name in ("p", "control"))
        rows.append(
            {"revision": revision, "step": step_of(revision)}
            | {name: row[name] for name in (*_KEYS, *_COPIED)}
            | {"p_pivot": pivot and pivot[layer], "p_control": control and control[layer]}
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def revision_curve(table: pa.Table, n_resamples: int, seed: int) -> list[dict[str, Any]]:
    """One entry for each revision, in the table's order, over all directions; intervals resample concepts.

    revision, step, n_words; as means with intervals ``pivot`` and ``control`` (shares of words labelled so, and of
    random concepts) and ``log_probability`` of the answer (nats).
    """
    of_revision: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        of_revision.setdefault(row["revision"], []).append(row)
    return [
        {"revision": name, "step": step_of(name), "n_words": len(rows)} | _means(rows, n_resamples, seed)
        for name, rows in of_revision.items()
    ]


def _means(rows: Sequence[dict[str, Any]], n_resamples: int, seed: int) -> dict[str, Any]:
    measured = [row for row in rows if row["log_probability"] is not None]
    values = {
        "pivot": [row["latent_behaviour"] == "pivot" for row in rows],
        "control": [row["control_behaviour"] == "pivot" for row in rows],
        "log_probability": [row["log_probability"] for row in measured],
    }
    concepts = {name: [row["concept"] for row in (measured if name == "log_probability" else rows)] for name in values}
    return {
        name: asdict(mean_interval(np.array(of, float), n_resamples, seed, np.array(concepts[name], np.int64)))
        for name, of in values.items()
    }


SCHEMA = schema_of(
    {
        "revision": pa.string(),
        "step": pa.int64(),
        "direction": pa.string(),
        "concept": pa.int64(),
        **dict.fromkeys(("source", "target", "latent_behaviour", "control_behaviour"), pa.string()),
        "pivot_language": pa.string(),
        "pivot_layer": pa.int32(),
        **dict.fromkeys(("log_probability", "without_pivot", "without_control"), pa.float64()),
        **dict.fromkeys(("p_pivot", "p_control"), pa.float32()),
    }
)
"""The columns of ``sweep.parquet``."""
