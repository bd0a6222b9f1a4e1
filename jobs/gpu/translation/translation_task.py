"""The word translation task and its file: JSON lines that can be read, edited and used again.

The file has a header (provenance, and the number of pairs left out), one line per direction with its examples and the
tokens before the answer position, one per concept with its pivots where they were read, and one per tested word.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from jobs.gpu.common.files import write_text
from pivot_udfs.errors import TaskError
from pivot_udfs.provenance import Provenance, difference

_KIND = "translation task"
_JOB = "jobs.gpu.build_translation_task"


@dataclass(frozen=True)
class TaskWord:
    """One tested pair: a word, its translation, and distractors, source words that do not have this translation."""

    direction: str
    concept: int
    source: str
    target: str
    distractors: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """A translation task.

    Attributes:
        provenance: what it was made from; its files are ``lexicon`` and ``tokenizer``.
        left_out: per direction, the number of pairs left out by reason.
        examples: per direction and draw, the (source, target) pairs shown in the prompt.
        leads: per direction, the tokens before the answer position (see ``word_tokens.shared_lead``).
        words: the tested pairs, in lexicon order within a direction.
        pivots: per concept, its pair pivots in the corpus; empty unless ``translation.with_pivots``.
        half_a: the concepts of half A (see ``concept_halves``); empty likewise.
    """

    provenance: Provenance
    left_out: dict[str, dict[str, int]]
    examples: dict[str, list[list[tuple[str, str]]]]
    leads: dict[str, tuple[int, ...]]
    words: list[TaskWord] = field(repr=False)
    pivots: dict[int, tuple[int, ...]] = field(default_factory=dict, repr=False)
    half_a: frozenset[int] = field(default=frozenset(), repr=False)

    def of_direction(self, direction: str) -> list[TaskWord]:
        """The tested pairs of one direction."""
        return [word for word in self.words if word.direction == direction]

    def only(self, directions: Sequence[str]) -> "Task":
        """The task restricted to some directions, in this order."""
        return replace(
            self,
            left_out={name: self.left_out[name] for name in directions},
            examples={name: self.examples[name] for name in directions},
            leads={name: self.leads[name] for name in directions},
            words=[word for name in directions for word in self.of_direction(name)],
        )


def write_task(task: Task, path: Path) -> None:
    """Writes the task as JSON lines, whole or not at all."""
    lines: list[dict[str, Any]] = [
        {"kind": _KIND, "left_out": task.left_out, "provenance": task.provenance.to_tree()},
        *({"direction": name, "draws": draws, "lead": task.leads[name]} for name, draws in task.examples.items()),
        *({"concept": k, "half_a": k in task.half_a, "pivots": ids} for k, ids in task.pivots.items()),
        *(asdict(word) for word in task.words),
    ]
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def read_task(path: Path, now: Provenance | None = None) -> Task:
    """Reads a task file, which must have the provenance ``now`` if it is given; newer tables do not replace it.

    Raises TaskError where the file is missing or damaged, or was made from something else.
    """
    task = _parse(path)
    stale = difference(replace(task.provenance, tables={}), now) if now else None
    if stale:
        raise TaskError(
            f"{path} was made from {stale}: run {_JOB} to build it again (scores and traces of it must then be made "
            "again too), or restore the settings and files that it was made from"
        )
    return task


def _parse(path: Path) -> Task:
    try:
        header, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if header["kind"] != _KIND:
            raise KeyError("kind")
        draws = {line["direction"]: line["draws"] for line in lines if "draws" in line}
        leads = {line["direction"]: tuple(line["lead"]) for line in lines if "draws" in line}
        rows = [line | {"distractors": tuple(line["distractors"])} for line in lines if "source" in line]
        pivots = {line["concept"]: tuple(line["pivots"]) for line in lines if "pivots" in line}
        half_a = frozenset(line["concept"] for line in lines if line.get("half_a"))
        examples = {name: [[(a, b) for a, b in draw] for draw in of_name] for name, of_name in draws.items()}
        words, provenance, left_out = (
            [TaskWord(**row) for row in rows],
            Provenance.from_tree(header.get("provenance")),
            dict(header["left_out"]),
        )
    except OSError as error:
        raise TaskError(f"{path}: {error.strerror}; run {_JOB} first") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TaskError(f"{path} is not a task file ({error}): run {_JOB} to build it again") from None
    if provenance is None:
        raise TaskError(f"{path} has no provenance: run {_JOB} to build it again")
    return Task(provenance, left_out, examples, leads, words, pivots, half_a)


def task_sha256(path: Path) -> str:
    """SHA-256 (hex) of the examples and words of a task file; the header is not included."""
    return hashlib.sha256(path.read_bytes().partition(b"\n")[2]).hexdigest()
