"""Explains one record: a document with its pivots, densities and arms, or why it was rejected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.explaining.arm_decisions import ArmDecision, decide_arms
from jobs.explaining.table_states import States, states_of
from jobs.selection.shrunken_density import shrunken_density
from jobs.warehouse.arrow_tables import ArrowTables
from pivot_udfs.arms import PIVOT
from pivot_udfs.errors import WarehouseError
from pivot_udfs.schemas import DOCUMENT_SCORES, PAIR_PIVOTS, QUARANTINE
from pivot_udfs.settings import Selection

DOCUMENT_TABLES = ("documents", "document_scores", "pivots", "pair_pivots", "selection_cuts")
Place = tuple[str, int]
"""Shard and record."""


@dataclass(frozen=True)
class PivotOfDocument:
    """A pivot that occurs in a document."""

    token_id: int
    token: str
    rank: int
    score: float
    positions: tuple[int, ...]
    """Indices of the document's tokens that are it, from 0."""
    pairs: tuple[Mapping[str, Any], ...]
    """The rows of ``pair_pivots`` of the token: the concepts and word pairs that make it a pivot, best first."""


@dataclass(frozen=True)
class DocumentExplanation:
    """Where a document comes from, what it has, and which arms hold it."""

    document: Mapping[str, Any]
    """Its row of ``document_scores``, with ``shrunken_density`` and the ``language_density`` that it is shrunken to."""
    pivots: tuple[PivotOfDocument, ...]
    """In order of their first positions."""
    arms: tuple[ArmDecision, ...]
    tables: States


@dataclass(frozen=True)
class RejectedRecord:
    """Why a record is no document."""

    quarantine: tuple[Mapping[str, Any], ...]
    """Its rows of ``quarantine``, or those of its whole shard; ``raw`` as text."""
    tables: States


def place_of(tables: ArrowTables, source: str, doc_id: str) -> Place:
    """Shard and record of the document with a key; raises WarehouseError where there is none, or there are several."""
    key = (ds.field("source") == source) & (ds.field("doc_id") == doc_id)
    places = [(row["shard"], row["record"]) for row in tables.rows("documents", ["shard", "record"], key)]
    if len(places) == 1:
        return places[0]
    table = tables.table_path("documents")
    if places:
        shown = ", ".join(f"{shard} record {record}" for shard, record in places[:5])
        raise WarehouseError(
            f"{table} has {len(places)} documents with source {source!r} and id {doc_id!r}: choose one by --shard and "
            f"--record ({shown})"
        )
    raise WarehouseError(
        f"{table} has no document with source {source!r} and id {doc_id!r}: correct them, or explain a record that was "
        "rejected by --shard and --record"
    )


def explain_record(tables: ArrowTables, place: Place) -> DocumentExplanation | RejectedRecord:
    """Explains the record at a place.

    Raises WarehouseError where no table has it, a table is missing, or the tables do not belong together.
    """
    shard, record = place
    here = (ds.field("shard") == shard) & (ds.field("record") == record)
    documents = tables.rows("documents", ["token_ids"], here)
    if documents:
        return _explain_document(tables, here, documents[0]["token_ids"])
    rejected = (ds.field("shard") == shard) & ((ds.field("record") == record) | pc.is_null(ds.field("record")))
    rows = tables.rows("quarantine", QUARANTINE.names, rejected)
    if not rows:
        raise WarehouseError(
            f"neither {tables.table_path('documents')} nor quarantine has record {record} of {shard}: --shard is the "
            "path as the table shards lists it, and records are numbered from 0"
        )
    for row in rows:
        row["raw"] = row["raw"].decode("utf-8", "backslashreplace") if row["raw"] is not None else None
    return RejectedRecord(tuple(rows), states_of(tables, ["quarantine"]))


def _explain_document(tables: ArrowTables, here: ds.Expression, token_ids: Sequence[int]) -> DocumentExplanation:
    settings = tables.provenance("selection_cuts").settings
    selection = Selection(**{key.removeprefix("selection."): value for key, value in settings.items()})
    states = states_of(tables, [*DOCUMENT_TABLES, *(f"datasets/{arm}" for arm in selection.arms)])
    scored = tables.rows("document_scores", DOCUMENT_SCORES.names, here)[0]
    mean = _language_density(tables, scored["lang"])
    n_tokens = scored["n_tokens"] if selection.shrinkage_tokens else max(scored["n_tokens"], 1)
    shrunken = shrunken_density(scored["n_pivot_tokens"], n_tokens, mean, selection.shrinkage_tokens)
    document = scored | {"language_density": mean, "shrunken_density": shrunken}
    return DocumentExplanation(document, _pivots(tables, token_ids), decide_arms(tables, document, selection), states)


def _language_density(tables: ArrowTables, lang: str) -> float:
    """Pivot tokens / tokens of a language when the cuts were decided; 0 where it had no document then."""
    of_language = (ds.field("arm") == PIVOT) & (ds.field("stratum") == lang)
    densities = [row["language_density"] for row in tables.rows("selection_cuts", ["language_density"], of_language)]
    return next(filter(None, densities), 0.0)


def _pivots(tables: ArrowTables, token_ids: Sequence[int]) -> tuple[PivotOfDocument, ...]:
    is_here = ds.field("token_id").isin(sorted(set(token_ids)))
    positions: dict[int, list[int]] = {}
    for position, token_id in enumerate(token_ids):
        positions.setdefault(token_id, []).append(position)
    rows = tables.rows("pivots", ["token_id", "token", "rank", "score"], is_here)
    is_pivot = ds.field("token_id").isin([row["token_id"] for row in rows])
    columns = [name for name in PAIR_PIVOTS.names if name != "token"]
    pairs: dict[int, list[dict[str, Any]]] = {row["token_id"]: [] for row in rows}
    for pair in tables.rows("pair_pivots", columns, is_pivot):
        pairs[pair.pop("token_id")].append(pair)
    found = [
        PivotOfDocument(
            **row, positions=tuple(positions[row["token_id"]]), pairs=tuple(best_first(pairs[row["token_id"]]))
        )
        for row in rows
    ]
    return tuple(sorted(found, key=lambda pivot: pivot.positions))


def best_first(pairs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows of ``pair_pivots`` by score, ties by concept and words."""
    return sorted(pairs, key=lambda p: (-p["score"], p["concept"], p["lang_a"], p["word_a"], p["lang_b"], p["word_b"]))
