"""Damaged tables are made again where their inputs are there; else one line names the table and the remedy."""

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from changing_shards import (
    CHECKED,
    COUNTS,
    assert_as_from_nothing,
    forget,
    keys_of,
    rebuild,
    table,
    write_keys,
    write_shard,
)
from deltalake import DeltaTable, write_deltalake
from small_corpus import SmallCorpus, run_job

from jobs import forget_documents, query_tables, rebuild_corpus
from jobs.gpu.common.read_tables import open_table
from pivot_udfs.errors import MissingVersionError


def newest_commit(table: Path) -> Path:
    return max((table / "_delta_log").glob("*.json"))


def without_content(table: Path) -> None:
    newest_commit(table).write_bytes(b"{}\n")


def followed_by_an_empty_commit(table: Path) -> None:
    (table / "_delta_log" / f"{1:020}.json").write_bytes(b"")


def without_data(table: Path) -> None:
    for file in table.glob("*.parquet"):
        file.unlink()


def with_emptied_data(table: Path) -> None:
    for file in table.glob("*.parquet"):
        file.write_bytes(b"")


def replaced_by_a_file(table: Path) -> None:
    shutil.rmtree(table)
    table.write_bytes(b"")


def replaced_by_a_broken_link(table: Path) -> None:
    shutil.rmtree(table)
    table.symlink_to("nowhere")


def with_rows_given_up(table: Path) -> None:
    """A data file is lost, and another tool removes it from the log."""
    next(table.glob("*.parquet")).unlink()
    DeltaTable(table).repair()


def with_a_cut_optimize(table: Path) -> None:
    """The last lines of the commit, which add files, are missing."""
    DeltaTable(table).optimize.compact()
    commit = newest_commit(table)
    lines = commit.read_text(encoding="utf-8").splitlines(keepends=True)
    commit.write_text("".join(line for line in lines if not line.startswith('{"add"')), encoding="utf-8")


DAMAGES = [without_content, followed_by_an_empty_commit, without_data]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *(("shards", damage) for damage in DAMAGES),
        *(("documents", damage) for damage in (without_data, with_emptied_data)),
        ("token_totals", without_content),
    ],
)
def test_tables_that_can_be_made_again_are(world: SmallCorpus, name: str, damage: Callable[[Path], None]) -> None:
    rebuild(world)
    before = {name: table(world.warehouse, name) for name in CHECKED}
    damage(world.warehouse / name)
    assert "is written again" in rebuild(world)
    assert {name: table(world.warehouse, name) for name in CHECKED} == before
    assert "is written again" not in rebuild(world)


