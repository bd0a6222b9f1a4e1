"""The shards of a warehouse as a hypothesis state machine changes them."""

import os
import random
import shutil
import tempfile
from pathlib import Path

from changing_shards import LINES, changing_shards
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from warehouse_model import BAD

PICK = st.integers(0, 99)
"""One of those that there are at the time, by its number modulo how many there are."""


class ShardRules(RuleBasedStateMachine):
    """Shards that are added, changed, removed, renamed and touched.

    Attributes:
        shards: the lines of each shard that is there, by path.
    """

    def __init__(self) -> None:
        super().__init__()
        self.corpus = changing_shards(Path(tempfile.mkdtemp(prefix="any-sequence-")))
        self.folder = self.corpus.folder
        self.shards: dict[str, list[str]] = {}
        self._number = 0
        for path in (self.folder / "shards").iterdir():
            path.unlink()
        for seed in range(3):
            self.add(seed, 3, 1)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def _write(self, name: str, seed: int, n_lines: int, n_bad: int) -> None:
        draw = random.Random(seed)  # noqa: S311 - a test's fixed draw
        lines = [*draw.sample(LINES, n_lines), *draw.choices(list(BAD), k=n_bad)]
        draw.shuffle(lines)
        path = self.folder / "shards" / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        self.shards[str(path)] = lines

    def _shard(self, pick: int) -> str:
        return sorted(self.shards)[pick % len(self.shards)]

    @rule(seed=st.integers(0, 999), n_lines=st.integers(1, 4), n_bad=st.integers(0, 2))
    def add(self, seed: int, n_lines: int, n_bad: int) -> None:
        self._number += 1
        self._write(f"{self._number}.jsonl", seed, n_lines, n_bad)

    @rule(pick=PICK, seed=st.integers(0, 999), n_lines=st.integers(1, 4))
    def change(self, pick: int, seed: int, n_lines: int) -> None:
        self._write(Path(self._shard(pick)).name, seed, n_lines, 0)

    @precondition(lambda self: len(self.shards) > 1)
    @rule(pick=PICK)
    def remove(self, pick: int) -> None:
        path = self._shard(pick)
        Path(path).unlink()
        del self.shards[path]

    @rule(pick=PICK)
    def rename(self, pick: int) -> None:
        self._number += 1
        path = self._shard(pick)
        new = self.folder / "shards" / f"{self._number}.jsonl"
        Path(path).rename(new)
        self.shards[str(new)] = self.shards.pop(path)

    @rule(pick=PICK, time=st.integers(1, 10**9))
    def touch(self, pick: int, time: int) -> None:
        os.utime(self._shard(pick), (time, time))
