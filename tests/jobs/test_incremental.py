"""Rebuilds after shards were added, changed, removed or touched equal a rebuild from nothing, also after kills."""

import gzip
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from changing_shards import (
    BATCHES,
    CHECKED,
    COUNTS,
    assert_as_from_nothing,
    killed_at_each_commit,
    maintain,
    rebuild,
    stop_before_commit,
    write_shard,
)
from deltalake import DeltaTable
from small_corpus import SmallCorpus, must_work, run_job

from jobs import count_cooccurrence, rebuild_corpus, tokenize_corpus
from jobs.framework import run_stages
from jobs.warehouse.spark_tables import Warehouse


def versions(corpus: SmallCorpus) -> dict[str, int]:
    return {name: DeltaTable(corpus.warehouse / name).version() for name in (*CHECKED, "shards")}


def change_shards(folder: Path) -> None:
    """One shard more, one changed, one gone, one renamed, one touched."""
    write_shard(folder, 5, seed=50)
    write_shard(folder, 1, seed=10)
    (folder / "shards" / "2.jsonl").unlink()
    (folder / "shards" / "3.jsonl").rename(folder / "shards" / "renamed.jsonl")
    os.utime(folder / "shards" / "0.jsonl", ns=(1, 1))


@pytest.mark.parametrize("batches", [(), (BATCHES,)])
def test_changed_shards_give_the_tables_of_a_rebuild_from_nothing(world: SmallCorpus, batches: tuple[str]) -> None:
    rebuild(world, *batches)
    change_shards(world.folder)
    log_text = rebuild(world, *batches)
    assert "tokenize_corpus: runs: shards: 2 new, 1 changed, 2 gone, 1 touched" in log_text
    assert_as_from_nothing(world)


def test_a_touched_shard_runs_nothing_again_but_its_entry(world: SmallCorpus) -> None:
    rebuild(world)
    before = versions(world)
    os.utime(world.folder / "shards" / "0.jsonl", ns=(5, 5))
    rebuild(world)
    assert versions(world) == before | {"shards": before["shards"] + 1}
    assert "skipped" in rebuild(world)


@pytest.mark.parametrize("batches", [(), (BATCHES,)])
def test_a_run_whose_new_shards_are_all_truncated_stops(world: SmallCorpus, batches: tuple[str]) -> None:
    rebuild(world)
    content = gzip.compress((world.folder / "shards" / "0.jsonl").read_bytes())
    for number in range(3):
        (world.folder / "shards" / f"new{number}.jsonl.gz").write_bytes(content[:-4])
    code, _, errors = run_job(rebuild_corpus.main, world, "corpus.max_quarantine_share=0.1", *batches)
    assert (code, " shards are empty or cannot be read to their end (100.00%)" in errors) == (2, True), errors
    assert f"; in {world.folder / 'shards' / 'new0.jsonl.gz'}" in errors
    for number in (1, 2):
        (world.folder / "shards" / f"new{number}.jsonl.gz").unlink()
    (world.folder / "shards" / "whole.jsonl.gz").write_bytes(content)
    errors += rebuild(world, *batches)
    assert "warning: to quarantine: 1 corrupt_stream (such as: the gzip stream ends before" in errors


def test_shards_are_replaced_in_files_that_were_compacted(world: SmallCorpus) -> None:
    rebuild(world, BATCHES)
    for name in CHECKED:
        DeltaTable(world.warehouse / name).optimize.compact()
    assert len(DeltaTable(world.warehouse / "documents").file_uris()) == 1
    change_shards(world.folder)
    rebuild(world)
    assert_as_from_nothing(world)


def test_all_documents_are_counted_where_removed_files_were_vacuumed(world: SmallCorpus) -> None:
    rebuild(world, BATCHES)
    write_shard(world.folder, 1, seed=10)
    must_work(run_job(tokenize_corpus.main, world))
    documents = DeltaTable(world.warehouse / "documents")
    documents.vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert "counts all documents" in rebuild(world)
    assert_as_from_nothing(world)


def test_documents_that_another_tool_deleted_are_restored(world: SmallCorpus) -> None:
    rebuild(world)
    DeltaTable(world.warehouse / "documents").delete("record < 4")
    code, _, errors = run_job(count_cooccurrence.main, world)
    assert (code, "run tokenize_corpus again" in errors) == (2, True)
    assert "they are restored" in rebuild(world)
    assert_as_from_nothing(world)


@pytest.mark.parametrize(("name", "rows"), [(name, "doc_count > 0") for name in COUNTS[1:]] + [(COUNTS[0], "true")])
def test_counts_that_another_tool_has_changed_are_counted_again(world: SmallCorpus, name: str, rows: str) -> None:
    rebuild(world)
    DeltaTable(world.warehouse / name).delete(rows)
    assert f"{name} was changed by another tool" in rebuild(world)
    assert_as_from_nothing(world)


def test_all_shards_are_read_again_where_another_tool_has_changed_their_table(world: SmallCorpus) -> None:
    rebuild(world)
    DeltaTable(world.warehouse / "shards").delete("n_docs > 0")
    assert "shards was changed by another tool" in rebuild(world)
    assert_as_from_nothing(world)


