"""The shards of a release, and what it has more than the release before."""

from collections.abc import Mapping
from typing import Any

import pyarrow.dataset as ds

from jobs.warehouse.arrow_tables import ArrowTables
from pivot_udfs.errors import DamagedTableError, MissingVersionError

_SUMMED = {"n_docs": "documents", "n_rejected": "quarantine", "n_tokens": "tokens"}
Shards = Mapping[str, Mapping[str, Any]]
"""Rows of the table ``shards`` by path."""


def shards_of(warehouse: str, release: int) -> Shards | None:
    """The shards of a release, none of a number below 0; None where its files are no longer there."""
    if release < 0:
        return {}
    columns = ["shard", "content_id", *_SUMMED]
    try:
        return {row["shard"]: row for row in ArrowTables(warehouse, release).rows("shards", columns, ds.scalar(True))}
    except (DamagedTableError, MissingVersionError):
        return None


def sums_of(shards: Shards) -> dict[str, int]:
    """``documents``, rows of ``quarantine`` and ``tokens`` of all shards."""
    return {name: sum(row[column] for row in shards.values()) for column, name in _SUMMED.items()}


def changed_shards(now: Shards, before: Shards) -> dict[str, int]:
    """How many shards are ``new``, ``changed`` and ``gone``."""
    both = now.keys() & before.keys()
    changed = sum(now[path]["content_id"] != before[path]["content_id"] for path in both)
    return {"new": len(now) - len(both), "changed": changed, "gone": len(before) - len(both)}


def changes_of(warehouse: str, release: int) -> dict[str, int]:
    """What a release has more than the one before, or less: shards and sums by name; empty where that is not known."""
    now, before = shards_of(warehouse, release), shards_of(warehouse, release - 1)
    if now is None or before is None:
        return {}
    shards = {f"{kind}_shards": number for kind, number in changed_shards(now, before).items()}
    had = sums_of(before)
    return shards | {name: number - had[name] for name, number in sums_of(now).items()}
