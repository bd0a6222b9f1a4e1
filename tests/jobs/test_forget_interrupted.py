"""Forgetting that is stopped, or meets a load that was: the next run completes it; nothing half done is released."""

import pytest
from changing_shards import (
    BATCHES,
    assert_as_from_nothing,
    assert_as_without,
    forget,
    keys_of,
    killed_at_each_commit,
    rebuild,
    stop_before_commit,
    table,
    write_keys,
    write_shard,
)
from deltalake import DeltaTable
from small_corpus import SmallCorpus, run_job

from jobs import count_cooccurrence, forget_documents, rebuild_corpus
from jobs.warehouse.releases import read_release
from pivot_udfs.storage.stores import resolve


@pytest.mark.parametrize("completed_by_rebuild", [False, True])
def test_forgetting_killed_at_any_commit_is_completed_by_the_next_run(
    world: SmallCorpus, monkeypatch: pytest.MonkeyPatch, completed_by_rebuild: bool
) -> None:
    with (world.folder / "shards" / "0.jsonl").open("a", encoding="utf-8") as shard:
        shard.write('\n{"source": "web", "id": "1", "text": " "}')
    rebuild(world)
    keys, n_runs = [*keys_of(world, "0.jsonl")[:2], keys_of(world, "3.jsonl")[1], ("web", "1")], 0
    file = write_keys(world, keys)

    def run() -> tuple[int, str, str]:
        nonlocal n_runs
        n_runs += 1
        return (
            run_job(rebuild_corpus.main, world)
            if completed_by_rebuild and n_runs > 2
            else forget(world, "--keys", file)
        )

    killed_at_each_commit(monkeypatch, run)
    assert_as_without(world, keys)


@pytest.mark.parametrize("complete_before", [False, True])
def test_a_half_loaded_corpus_is_not_released(
    world: SmallCorpus, monkeypatch: pytest.MonkeyPatch, complete_before: bool
) -> None:
    if complete_before:
        rebuild(world)
    overrides, keys = ("corpus.max_document_bytes=5000", BATCHES), keys_of(world, "0.jsonl")[:2]
    with monkeypatch.context() as patch:
        stop_before_commit(patch, 4)
        assert run_job(rebuild_corpus.main, world, *overrides)[0] == 130
    before = read_release(resolve(str(world.warehouse)))
    code, _, errors = forget(world, "--keys", write_keys(world, keys), "--purge", overrides=overrides)
    assert (code, "has only the first batches of a run that was stopped" in errors) == (2, True), errors
    assert read_release(resolve(str(world.warehouse))) == before
    documents = DeltaTable(world.warehouse / "documents").to_pyarrow_table(columns=["shard", "source", "doc_id"])
    assert {row["shard"] for row in documents.to_pylist()} == {f"{world.folder}/shards/0.jsonl"}
    assert not {(row["source"], row["doc_id"]) for row in documents.to_pylist()} & set(keys)
    code, _, errors = run_job(count_cooccurrence.main, world, *overrides)
    assert (code, "run tokenize_corpus again" in errors) == (2, True), errors
    rebuild(world, *overrides)
    assert_as_without(world, keys)


def test_a_load_whose_other_shards_are_gone_is_completed(world: SmallCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_before_commit(patch, 4)
        assert run_job(rebuild_corpus.main, world, BATCHES)[0] == 130
    for number in (1, 2, 3):
        (world.folder / "shards" / f"{number}.jsonl").unlink()
    assert "tokenize_corpus: runs: " in rebuild(world)
    assert_as_from_nothing(world)
    assert "tokenize_corpus: skipped" in rebuild(world)


def test_documents_that_were_blocked_and_not_removed_yet_are_not_counted(
    world: SmallCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild(world)
    keys = keys_of(world, "0.jsonl")[:1]

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(forget_documents, "remove_records", stopped)
        assert forget(world, "--keys", write_keys(world, keys))[0] == 130
    code, _, errors = run_job(count_cooccurrence.main, world)
    assert (code, "run tokenize_corpus again" in errors) == (2, True)
    rebuild(world)
    assert_as_without(world, keys)


@pytest.mark.parametrize("forgets_again", [False, True])
def test_counts_are_right_where_another_tool_restored_shards_before_forgetting(
    world: SmallCorpus, forgets_again: bool
) -> None:
    """Documents are rolled back behind the counts, then lose what is blocked: both are to be counted."""
    rebuild(world)
    write_shard(world.folder, 5, seed=50)
    rebuild(world)
    keys = keys_of(world, "0.jsonl")[:1]
    if not forgets_again:
        assert forget(world, "--keys", write_keys(world, keys))[0] == 0
    DeltaTable(world.warehouse / "shards").restore(0)
    (world.folder / "shards" / "5.jsonl").unlink()
    if forgets_again:
        assert forget(world, "--keys", write_keys(world, keys))[0] == 0
    rebuild(world)
    assert_as_without(world, keys)


def test_a_copy_of_a_forgotten_shard_that_a_restore_brought_back_is_removed(world: SmallCorpus) -> None:
    """It was not loaded when its content was forgotten; another tool restores the rows of before it was removed."""
    copied, kept = world.folder / "shards" / "8.jsonl", world.folder / "8.jsonl"
    copied.write_bytes((world.folder / "shards" / "0.jsonl").read_bytes())
    rebuild(world)
    copied.rename(kept)
    rebuild(world)
    assert forget(world, "--shards", f"{world.folder}/shards/0.jsonl")[0] == 0
    DeltaTable(world.warehouse / "shards").restore(0)
    kept.rename(copied)
    rebuild(world)
    assert not [row for row in table(world.warehouse, "documents") if "/8.jsonl" in row]
    copied.unlink()
    rebuild(world)
    assert_as_without(world, shards=["0.jsonl"])
