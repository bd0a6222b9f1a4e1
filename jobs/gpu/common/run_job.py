"""The command line that every job of the model side shares, and where each finds its files."""

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from jobs.framework.command_line import run_command
from jobs.framework.messages import say as say
from jobs.gpu.common.settings import ModelSettings

Job = Callable[[ModelSettings], None]


def run_job(job: Job, description: str, argv: Sequence[str] | None) -> int:
    """Runs a job of the model side behind the shared command line; returns the exit code.

    Args:
        job: what to do with the settings.
        description: the job's docstring, shown by ``--help``.
        argv: the arguments; None: those of the process.
    """
    name = Path(sys.modules[job.__module__].__file__ or "").stem
    return run_command(name, description, ModelSettings, job, argv)


def results_path(settings: ModelSettings, *parts: str) -> Path:
    """A path under ``results.path``, its folder made."""
    path = Path(settings.results.path).joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all (a temporary file, then a rename)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_json(path: Path, value: object) -> None:
    """Writes JSON, indented and sorted, whole or not at all; numbers that are not finite, which JSON lacks, as null."""
    text = json.dumps(_finite(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