@pytest.mark.parametrize("damage", [with_rows_given_up, with_a_cut_optimize])
@pytest.mark.parametrize("name", ["documents", "token_cooccurrence"])
def test_rows_that_maintenance_by_another_tool_lost_are_made_again(
    world: SmallCorpus, name: str, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pivot_udfs.storage.write_parquet._LEAST_FILE_BYTES", 0)
    rebuild(world)
    damage(world.warehouse / name)
    rebuild(world)
    assert_as_from_nothing(world)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_releases_end_the_run_with_the_remedy(world: SmallCorpus, damage: Callable[[Path], None]) -> None:
    rebuild(world)
    damage(world.warehouse / "releases")
    code, _, errors = run_job(rebuild_corpus.main, world)
    assert (code, errors.count("\n")) == (2, 1), errors
    assert f"remove {world.warehouse}/releases and run rebuild_corpus" in errors
    shutil.rmtree(world.warehouse / "releases")
    rebuild(world)


@pytest.mark.parametrize("names", [("documents",), ("quarantine",), ("shards",), COUNTS, ("releases",)], ids=str)
def test_rows_of_lost_commits_are_made_again_though_others_take_their_numbers(
    world: SmallCorpus, names: tuple[str, ...]
) -> None:
    rebuild(world)
    write_shard(world.folder, 5, seed=50)
    rebuild(world)
    for name in names:
        newest_commit(world.warehouse / name).unlink()
    write_shard(world.folder, 5, seed=51)
    rebuild(world)
    assert_as_from_nothing(world)
    assert "counts" not in rebuild(world)


def test_a_release_of_rows_whose_commit_was_lost_is_refused(world: SmallCorpus) -> None:
    rebuild(world)
    write_shard(world.folder, 5, seed=50)
    rebuild(world)
    newest_commit(world.warehouse / "documents").unlink()
    write_shard(world.folder, 5, seed=51)
    rebuild(world)
    for number, there in enumerate((True, False, True)):
        with nullcontext() if there else pytest.raises(MissingVersionError, match=r"version 1 of .* or lost commits"):
            open_table(str(world.warehouse), "documents", release=number)


def test_a_block_list_that_lost_commits_is_not_added_to(world: SmallCorpus) -> None:
    rebuild(world)
    for shard in ("1.jsonl", "3.jsonl"):
        assert forget(world, "--keys", write_keys(world, keys_of(world, shard)[:1]))[0] == 0
    newest_commit(world.warehouse / "blocked").unlink()
    for job in (partial(run_job, rebuild_corpus.main, world), partial(forget, world, "--sources", "x")):
        code, _, errors = job()
        assert (code, "blocked was made anew, or its log has lost commits" in errors.splitlines()[-1]) == (2, True)


@pytest.mark.parametrize("kind", ["commitInfo", "add", "remove"])
def test_counts_are_right_where_a_commit_of_documents_has_lost_a_line(world: SmallCorpus, kind: str) -> None:
    """delta-rs numbers commits by those that say what they did, so that it takes one for another here."""
    rebuild(world)
    write_shard(world.folder, 4, seed=50)
    rebuild(world)
    assert forget(world, "--keys", write_keys(world, keys_of(world, "3.jsonl")[:1]))[0] == 0
    write_shard(world.folder, 4, seed=51)
    rebuild(world)
    before = {name: table(world.warehouse, name) for name in CHECKED}
    commit = newest_commit(world.warehouse / "documents")
    lines = commit.read_text(encoding="utf-8").splitlines(keepends=True)
    commit.write_text("".join(line for line in lines if not line.startswith(f'{{"{kind}"')), encoding="utf-8")
    assert "tokenize_corpus: runs: " in rebuild(world)
    assert {name: table(world.warehouse, name) for name in CHECKED} == before


def test_a_foreign_table_is_not_taken_for_the_block_list(world: SmallCorpus) -> None:
    rebuild(world)
    assert forget(world, "--keys", write_keys(world, keys_of(world, "3.jsonl")[:1]))[0] == 0
    shutil.rmtree(world.warehouse / "blocked")
    write_deltalake(str(world.warehouse / "blocked"), pa.table({"a": [1]}))
    code, _, errors = run_job(rebuild_corpus.main, world)
    assert code == 2
    assert "blocked has no column source, doc_id" in errors.splitlines()[-1]


def test_a_table_in_the_place_of_another_is_named(world: SmallCorpus) -> None:
    rebuild(world)
    for name in ("shards", "releases", "corpus_totals"):
        (world.warehouse / name).rename(world.warehouse / "kept")
        shutil.copytree(world.warehouse / "word_totals", world.warehouse / name)
        code, _, errors = run_job(rebuild_corpus.main, world)
        assert (code, errors.splitlines()[-1].count(f"{world.warehouse}/{name} holds the table word_totals")) == (2, 1)
        shutil.rmtree(world.warehouse / name)
        (world.warehouse / "kept").rename(world.warehouse / name)


@pytest.mark.parametrize("damage", [without_content, without_data])
def test_jobs_that_only_read_name_the_remedy(world: SmallCorpus, damage: Callable[[Path], None]) -> None:
    rebuild(world)
    damage(world.warehouse / "shards")
    for main, arguments in (
        (query_tables.main, ("--sql", "SELECT * FROM shards")),
        (forget_documents.main, ("--sources", "x")),
    ):
        code, _, errors = run_job(lambda argv, main=main, more=arguments: main([*argv, *more]), world)
        assert (code, errors.count("\n")) == (2, 1), errors
        assert "warehouse/shards" in errors


@pytest.mark.parametrize("damage", [replaced_by_a_file, replaced_by_a_broken_link])
@pytest.mark.parametrize("name", ["documents", "word_totals", "releases"])
def test_what_is_no_folder_is_named(world: SmallCorpus, name: str, damage: Callable[[Path], None]) -> None:
    rebuild(world)
    damage(world.warehouse / name)
    code, _, errors = run_job(rebuild_corpus.main, world)
    assert code == 2
    assert f"{world.warehouse}/{name} is no folder: remove it" in errors.splitlines()[-1]
