"""Stores the provenance of the model side's artefacts: as ``_provenance.json``, or inside a JSON file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.gpu.common.files import write_json
from pivot_udfs import __version__
from pivot_udfs.provenance import Provenance, TableVersion, difference

FILE = "_provenance.json"


def provenance(
    job: str,
    version: int,
    settings: Mapping[str, Any] | None = None,
    tables: Mapping[str, TableVersion] | None = None,
    files: Mapping[str, str] | None = None,
) -> Provenance:
    """The provenance of what a job makes in this release."""
    return Provenance(job, version, __version__, settings or {}, tables or {}, files or {})


def to_tree(record: Provenance) -> dict[str, Any]:
    """A provenance as part of a JSON file."""
    return dict(json.loads(record.to_json()))


def from_tree(tree: Mapping[str, Any]) -> Provenance | None:
    """The provenance in a JSON file under the key ``provenance``; None if it has none (written by earlier releases)."""
    return Provenance.from_json(json.dumps(tree.get("provenance")))


def write_provenance(folder: Path, record: Provenance) -> None:
    """Writes ``_provenance.json`` into a folder."""
    write_json(folder / FILE, to_tree(record))


def read_provenance(folder: Path) -> Provenance | None:
    """The provenance in a folder; None if there is none."""
    path = folder / FILE
    return Provenance.from_json(path.read_text(encoding="utf-8")) if path.is_file() else None


def why_stale(made: Provenance | None, now: Provenance) -> str | None:
    """The first difference between the provenance of an artefact and the current one; None if it is up to date."""
    return "an earlier release (no provenance)" if made is None else difference(made, now)
