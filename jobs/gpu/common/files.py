"""Writes, hashes and syncs files of the model side: every file is replaced whole or not at all."""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from jobs.gpu.common.settings import ModelSettings
from pivot_udfs.provenance import Provenance

PROVENANCE = "_provenance.json"


def results_path(settings: ModelSettings, *parts: str) -> Path:
    """A path below ``results.path``; nothing is created."""
    return Path(settings.results.path, *parts)


def write_text(path: Path, text: str) -> None:
    """Writes a temporary file of this process and renames it: several processes may write the same file at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_json(path: Path, value: object) -> None:
    """Writes JSON, indented, keys sorted; NaN and infinities, which JSON does not have, become null."""
    text = json.dumps(_finite(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish(final: Path, write: Callable[[Path], None]) -> None:
    """Replaces a folder by the one that ``write`` fills, whole or not at all, and makes sure that it is on disk."""
    partial = final.with_name(f".partial-{final.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write(partial)
    for path in [*partial.rglob("*"), partial]:
        _sync(path)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    _sync(final.parent)


def _sync(path: Path) -> None:
    """Flushes a file, or the names in a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_provenance(folder: Path, record: Provenance) -> None:
    """Writes ``_provenance.json`` into a folder."""
    write_json(folder / PROVENANCE, record.to_tree())


def read_provenance(folder: Path) -> Provenance | None:
    """The provenance in a folder; None if there is none."""
    path = folder / PROVENANCE
    return Provenance.from_json(path.read_text(encoding="utf-8")) if path.is_file() else None
