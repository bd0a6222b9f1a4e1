"""The columns of traces and sweeps, as docs/traces.md lists them."""

import re
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from jobs.gpu.analysis.revision_curve import SCHEMA
from jobs.gpu.tracing.trace_words import schema

pytestmark = pytest.mark.torch
PAGE = (Path(__file__).parents[3] / "docs" / "traces.md").read_text(encoding="utf-8")


def _columns(first: str) -> set[str]:
    """The names in the first column of the table that has this name in it."""
    table = next(part for part in PAGE.split("\n\n") if f"`{first}`" in part and part.startswith("| column"))
    return set(re.findall(r"`(.+?)`", " ".join(line.split("|")[1] for line in table.splitlines())))


def test_the_pages_columns_are_those_of_traces_and_sweeps() -> None:
    traces = {name.replace("_xx", "_<language>") for name in schema(["xx"]).names}
    assert _columns("answer_ids") == traces
    assert _columns("revision") == set(SCHEMA.names)
