"""Logs keep their commits; where another tool has removed old ones, what they named is never replaced by other rows."""

import os
import time
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable

from jobs.gpu.common.read_tables import open_table
from jobs.warehouse.arrow_tables import ArrowTables
from jobs.warehouse.delta.commit import roll_back
from jobs.warehouse.delta.commit_history import commits_between, read_content
from jobs.warehouse.delta.maintenance import maintain_table
from jobs.warehouse.delta.open_table import open_delta, stored_rows
from jobs.warehouse.delta.table_files import changed_files
from jobs.warehouse.documents_to_read import documents_to_read
from jobs.warehouse.spark_tables import Warehouse
from jobs.warehouse.write_release import write_release
from pivot_udfs.errors import MissingVersionError, WarehouseError
from pivot_udfs.provenance import Provenance, TableVersion
from pivot_udfs.schemas import DOCUMENTS
from pivot_udfs.settings import Maintenance
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.write_parquet import rows_of_table, step_to_files

MADE = Provenance("tokenize_corpus", 1)


def add(warehouse: Warehouse, *numbers: int) -> None:
    """One commit for each document, which is the only one of its shard."""
    step = partial(rows_of_table, table="documents", schema=DOCUMENTS)
    for number in numbers:
        key = {"source": "s", "doc_id": str(number), "lang": "en", "shard": f"/s/{number}", "record": 0}
        batch = pa.RecordBatch.from_pylist([key | {"text": "t", "token_ids": [1], "n_tokens": 1}], schema=DOCUMENTS)
        written = step_to_files(iter([batch]), step, {"documents": warehouse.location("documents").uri})
        warehouse.commit("documents", [file for rows in written for file in rows.to_pylist()], MADE, [])


def reopened(path: Path, release: int | None = None) -> Warehouse:
    return Warehouse(None, str(path), release)  # type: ignore[arg-type]


def log_of(table: Location) -> Path:
    return Path(table.path, "_delta_log")


def clean_log(table: Location) -> None:
    """Removes the commits before the checkpoint of version 10, as other tools do when they are old."""
    delta = open_delta(table)
    assert delta is not None
    delta.load_as_version(10)
    delta.create_checkpoint()
    for version in range(10):
        (log_of(table) / f"{version:020}.json").unlink()
    for checkpoint in log_of(table).glob("*.checkpoint.parquet"):
        if int(checkpoint.name[:20]) < 10:
            checkpoint.unlink()


@pytest.fixture
def cleaned(tmp_path: Path) -> Warehouse:
    """Release 0 has two documents; its commits are gone from the log. Release 1 has 16."""
    warehouse = reopened(tmp_path)
    add(warehouse, 0, 1)
    write_release(warehouse, ["documents"])
    add(warehouse, *range(2, 16))
    write_release(warehouse, ["documents"])
    clean_log(warehouse.location("documents"))
    return reopened(tmp_path)


def test_commits_and_maintenance_keep_the_log_however_old_it_is(tmp_path: Path) -> None:
    warehouse = reopened(tmp_path)
    table = warehouse.location("documents")
    add(warehouse, *range(15))
    old = time.time() - 60 * 86400
    for path in log_of(table).iterdir():
        os.utime(path, (old, old))
    add(warehouse, *range(15, 25))
    maintain_table(table, Maintenance(min_small_files=2), 64, [], dry_run=False)
    content = reopened(tmp_path).content("documents")
    assert content is not None
    while content.newest < 39:
        delta = open_delta(table)
        assert delta
        content = roll_back(table, read_content(delta, 1 + content.newest % 2).rows)
    for path in log_of(table).glob("*checkpoint*"):
        path.unlink()
    maintain_table(table, Maintenance(min_small_files=2), 64, [], dry_run=False)
    assert open_delta(table, 1).version() == 1
    assert {path.name for path in log_of(table).glob("*.json")} >= {f"{version:020}.json" for version in range(40)}


