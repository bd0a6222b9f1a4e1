"""After any sequence of changes, kills and other tools' work, a rebuild gives the tables that brute force gives.

Hypothesis prints the steps of a failure, and a line ``@reproduce_failure(...)``: above the test, it repeats it.
"""

import shutil
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from changing_shards import BATCHES, COUNTS, LINES, maintain, write_keys
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test
from local_frames import load_and_count, run_without_spark
from shard_rules import PICK, ShardRules
from small_corpus import must_work, run_job
from store_states import as_killed, store_states, write_tree
from warehouse_model import BAD, Blocked, Settings, actual, content_id, expected, key

from jobs import forget_documents, rebuild_corpus
from jobs.framework import run_stages
from jobs.warehouse.spark_tables import Warehouse

TABLES = ("documents", "quarantine", "shards", *COUNTS)
ROWS = {0: "record < 2", 1: "record < 2", 2: "n_docs > 1", 3: "n_docs > 1"}
"""What another tool deletes of a table."""
KEYS = [key(line) for line in LINES]
PICKS = st.lists(PICK, min_size=1, max_size=3)
KILL = st.none() | st.floats(0, 0.999)
"""After which share of the operations of a job it is killed."""


class AnySequence(ShardRules):
    """A warehouse, and what its tables must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        load_and_count(self.patch)
        run_without_spark(self.patch)
        self.warehouse = self.folder / "warehouse"
        self.blocked = Blocked()
        self.settings = Settings(50, "document_language")
        self.loaded: dict[str, list[str]] | None = None
        """What the tables hold; None where that is not known."""

    def teardown(self) -> None:
        """A last rebuild."""
        try:
            if self._n_documents():
                self.rebuild(False, None)
        finally:
            self.patch.undo()
            super().teardown()

    def _listed(self) -> dict[str, list[str]]:
        return {path: lines for path, lines in self.shards.items() if path not in self.blocked.shards}

    def _n_documents(self) -> int:
        return self.blocked.n_documents(self._listed())

    def _table(self, pick: int) -> DeltaTable | None:
        path = self.warehouse / TABLES[pick % len(TABLES)]
        return DeltaTable(path) if DeltaTable.is_deltatable(str(path)) else None

    @rule(window=st.sampled_from([5, 50]), shared=st.sampled_from(["document_language", "all"]))
    def set_counting(self, window: int, shared: str) -> None:
        self.settings = Settings(window, shared)

    @rule(pick=PICK, vacuum=st.booleans())
    def maintained_by_another_tool(self, pick: int, vacuum: bool) -> None:
        """OPTIMIZE or VACUUM of a table."""
        if table := self._table(pick):
            if vacuum:
                table.vacuum(0, dry_run=False, enforce_retention_duration=False)
            else:
                table.optimize.compact()

    @rule(pick=PICK, version=PICK)
    def restored_by_another_tool(self, pick: int, version: int) -> None:
        """RESTORE of a table to an earlier version whose files are still there."""
        if table := self._table(pick):
            with suppress(DeltaError):
                table.restore(version % (table.version() + 1))
                self.loaded = None

    @rule(pick=PICK, drop=st.booleans())
    def damaged_by_another_tool(self, pick: int, drop: bool) -> None:
        """DELETE of rows of a table, or its removal."""
        if table := self._table(pick):
            self.loaded = None
            if drop:
                shutil.rmtree(self.warehouse / TABLES[pick % len(TABLES)])
            else:
                table.delete(ROWS.get(pick % len(TABLES), "doc_count > 1"))

    @rule()
    def maintain(self) -> None:
        if self.warehouse.is_dir() and any(map(self._table, range(len(TABLES)))):
            maintain(self.corpus)

    @precondition(lambda self: self._n_documents())
    @rule(batched=st.booleans(), kill=KILL)
    def rebuild(self, batched: bool, kill: float | None) -> None:
        overrides = [*self.settings.overrides, *([BATCHES] if batched else [])]
        if self._run(lambda: run_job(rebuild_corpus.main, self.corpus, *overrides), kill):
            self.loaded = self._listed()
            self._check()
            assert "no table has changed" in must_work(run_job(rebuild_corpus.main, self.corpus, *overrides))

    @precondition(lambda self: self.loaded and self._n_documents())
    @rule(
        kill=KILL,
        picks=st.lists(PICK, min_size=1, max_size=3),
        what=st.sampled_from(["--keys", "--sources", "--shards"]),
    )
    def forget(self, kill: float | None, picks: list[int], what: str) -> None:
        assert self.loaded
        shard = sorted(self.loaded)[picks[0] % len(self.loaded)]
        keys = [KEYS[pick % len(KEYS)] for pick in picks]
        kept, blocked = self.loaded, self.blocked
        if what == "--keys":
            value, blocked = write_keys(self.corpus, keys), blocked._replace(keys=blocked.keys.union(keys))
        elif what == "--sources":
            of_source = (key for key in KEYS if key[0] == keys[0][0])
            value, blocked = keys[0][0], blocked._replace(keys=blocked.keys.union(of_source))
        else:
            same = {shard} | {path for path in kept if kept[path] == kept[shard] and set(kept[path]) - BAD.keys()}
            value, kept = shard, {path: lines for path, lines in kept.items() if path not in same}
            ids = {content_id(self.loaded[shard])} if set(self.loaded[shard]) - BAD.keys() else set()
            blocked = Blocked(blocked.keys, blocked.shards | same, blocked.contents | ids)

        def run() -> tuple[int, str, str]:
            return run_job(
                lambda argv: forget_documents.main([*argv, what, value]), self.corpus, *self.settings.overrides
            )

        if not blocked.n_documents(kept):
            assert "nothing is forgotten" in run()[2]
        elif self._run(run, kill):
            self.loaded = kept
            self._read_block_list()
            assert self.blocked == blocked
            self._check()

    @precondition(lambda self: self.loaded is None and self.warehouse.is_dir() and self._n_documents())
    @rule(pick=PICK)
    def forget_after_another_tool_or_a_kill(self, pick: int) -> None:
        """The next rebuild shows whether the tables are without the document."""
        keys = write_keys(self.corpus, [KEYS[pick % len(KEYS)]])
        code, _, errors = run_job(
            lambda argv: forget_documents.main([*argv, "--keys", keys]), self.corpus, *self.settings.overrides
        )
        assert code in (0, 2), errors
        self._read_block_list()

    @precondition(lambda self: self._n_documents())
    @rule(number=st.integers(1, 9), seed=st.integers(0, 999))
    def overtaken_by_a_second_run(self, number: int, seed: int) -> None:
        """A second run, which does not see the marker of the first, runs before the first one's n-th commit."""
        commit, left = Warehouse.commit, number

        def overtaken(warehouse: Warehouse, *arguments: Any, **named: Any) -> None:
            nonlocal left
            left -= 1
            if not left:
                self.add(seed, 2, 1)
                self.rebuild(False, None)
            commit(warehouse, *arguments, **named)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run_stages, "mark_in_use", lambda *_: nullcontext(lambda: None))
            patch.setattr(Warehouse, "commit", overtaken)
            code, _, errors = run_job(rebuild_corpus.main, self.corpus, *self.settings.overrides)
        assert (code == 75) == (left <= 0), errors
        assert code == 0 or "another run has written" in errors, errors
        self.loaded = self._listed()
        self._check()

    def _run(self, job: Callable[[], tuple[int, str, str]], kill: float | None) -> bool:
        """Whether a job ended; else its warehouse is left as at a kill."""
        if kill is None:
            must_work(job())
            return True
        with store_states(self.warehouse) as states:
            must_work(job())
        write_tree(self.warehouse, as_killed(states.found[int(kill * len(states.found))][1]))
        self.loaded = None
        self._read_block_list()
        return False

    def _read_block_list(self) -> None:
        if DeltaTable.is_deltatable(str(self.warehouse / "blocked")):
            rows = DeltaTable(self.warehouse / "blocked").to_pyarrow_table().to_pylist()
            entries = {(row["source"], row["doc_id"]) for row in rows}
            keys = frozenset(key for key in KEYS if key in entries or (key[0], None) in entries)
            shards, contents = (frozenset(row[of] for row in rows if row[of]) for of in ("shard", "content_id"))
            self.blocked = Blocked(keys, shards, contents)

    def _check(self) -> None:
        assert self.loaded is not None
        wanted = expected(self.loaded, self.blocked, self.settings, str(self.folder / "byte_level.json"))
        found = actual(self.warehouse)
        for name in wanted:
            assert found[name] == wanted[name], name


def test_after_any_sequence_the_tables_are_those_of_brute_force() -> None:
    few = settings(max_examples=6, stateful_step_count=10, derandomize=True, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(AnySequence, settings=few)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_after_many_sequences_the_tables_are_those_of_brute_force() -> None:
    many = settings(max_examples=40, stateful_step_count=25, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(AnySequence, settings=many)
