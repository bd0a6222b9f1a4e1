"""A store that fails at some operation ends a run with one line; the next run gives the tables of no fault."""

import errno
import os
import shutil
from typing import Any

import pytest
from changing_shards import CHECKED, assert_as_from_nothing, rebuild, stop_before_commit, write_shard
from deltalake import DeltaTable
from pyarrow import fs
from small_corpus import SmallCorpus, run_job
from store_states import WatchedFiles, store_states

from jobs import count_cooccurrence, rebuild_corpus
from jobs.warehouse.spark_tables import Warehouse
from pivot_udfs.storage.location import Location

N_TRIED = 4
SAYS = {
    errno.ENOSPC: "a disk is full",
    errno.EIO: "has failed",
    errno.EROFS: "is read-only",
    errno.EACCES: "permission denied",
}
"""``tests/framework/test_store_errors.py`` has the errors that are reported in the same words."""
REMOVED = [
    pytest.param(name, number, marks=[] if place % 3 == k else pytest.mark.nightly)
    for place, name in enumerate((*CHECKED, "shards"))
    for k, number in enumerate((1, 3, 5))
]


class FailingStore:
    """Fails from its n-th operation on."""

    def __init__(self, code: int, number: int) -> None:
        self._code, self._left = code, number

    def before(self, operation: str, path: str) -> None:
        self._left -= 1
        if self._left < 0:
            raise OSError(self._code, os.strerror(self._code), path)


@pytest.mark.parametrize("code", SAYS)
def test_a_store_that_fails_at_any_operation_ends_the_run_with_one_line(world: SmallCorpus, code: int) -> None:
    rebuild(world)
    write_shard(world.folder, 1, seed=10)
    with store_states(world.warehouse) as states:
        rebuild(world)
    number = sum(not operation.startswith("delta-rs") for operation, _ in states.found)
    for tried in range(N_TRIED):
        write_shard(world.folder, 1, seed=20 + tried)
        files = fs.PyFileSystem(WatchedFiles(FailingStore(code, number * tried // N_TRIED).before))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Location, "filesystem", property(lambda _, files=files: files))
            ended, _, errors = run_job(rebuild_corpus.main, world)
        [line] = [line for line in errors.splitlines() if not line.startswith("[")]
        assert ended == (75 if code == errno.EIO else 2), errors
        assert os.strerror(code) in line or SAYS[code] in line, errors
        shutil.rmtree(world.warehouse / "_runs")  # of a process that has ended
    rebuild(world)
    assert_as_from_nothing(world)


@pytest.mark.parametrize("n_commits", [3, 5])
def test_a_store_that_fails_while_tables_are_restored_is_no_reason_to_make_them_anew(
    world: SmallCorpus, monkeypatch: pytest.MonkeyPatch, n_commits: int
) -> None:
    """A run was stopped before it committed shards, or between the tables of counts."""
    monkeypatch.setattr(count_cooccurrence, "_STORED_COST", 0)
    rebuild(world)
    write_shard(world.folder, 5, seed=50)
    with monkeypatch.context() as patch:
        stop_before_commit(patch, n_commits)
        assert run_job(rebuild_corpus.main, world)[0] == 130

    def fails(*_: Any, **__: Any) -> None:
        raise OSError("Generic S3 error: operation timed out")

    with monkeypatch.context() as patch:
        patch.setattr(DeltaTable, "restore", fails)
        code, _, errors = run_job(rebuild_corpus.main, world)
    assert (code, "operation timed out" in errors.splitlines()[-1]) == (75, True), errors
    log_text = rebuild(world)
    assert "anew" not in log_text
    assert "counts all documents" not in log_text
    assert_as_from_nothing(world)


@pytest.mark.parametrize(("name", "number"), REMOVED)
def test_a_table_that_is_removed_during_a_run_is_made_again(world: SmallCorpus, name: str, number: int) -> None:
    rebuild(world)
    write_shard(world.folder, 1, seed=10)
    commit, left = Warehouse.commit, number

    def after_removal(warehouse: Warehouse, *arguments: Any, **named: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            shutil.rmtree(world.warehouse / name)
        commit(warehouse, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Warehouse, "commit", after_removal)
        code, _, errors = run_job(rebuild_corpus.main, world)
    assert code in (0, 2, 75), errors
    assert code == 0 or name in errors.splitlines()[-1], errors
    rebuild(world)
    assert_as_from_nothing(world)
