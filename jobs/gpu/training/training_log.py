"""The log of a training run: JSON lines, one per step and one per evaluation."""

import json
from pathlib import Path
from typing import Any

from jobs.framework.log_lines import say
from jobs.gpu.common.files import write_text


class TrainingLog:
    """``training.jsonl`` of a run; only one of several processes ``writes`` it."""

    def __init__(self, path: Path, writes: bool) -> None:
        self._path, self._writes = path, writes

    def add(self, row: dict[str, Any]) -> None:
        """Appends a line."""
        if self._writes:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def truncate(self, step: int) -> None:
        """Removes incomplete lines, and lines of steps after ``step``, which will be run again."""
        if not self._writes:
            return
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines() if self._path.is_file() else []
        steps = [_step_of(line) for line in lines]
        incomplete = sum(found is None for found in steps)
        if incomplete:
            say("incomplete lines of the log are removed", path=self._path, lines=incomplete)
        kept = [line + "\n" for line, found in zip(lines, steps, strict=True) if found is not None and found <= step]
        write_text(self._path, "".join(kept))


def _step_of(line: str) -> int | None:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None
