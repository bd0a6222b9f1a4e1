"""The log of a training run: one JSON object a line, a line a step and an evaluation."""

import json
from pathlib import Path
from typing import Any

from jobs.gpu.common.run_job import say, write_text


class TrainingLog:
    """``training.jsonl`` of a run.

    Args:
        path: of the file; its folder is made where missing.
        writes: whether this process is the one that writes it.
    """

    def __init__(self, path: Path, writes: bool) -> None:
        self._path, self._writes = path, writes

    def add(self, row: dict[str, Any]) -> None:
        """Adds a line."""
        if self._writes:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def cut(self, step: int) -> None:
        """Drops the lines of steps after ``step``, which will be run again, and lines that were cut short."""
        if not self._writes:
            return
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines() if self._path.is_file() else []
        steps = [_step_of(line) for line in lines]
        torn = sum(found is None for found in steps)
        if torn:
            say("lines of the log that were cut short are dropped", path=self._path, lines=torn)
        kept = [line + "\n" for line, found in zip(lines, steps, strict=True) if found is not None and found <= step]
        write_text(self._path, "".join(kept))


def _step_of(line: str) -> int | None:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None
