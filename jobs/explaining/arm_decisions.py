"""Why an arm holds a document, or does not: its stratum, and the cut of the stratum."""

import math
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pyarrow.dataset as ds

from jobs.selection.shrunken_density import SHRUNKEN
from jobs.warehouse.arrow_tables import ArrowTables
from pivot_udfs.arms import ARMS, PIVOT, Arm
from pivot_udfs.schemas import SELECTION_CUTS
from pivot_udfs.settings import Selection

_ALL = "all"
_FUNCTIONS = {"floor": math.floor, "log2": lambda x: math.log(x) / math.log(2.0)}
"""With the values that Spark gives: a whole number, and a quotient of logarithms."""


@dataclass(frozen=True)
class ArmDecision:
    """Whether an arm holds a document, and why."""

    arm: str
    held: bool
    """Whether the row is in ``datasets/<arm>``."""
    stratum: str | None
    """None where an expression of the arm needs Spark."""
    reason: str
    """One sentence."""
    cut: Mapping[str, Any] | None
    """The row of ``selection_cuts`` that decides; None where the stratum has no budget."""


def decide_arms(tables: ArrowTables, scored: Mapping[str, Any], selection: Selection) -> tuple[ArmDecision, ...]:
    """The decisions of all arms in ``selection``, with which the datasets were made, on a document, in their order.

    ``scored`` is the document's row of ``document_scores``, with ``shrunken_density``.
    """
    scored = {**scored, PIVOT: _is_in_pivot_arm(tables, scored, selection)}
    return tuple(_decide(tables, ARMS[name], scored, selection) for name in selection.arms)


def _is_in_pivot_arm(tables: ArrowTables, scored: Mapping[str, Any], selection: Selection) -> bool:
    """Whether the pivot arm takes a document; without its dataset none whose density is exactly that of the cut."""
    cuts = _cuts(tables, PIVOT, scored["lang"])
    if not cuts or cuts[0]["budget"] is None:
        return bool(cuts) and bool(scored[SHRUNKEN] >= selection.threshold)
    value, end = 1 - scored[SHRUNKEN], cuts[0]["value"]
    if end is None:
        return bool(cuts[0]["budget"])
    if value == end and PIVOT in selection.arms:
        return _is_in(tables, PIVOT, scored)  # ties are broken by a hash of Spark
    return bool(value < end)


def _is_in(tables: ArrowTables, arm: str, scored: Mapping[str, Any]) -> bool:
    here = (ds.field("shard") == scored["shard"]) & (ds.field("record") == scored["record"])
    return bool(tables.rows(f"datasets/{arm}", ["record"], here))


def _cuts(tables: ArrowTables, arm: str, stratum: str) -> list[dict[str, Any]]:
    of_stratum = (ds.field("arm") == arm) & (ds.field("stratum") == stratum)
    return tables.rows("selection_cuts", SELECTION_CUTS.names, of_stratum)


def evaluate(expressions: Sequence[str], row: Mapping[str, Any]) -> list[Any] | None:
    """Values of Spark SQL expressions on a row, where they are plain enough for SQLite; else None."""
    columns = ", ".join(f":{name} AS {name}" for name in row)
    with closing(sqlite3.connect(":memory:")) as database:
        for name, function in _FUNCTIONS.items():
            database.create_function(name, 1, function)
        try:
            found = database.execute(f"SELECT {', '.join(expressions)} FROM (SELECT {columns})", dict(row))  # noqa: S608 - expressions of the code
            return list(found.fetchone())
        except sqlite3.Error:
            return None


def stratum_of(arm: Arm, scored: Mapping[str, Any]) -> str | None:
    """The stratum of a document, as ``jobs.selection.budgets.stratum`` names it; None where it needs Spark."""
    if not arm.stratum:
        return _ALL
    values = evaluate(arm.stratum, scored)
    return "/".join(str(value) for value in values if value is not None) if values else None


def _decide(tables: ArrowTables, arm: Arm, scored: Mapping[str, Any], selection: Selection) -> ArmDecision:
    held, name, arm = _is_in(tables, arm.name, scored), arm.name, ARMS[arm.copy_of or arm.name]
    stratum = stratum_of(arm, scored)
    predicate = arm.predicate(selection.bilingual_languages, selection.seed)
    may_be_taken = evaluate([predicate], scored)
    if may_be_taken == [0]:
        return ArmDecision(name, held, stratum, f"it does not satisfy the condition of the arm: {predicate}", None)
    if stratum is None or may_be_taken is None:
        return ArmDecision(name, held, stratum, "the expressions of this arm can be evaluated by Spark only", None)
    cuts = _cuts(tables, arm.name, stratum)
    return ArmDecision(name, held, stratum, _reason(arm, held, cuts), cuts[0] if cuts else None)


def _reason(arm: Arm, held: bool, cuts: Sequence[Mapping[str, Any]]) -> str:
    if not cuts:
        return "the stratum has no budget"
    cut = cuts[0]
    if cut["budget"] is None:
        return f"the shrunken density is {'at least' if held else 'below'} {1 - cut['value']:g}"
    budget = f"the budget of {cut['budget']:,} {arm.unit}"
    if arm.pair and not cut["budget"]:
        return f"no document of the stratum has a match in the arm {arm.pair}"
    if cut["value"] is None:
        return f"the stratum fits {budget} entirely"
    place = "comes before" if held else "is at, or comes after,"
    return f"it {place} the end of {budget}: {arm.order or 'draw'} = {cut['value']:.6g}"
