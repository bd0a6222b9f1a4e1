"""Explanations as text or JSON on standard output."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from jobs.explaining.explain_record import DocumentExplanation, PivotOfDocument, RejectedRecord
from jobs.explaining.explain_token import TokenExplanation
from jobs.explaining.table_states import describe_states
from jobs.warehouse.arrow_tables import ArrowTables
from pivot_udfs.storage.redact import escaped

Explanation = DocumentExplanation | RejectedRecord | TokenExplanation
_N_PAIRS = 5
"""Word pairs of each pivot that the text shows; JSON has all."""


def print_explanation(explanation: Explanation, release: int | None, as_json: bool) -> None:
    """Writes an explanation and the release that it is of: JSON has the fields of its class, text a part of them."""
    if as_json:
        tree = {"release": release} | asdict(explanation)
        sys.stdout.write(json.dumps(tree, ensure_ascii=False, indent=1) + "\n")
        return
    for line in [*_describe(explanation), *describe_states(explanation.tables, _release(release))]:
        sys.stdout.write(escaped(line) + "\n")


def print_plan(what: str, tables: ArrowTables, names: Sequence[str]) -> None:
    """Writes what would be explained; raises WarehouseError where one of the tables is not there."""
    tables.check(names)
    sys.stdout.write(escaped(f"would explain {what} ({_release(tables.release)}), from {', '.join(names)}") + "\n")


def _release(release: int | None) -> str:
    return "no release, newest versions" if release is None else f"release {release}"


def _describe(explanation: Explanation) -> list[str]:
    if isinstance(explanation, TokenExplanation):
        return _describe_token(explanation)
    if isinstance(explanation, RejectedRecord):
        return [f"rejected: {_fields(row)}" for row in explanation.quarantine]
    arms = [
        f"  {arm.arm}: {'held' if arm.held else 'not held'}; stratum {arm.stratum}; {arm.reason}"
        for arm in explanation.arms
    ]
    pivots = [line for pivot in explanation.pivots for line in _describe_pivot(pivot)]
    return [f"document: {_fields(explanation.document)}", "pivots", *pivots, "arms", *arms]


def _describe_pivot(pivot: PivotOfDocument) -> list[str]:
    positions = " ".join(map(str, pivot.positions))
    head = f"  {pivot.token!r} (id {pivot.token_id}): rank {pivot.rank}, score {pivot.score:.6g}, positions {positions}"
    return [head, *_describe_pairs(pivot.pairs, _N_PAIRS)]


def _describe_token(token: TokenExplanation) -> list[str]:
    state = f"pivot of rank {token.rank}" if token.rank else f"no pivot: {token.why_not}"
    numbers = f"score {token.score:.6g}, {token.n_concepts} concepts, {token.n_language_pairs} language pairs"
    return [
        f"{token.token!r} (id {token.token_id}): {state}",
        f"  {numbers}, in {token.doc_share:.2%} of all documents, a whole word in {token.word_share:.0%}",
        *_describe_pairs(token.pairs, len(token.pairs)),
    ]


def _describe_pairs(pairs: Sequence[Mapping[str, Any]], n_shown: int) -> list[str]:
    lines = [
        f"    {pair['lang_a']} {pair['word_a']} / {pair['lang_b']} {pair['word_b']}: concept {pair['concept']}, "
        f"score {pair['score']:.4f} ({pair['association_a']:.4f}, {pair['association_b']:.4f}), rank {pair['rank']}"
        for pair in pairs[:n_shown]
    ]
    return lines if len(pairs) <= n_shown else [*lines, f"    and {len(pairs) - n_shown} more pairs"]


def _fields(row: Mapping[str, Any]) -> str:
    shown = {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}
    return ", ".join(f"{key} {value}" for key, value in shown.items())
