"""What led to an explanation: the state of each table that it rests on, and of those that these were made from."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jobs.warehouse.arrow_tables import ArrowTables
from jobs.warehouse.check_together import check_together

States = Mapping[str, Mapping[str, Any]]
"""``version``, ``rows`` and ``provenance`` of each table by name."""


def states_of(tables: ArrowTables, names: Sequence[str]) -> States:
    """The states of tables that exist, and of those that they were made from; errors as for ``check_together``."""
    check_together(tables, names)
    found: dict[str, Mapping[str, Any]] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        content = tables.content(name)
        if name not in found and content:
            made = content.provenance
            record = json.loads(made.to_json()) if made else None
            found[name] = {"version": content.newest, "rows": content.rows._asdict(), "provenance": record}
            waiting += made.tables if made else ()
    return found


def describe_states(states: States, release: str) -> list[str]:
    """Lines of text: the release, then the tables of each job with their versions, its settings, files and packages."""
    tables: dict[str, list[str]] = {}
    jobs: dict[str, Mapping[str, Any]] = {}
    for name, state in states.items():
        made = state["provenance"] or {"fingerprint": "", "job": "unknown job", "version": 0, "release": "unknown"}
        tables.setdefault(made["fingerprint"], []).append(f"{name} (version {state['version']})")
        jobs[made["fingerprint"]] = made
    lines = [f"made from ({release})"]
    for key, made in jobs.items():
        lines.append(f"  {', '.join(tables[key])}: {made['job']} {made['version']}, package {made['release']}")
        if made.get("tables"):
            read = (f"{name} version {rows['version']}" for name, rows in made["tables"].items())
            lines.append(f"    tables {', '.join(read)}")
        for kind in ("settings", "files", "packages"):
            if made.get(kind):
                lines.append(f"    {kind} " + ", ".join(f"{key}={value}" for key, value in made[kind].items()))
    return lines