@pytest.mark.parametrize("anew", [False, True])
def test_a_run_killed_at_any_commit_is_completed_by_the_next(
    world: SmallCorpus, monkeypatch: pytest.MonkeyPatch, anew: bool
) -> None:
    """Killed before its first commit, the next time before its second, and so on, until it ends by itself."""
    rebuild(world)
    change_shards(world.folder)
    overrides = ["cooccurrence.window=20"] if anew else [BATCHES]
    killed_at_each_commit(monkeypatch, lambda: run_job(rebuild_corpus.main, world, *overrides))
    assert_as_from_nothing(world, *overrides)


def test_two_runs_at_once_leave_the_tables_of_one(world: SmallCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that do not see each other's marker."""
    monkeypatch.setattr(run_stages, "mark_in_use", lambda *_: nullcontext(lambda: None))
    rebuild(world)
    write_shard(world.folder, 7, seed=70)
    commit = Warehouse.commit

    def overtaken(self: Warehouse, *arguments: Any, **named: Any) -> None:
        monkeypatch.setattr(Warehouse, "commit", commit)
        write_shard(world.folder, 8, seed=80)
        rebuild(world)
        commit(self, *arguments, **named)

    monkeypatch.setattr(Warehouse, "commit", overtaken)
    code, _, errors = run_job(rebuild_corpus.main, world)
    assert (code, "another run has written" in errors) == (75, True), errors
    assert_as_from_nothing(world)


def test_a_rebuild_that_changed_a_table_adds_a_release(world: SmallCorpus) -> None:
    assert "rebuild_corpus: release 0: shards 4 new, 0 changed, 0 gone; documents +" in rebuild(world)
    assert "rebuild_corpus: no table has changed" in rebuild(world)
    n_docs = DeltaTable(world.warehouse / "documents").to_pyarrow_table().num_rows
    change_shards(world.folder)
    log_text = rebuild(world)
    more = DeltaTable(world.warehouse / "documents").to_pyarrow_table().num_rows - n_docs
    assert f"rebuild_corpus: release 1: shards 2 new, 1 changed, 2 gone; documents {more:+}, quarantine" in log_text
    rows = DeltaTable(world.warehouse / "releases").to_pyarrow_table().sort_by("release").to_pylist()
    assert [row["release"] for row in rows] == [0, 1]
    now = {name: DeltaTable(world.warehouse / name).version() for name in (*CHECKED, "shards")}
    assert dict(rows[1]["versions"]) == now
    assert dict(rows[0]["versions"])["documents"] < now["documents"]


def test_maintenance_runs_nothing_again_and_changed_shards_are_counted_by_difference(world: SmallCorpus) -> None:
    rebuild(world, BATCHES)
    assert "documents: version 3, 4 files" in maintain(world)
    before = versions(world)
    assert len(DeltaTable(world.warehouse / "documents").file_uris()) == 1
    assert rebuild(world, BATCHES).count("skipped") == 2
    assert maintain(world).count("nothing to do") == len(before) + 1
    assert versions(world) == before
    write_shard(world.folder, 5, seed=50)
    assert "counts all documents" not in rebuild(world, BATCHES)
    assert_as_from_nothing(world)
    maintain(world)
    rebuild(world, "cooccurrence.window=20")
    change_shards(world.folder)
    rebuild(world)
    assert_as_from_nothing(world)


def test_documents_that_are_not_counted_are_not_vacuumed(world: SmallCorpus) -> None:
    rebuild(world, BATCHES)
    write_shard(world.folder, 1, seed=10)
    must_work(run_job(tokenize_corpus.main, world))
    files = len(list((world.warehouse / "documents").glob("*.parquet")))
    assert "data files stay until count_cooccurrence" in maintain(world)
    assert len(list((world.warehouse / "documents").glob("*.parquet"))) == files
    assert "counts all documents" not in rebuild(world)
    assert_as_from_nothing(world)


def test_a_killed_run_is_completed_after_maintenance(world: SmallCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    rebuild(world)
    for n_commits in (2, 3, 5, 8):
        write_shard(world.folder, 1, seed=100 + n_commits)
        with monkeypatch.context() as patch:
            stop_before_commit(patch, n_commits)
            assert run_job(rebuild_corpus.main, world)[0] == 130
        maintain(world)
        log_text = rebuild(world)
        assert "reads all shards anew" not in log_text
        assert "counts all documents" not in log_text
    assert_as_from_nothing(world)


def test_all_documents_are_counted_where_the_counts_are_larger_than_they(
    world: SmallCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild(world)
    changed: list[Any] = []
    count = count_cooccurrence._count
    monkeypatch.setattr(count_cooccurrence, "_count", lambda *given: (changed.append(given[2]), count(*given)))
    for number, cost in enumerate((0, 1000)):
        monkeypatch.setattr(count_cooccurrence, "_STORED_COST", cost)
        write_shard(world.folder, 6 + number, seed=60 + number)
        rebuild(world)
    assert (changed[0], False in changed) == (True, True)
    assert_as_from_nothing(world)
