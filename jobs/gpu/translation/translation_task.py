"""The word translation task and its file: JSON lines that can be read, edited and used again.

The file has a header (what it was made from), one line per direction with its examples, and one line per word.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jobs.gpu.common.errors import TaskError
from jobs.gpu.common.run_job import write_text

_UNSTATED = ("always_include",)
"""What a header need not state; a file without it was made by hand or by an earlier version, and is used as it is."""


@dataclass(frozen=True)
class TaskWord:
    """One tested pair: the word, its translation, and source words that must not lead to that translation."""

    direction: str
    concept: int
    source: str
    target: str
    distractors: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """A whole task.

    Attributes:
        header: languages, settings, hashes of lexicon and tokenizer, and the number of pairs left out by reason.
        examples: per direction, per draw, the (source, target) pairs shown.
        words: the tested pairs, in lexicon order within a direction.
    """

    header: dict[str, Any]
    examples: dict[str, list[list[tuple[str, str]]]]
    words: list[TaskWord] = field(repr=False)

    def of_direction(self, direction: str) -> list[TaskWord]:
        """The tested pairs of one direction."""
        return [word for word in self.words if word.direction == direction]

    def only(self, directions: Sequence[str]) -> "Task":
        """The task without its other directions, in this order."""
        left_out = {name: self.header["left_out"][name] for name in directions}
        examples = {name: self.examples[name] for name in directions}
        words = [word for name in directions for word in self.of_direction(name)]
        return Task(self.header | {"left_out": left_out}, examples, words)


def write_task(task: Task, path: Path) -> None:
    """Writes the task as JSON lines, whole or not at all."""
    lines: list[dict[str, Any]] = [{"kind": "translation task", **task.header}]
    lines += [{"direction": d, "draws": draws} for d, draws in task.examples.items()]
    lines += [asdict(word) for word in task.words]
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def read_task(path: Path, expected: dict[str, Any] | None = None) -> Task:
    """Reads a task file.

    Args:
        path: what ``write_task`` wrote.
        expected: header values that must hold, such as the tokenizer's hash.

    Raises:
        TaskError: it is missing, damaged, or was made for something else (says which values differ).
    """
    task = _parsed(path)
    stated = {name: value for name, value in (expected or {}).items() if name in task.header or name not in _UNSTATED}
    different = {name: value for name, value in stated.items() if task.header.get(name) != value}
    if different:
        then = ", ".join(f"{name} = {task.header.get(name)}" for name in different)
        now = ", ".join(f"{name} = {value}" for name, value in different.items())
        raise TaskError(
            f"{path} was made with {then}; now it is {now}: run jobs.gpu.build_translation_task to build it again "
            "(its scores and traces must then be made again too), or set what it was made with"
        )
    return task


def _parsed(path: Path) -> Task:
    try:
        header, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if header.pop("kind") != "translation task":
            raise KeyError("kind")
        draws = {line["direction"]: line["draws"] for line in lines if "draws" in line}
        rows = [line | {"distractors": tuple(line["distractors"])} for line in lines if "source" in line]
        examples = {name: [[(a, b) for a, b in draw] for draw in of_name] for name, of_name in draws.items()}
        shown = next(iter(examples.values()))
        counted = {"n_draws": len(shown), "n_examples": len(shown[0])}
        return Task(counted | header, examples, [TaskWord(**row) for row in rows])
    except OSError as error:
        raise TaskError(f"{path}: {error.strerror}; run jobs.gpu.build_translation_task first") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, StopIteration) as error:
        raise TaskError(f"{path} is no task file ({error}); build it again") from None


def task_hash(path: Path) -> str:
    """SHA-256 (hex) of a task file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