@pytest.mark.parametrize("version", [0, 1, 9, 99])
def test_a_version_that_the_log_does_not_have_is_an_error(cleaned: Warehouse, version: int) -> None:
    table = cleaned.location("documents")
    for read in (open_delta, stored_rows):
        with pytest.raises(MissingVersionError, match=rf"version {version} of .*/documents is no longer there"):
            read(table, version)
    assert open_delta(table, 10).version() == 10


def test_a_version_of_a_table_that_was_removed_is_an_error(tmp_path: Path) -> None:
    table = reopened(tmp_path).location("documents")
    assert open_delta(table) is None
    assert stored_rows(table) == []
    with pytest.raises(MissingVersionError):
        stored_rows(table, 0)


def test_a_release_whose_commits_are_gone_is_an_error_and_not_the_newest_rows(cleaned: Warehouse) -> None:
    with pytest.raises(MissingVersionError, match=r"version 1 of .*: use a newer release"):
        ArrowTables(cleaned.path, 0).rows("documents", ["doc_id"], ds.scalar(True))
    with pytest.raises(MissingVersionError, match="version 1 of"):
        open_table(cleaned.path, "documents", release=0)
    assert open_table(cleaned.path, "documents").dataset.count_rows() == 16


def test_a_release_of_a_table_that_was_made_anew_is_an_error(tmp_path: Path) -> None:
    warehouse = reopened(tmp_path)
    add(warehouse, 0, 1)
    write_release(warehouse, ["documents"])
    for path in log_of(warehouse.location("documents")).iterdir():
        path.unlink()
    add(reopened(tmp_path), 7, 8, 9)
    with pytest.raises(MissingVersionError, match="was made anew"):
        open_table(str(tmp_path), "documents", release=0)


def test_a_difference_to_a_version_that_is_gone_is_all_documents(cleaned: Warehouse) -> None:
    table, content = cleaned.location("documents"), cleaned.content("documents")
    assert content is not None
    assert changed_files(table, 1, content.version) is None
    part = documents_to_read(cleaned, TableVersion(content.id, 1, content.rows.fingerprint), content.rows)
    assert (part.shards, part.outdated, len(part.files)) == (None, None, 16)


def test_a_difference_that_a_store_does_not_give_is_an_error(
    cleaned: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(table: Location, version: int | None = None) -> DeltaTable | None:
        if version is None:
            return open_delta(table)
        raise WarehouseError(f"the log of {table} cannot be read (operation timed out)")

    monkeypatch.setattr("jobs.warehouse.delta.table_files.open_delta", fails)
    with pytest.raises(WarehouseError, match="timed out"):
        changed_files(cleaned.location("documents"), 12, 15)


def test_commits_of_which_some_are_gone_are_not_known(cleaned: Warehouse) -> None:
    delta = open_delta(cleaned.location("documents"))
    assert delta is not None
    assert commits_between(delta, 8, 15) is None
    assert [commit.version for commit in commits_between(delta, 12, 15) or ()] == [15, 14, 13]


def test_a_warehouse_of_a_release_has_its_rows_until_their_files_are_removed(tmp_path: Path) -> None:
    warehouse = reopened(tmp_path)
    for numbers in ((0, 1), (2, 3, 4)):
        add(warehouse, *numbers)
        write_release(warehouse, ["documents"])
    add(warehouse, 5)
    replaced = min(reopened(tmp_path, 1).files("documents").keys() - reopened(tmp_path, 0).files("documents").keys())
    warehouse.commit("documents", [], MADE, [replaced])
    for release, n_rows in ((0, 2), (1, 5), (None, 5)):
        of_release = reopened(tmp_path, release)
        assert of_release.read_small("documents").num_rows == n_rows
        assert of_release.check_source("documents").newest == {0: 1, 1: 4, None: 6}[release]
    Path(warehouse.location("documents").path, replaced).unlink()
    assert reopened(tmp_path, 0).read_small("documents").num_rows == 2
    with pytest.raises(MissingVersionError, match=r"version 4 of .*/documents is no longer there \(.* is missing\)"):
        reopened(tmp_path, 1).check_source("documents")
    with pytest.raises(WarehouseError, match="has no release 2"):
        reopened(tmp_path, 2)
