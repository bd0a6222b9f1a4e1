"""What made a table's rows, from the commits in its log; and which tables may be read together."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake

from jobs.warehouse.delta.commit import commit_files
from jobs.warehouse.delta.commit_history import Commit, Content, commits_of, content_of, has_files, read_content
from pivot_udfs.provenance import Provenance, TableVersion
from pivot_udfs.storage.stores import resolve

MADE = Provenance("tokenize_corpus", 1, {"corpus.inputs": ["a"]}, files={"tokenizer": "t" * 64})
OTHER = replace(MADE, settings={"corpus.inputs": ["b"]})


def content(*commits: tuple[str, Provenance | str | None] | str, start: int = 0) -> Content:
    """The state after operations given from the oldest; ``RESTORE:3`` names a version."""
    pairs = [(commit, None) if isinstance(commit, str) else commit for commit in commits]
    listed = []
    for version, (operation, made) in enumerate(pairs, start):
        name, _, restored = operation.partition(":")
        metadata = made.to_json() if isinstance(made, Provenance) else made
        listed.append(Commit(version, name, {"version": restored or None}, Provenance.from_json(metadata)))
    return content_of("id", start + len(pairs) - 1, listed[::-1])


def test_the_newest_write_made_the_rows() -> None:
    found = content(("WRITE", OTHER), ("WRITE", MADE))
    assert (found.newest, found.version, found.provenance, found.oldest) == (1, 1, MADE, 0)
    assert found.rows == TableVersion("id", 1, MADE.fingerprint)


@pytest.mark.parametrize("operation", ["OPTIMIZE", "VACUUM START", "SET TBLPROPERTIES"])
def test_maintenance_makes_no_new_rows(operation: str) -> None:
    found = content(("WRITE", OTHER), ("WRITE", MADE), operation, (operation, "nightly maintenance"))
    assert (found.newest, found.version, found.provenance) == (3, 1, MADE)


@pytest.mark.parametrize("operation", ["DELETE", "MERGE", "WRITE"])
def test_a_change_by_hand_makes_new_rows(operation: str) -> None:
    found = content(("WRITE", MADE), operation, "OPTIMIZE")
    assert (found.newest, found.version, found.provenance) == (2, 1, MADE)


def test_restore_gives_back_the_rows_of_its_version() -> None:
    found = content(("WRITE", MADE), "OPTIMIZE", ("WRITE", OTHER), "RESTORE:1")
    assert (found.newest, found.version, found.provenance) == (3, 0, MADE)
    found = content(("WRITE", MADE), ("WRITE", OTHER), "RESTORE:0", "DELETE")
    assert (found.newest, found.version, found.provenance) == (3, 3, MADE)


def test_rows_restored_to_a_time_equal_no_others() -> None:
    found = content(("WRITE", MADE), ("WRITE", OTHER), "RESTORE")
    assert (found.version, found.exact, found.rows.fingerprint) == (2, False, "")


@pytest.mark.parametrize("metadata", [None, "", "by hand", "[]", '{"job": "x"}'])
def test_foreign_commits_have_no_provenance(metadata: str | None) -> None:
    assert content(("WRITE", metadata)).provenance is None


def test_a_log_that_was_cleaned_up_differs_from_a_foreign_one() -> None:
    assert content("OPTIMIZE", "OPTIMIZE", start=40).oldest == 40
    assert content("WRITE").oldest == 0


@pytest.fixture
def table(tmp_path: Path) -> DeltaTable:
    """Two versions, each of two files, the second with the provenance MADE."""
    path = str(tmp_path / "documents")
    for made in (OTHER, MADE):
        properties = CommitProperties(custom_metadata={"userMetadata": made.to_json()})
        rows = pa.table({"n": list(range(4))})
        write_deltalake(path, rows, mode="overwrite", commit_properties=properties, target_file_size=1)
    return DeltaTable(path)


def test_delta_rs_maintenance_is_seen_through(table: DeltaTable) -> None:
    before = read_content(table).rows
    table.optimize.compact()
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    table.alter.set_table_properties({"delta.logRetentionDuration": "interval 60 days"})
    found = read_content(DeltaTable(table.table_uri))
    assert found.newest > found.version == 1
    assert (found.rows, found.provenance) == (before, MADE)


def test_a_version_restored_by_delta_rs_has_its_own_provenance(table: DeltaTable) -> None:
    table.restore(0)
    found = read_content(DeltaTable(table.table_uri))
    assert (found.newest, found.version, found.provenance) == (2, 0, OTHER)
    assert read_content(DeltaTable(table.table_uri), 1).provenance == MADE


def test_a_time_restored_by_delta_rs_is_not_exact(table: DeltaTable) -> None:
    stamps = [commit["timestamp"] for commit in table.history()]
    table.restore(datetime.fromtimestamp((stamps[1] + 1) / 1000, UTC), ignore_missing_files=True)
    assert not read_content(DeltaTable(table.table_uri)).exact


def test_a_few_commits_are_read_of_a_long_log(table: DeltaTable, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        table.alter.set_table_properties({f"custom.{number}": "1"}, raise_if_not_exists=False)
    asked: list[int] = []
    history = DeltaTable.history
    monkeypatch.setattr(DeltaTable, "history", lambda self, limit: asked.append(limit) or history(self, limit))
    assert read_content(DeltaTable(table.table_uri)).provenance == MADE
    assert asked == [20, 160]
    write_deltalake(
        table.table_uri,
        pa.table({"n": [1]}),
        mode="overwrite",
        commit_properties=CommitProperties(custom_metadata={"userMetadata": OTHER.to_json()}),
    )
    asked.clear()
    assert read_content(DeltaTable(table.table_uri)).provenance == OTHER
    assert asked == [20]


def test_a_commit_that_does_not_say_what_it_did_has_its_own_number(tmp_path: Path) -> None:
    place, content = resolve(str(tmp_path / "t")), None
    for made in (MADE, OTHER, MADE):
        content = commit_files(place, content, pa.schema([("a", pa.int64())]), [], made)
    middle = tmp_path / "t" / "_delta_log" / f"{1:020}.json"
    middle.write_text("".join(line for line in middle.open() if "commitInfo" not in line))
    delta = DeltaTable(place.path)
    commits = commits_of(delta)
    assert [(commit.version, commit.provenance) for commit in commits] == [(2, MADE), (1, None), (0, MADE)]
    assert [has_files(commits, version, []) for version in (2, 1, 0)] == [True, False, True]
    assert not has_files(commits, 0, ["a"])
    assert not read_content(delta, 1).exact
