"""Maintenance of a table: which files are compacted and removed, that rows stay, and that needed versions stay."""

import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from jobs.warehouse.delta.commit import commit_files
from jobs.warehouse.delta.commit_history import Content, maintained_version, read_content
from jobs.warehouse.delta.maintenance import maintain_table, purge
from jobs.warehouse.delta.table_files import changed_files
from pivot_udfs.errors import DamagedTableError, WarehouseError
from pivot_udfs.provenance import Provenance
from pivot_udfs.settings import Maintenance
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.stores import resolve

MADE = Provenance("a_job", 1)
SCHEMA = pa.schema([("text", pa.string()), ("shard", pa.string())])
OLD = (1e9, 1e9)
"""Times of last access and change long before any retention."""


@pytest.fixture
def table(tmp_path: Path) -> Location:
    return resolve(str(tmp_path / "été 1" / "t"))


def add(table: Location, began: Content | None, *names: str, n_rows: int = 2) -> Content:
    """Commits files that are named as the shard of their rows."""
    files = []
    for name in names:
        path = Path(table.path) / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"text": f"{name} {number}" * 3000, "shard": name} for number in range(n_rows)]
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
        os.utime(path, OLD)
        stats = f'{{"numRecords": {n_rows}, "minValues": {{"shard": "{name}"}}, "maxValues": {{"shard": "{name}"}}}}'
        files.append({"path": path.name, "n_bytes": path.stat().st_size, "n_records": n_rows, "stats": stats})
    return commit_files(table, began, SCHEMA, files, MADE, removed=())


def maintain(table: Location, keep: list[int] | None = None, dry_run: bool = False, **settings: int) -> str:
    limits = Maintenance(**{"min_small_files": 2, **settings})
    return maintain_table(table, limits, limits.target_file_mb, [] if keep is None else keep, dry_run)


def shards(table: Location, version: int | None = None) -> list[str]:
    rows = DeltaTable(table.path, version=version).to_pyarrow_table(columns=["shard"])
    return sorted(rows.column("shard").to_pylist())


def stored(table: Location) -> set[str]:
    return {path.name for path in Path(table.path).glob("*.parquet")}


def named(table: Location) -> set[str]:
    return {Path(uri).name for uri in DeltaTable(table.path).file_uris()}


def leave_file(table: Location, name: str, age_hours: float) -> None:
    """A file as a run that was stopped leaves it."""
    path = Path(table.path) / name
    path.write_bytes(b"PAR1")
    changed = time.time() - 3600 * age_hours
    os.utime(path, (changed, changed))


def test_small_files_are_compacted_into_one_with_the_same_rows(table: Location) -> None:
    content = add(table, None, "a", "b", "c")
    assert "compacted 3 files into 1" in maintain(table)
    assert (len(named(table)), shards(table)) == (1, ["a", "a", "b", "b", "c", "c"])
    now = read_content(DeltaTable(table.path))
    assert (now.rows, now.provenance) == (content.rows, MADE)
    assert stored(table) == named(table) | {"a.parquet", "b.parquet", "c.parquet"}


def test_compacted_files_are_zstd_with_ranges_of_shards_and_without_texts_in_the_log(table: Location) -> None:
    add(table, None, *(name * 100 for name in "abc"))
    maintain(table)
    (uri,) = named(table)
    metadata = pq.ParquetFile(Path(table.path) / uri).metadata
    assert {metadata.row_group(0).column(k).compression for k in range(2)} == {"ZSTD"}
    (file,) = pa.table(DeltaTable(table.path).get_add_actions(flatten=True)).to_pylist()
    assert (file["min.shard"], file["max.shard"], file["num_records"]) == ("a" * 100, "c" * 100, 6)
    assert file.get("max.text") is None


@pytest.mark.parametrize(("n_files", "settings"), [(2, {"min_small_files": 3}), (1, {})])
def test_few_small_files_are_not_compacted(table: Location, n_files: int, settings: dict[str, int]) -> None:
    add(table, None, *"abcdef"[:n_files])
    assert maintain(table, **settings).endswith("nothing to do")
    assert DeltaTable(table.path).version() == 0


def test_a_second_maintenance_has_nothing_to_do(table: Location) -> None:
    add(table, None, "a", "b", "c")
    maintain(table, retention_hours=0)
    version = DeltaTable(table.path).version()
    assert maintain(table, retention_hours=0).endswith("nothing to do")
    assert DeltaTable(table.path).version() == version


def test_removed_files_stay_for_the_retention(table: Location) -> None:
    began = add(table, None, "a", "b")
    commit_files(table, began, SCHEMA, [], MADE, removed=["a.parquet"])
    assert maintain(table).endswith("nothing to do")
    assert "removed 1 files" in maintain(table, retention_hours=0)
    assert stored(table) == {"b.parquet"}


@pytest.mark.parametrize("retention_hours", [100, 400])
def test_the_retention_holds_where_checkpoints_no_longer_list_removed_files(
    table: Location, retention_hours: int
) -> None:
    """Checkpoints drop removed files after a week; the version that had them was the newest 300 hours ago."""
    began = add(table, None, "a", "b")
    commit_files(table, began, SCHEMA, [], MADE, removed=["a.parquet"])
    removed_ms = int(1000 * (time.time() - 300 * 3600))
    for log_file in Path(table.path, "_delta_log").glob("*.json"):
        text = log_file.read_text(encoding="utf-8")
        for key in ("timestamp", "deletionTimestamp"):
            head, *parts = text.split(f'"{key}":')
            text = head + "".join(f'"{key}":{removed_ms}{part.lstrip("0123456789")}' for part in parts)
        log_file.write_text(text, encoding="utf-8")
    DeltaTable(table.path).create_checkpoint()
    maintain(table, retention_hours=retention_hours)
    assert ("a.parquet" in stored(table)) == (retention_hours == 400)


def test_versions_that_are_kept_stay_readable(table: Location) -> None:
    first = add(table, None, "a", "b")
    second = commit_files(table, first, SCHEMA, [], MADE, removed=["a.parquet"])
    commit_files(table, second, SCHEMA, [], MADE, removed=["b.parquet"])
    maintain(table, keep=[second.version], retention_hours=0)
    assert stored(table) == {"b.parquet"}
    assert shards(table, second.version) == ["b", "b"]


def test_data_files_stay_where_nothing_may_be_removed(table: Location) -> None:
    began = add(table, None, "a", "b", "c")
    commit_files(table, began, SCHEMA, [], MADE, removed=["a.parquet"])
    limits = Maintenance(min_small_files=1, retention_hours=0)
    assert "nothing to do" in maintain_table(table, limits, 64, None, dry_run=False)
    assert stored(table) == {"a.parquet", "b.parquet", "c.parquet"}


def test_files_of_stopped_runs_are_removed_when_they_are_older_than_the_retention(table: Location) -> None:
    add(table, None, "a")
    leave_file(table, "old.zstd.parquet", age_hours=200)
    leave_file(table, "new.zstd.parquet", age_hours=100)
    assert "would remove 1 files" in maintain(table, dry_run=True)
    maintain(table)
    assert stored(table) == {"a.parquet", "new.zstd.parquet"}


def test_a_dry_run_changes_nothing(table: Location) -> None:
    began = add(table, None, "a", "b", "c")
    for _ in range(12):
        began = commit_files(table, began, SCHEMA, [], MADE, removed=())
    for path in Path(table.path, "_delta_log").glob("*checkpoint*"):
        path.unlink()
    before = {path: path.stat().st_mtime_ns for path in Path(table.path).rglob("*")}
    line = maintain(table, dry_run=True)
    assert "would compact 3 files" in line
    assert "would write a checkpoint" in line
    assert {path: path.stat().st_mtime_ns for path in Path(table.path).rglob("*")} == before


def test_a_log_without_a_new_checkpoint_gets_one(table: Location) -> None:
    began = add(table, None, "a")
    for _ in range(9):
        began = commit_files(table, began, SCHEMA, [], MADE, removed=())
    for path in Path(table.path, "_delta_log").glob("*checkpoint*"):
        path.unlink()
    assert "wrote a checkpoint" in maintain(table)
    assert Path(table.path, "_delta_log", f"{9:020}.checkpoint.parquet").exists()
    assert maintain(table).endswith("nothing to do")


def test_a_table_of_others_or_a_damaged_one_is_refused(table: Location, tmp_path: Path) -> None:
    write_deltalake(tmp_path / "other", pa.table({"a": [1]}))
    with pytest.raises(WarehouseError, match="not written by this project"):
        maintain(resolve(str(tmp_path / "other")))
    add(table, None, "a", "b")
    (Path(table.path) / "a.parquet").unlink()
    with pytest.raises(DamagedTableError):
        maintain(table)


def test_a_path_that_delta_rs_misreads_is_refused(tmp_path: Path) -> None:
    table = resolve(str(tmp_path / "a%20b" / "t"))
    add(table, None, "a", "b")
    with pytest.raises(WarehouseError, match="rename the folder"):
        maintain(table)


@pytest.mark.parametrize("folder", ["t", "a%20b#"])
def test_a_purged_table_has_only_the_files_of_its_newest_version(tmp_path: Path, folder: str) -> None:
    table = resolve(str(tmp_path / folder))
    assert purge(table) == 0
    began = add(table, None, "a", "b", "c")
    commit_files(table, began, SCHEMA, [], MADE, removed=["a.parquet"])
    leave_file(table, "new.zstd.parquet", age_hours=0)
    assert purge(table) == 2
    assert stored(table) == {"b.parquet", "c.parquet"}


def test_rows_are_found_in_compacted_files_where_theirs_were_vacuumed(table: Location) -> None:
    content = add(table, None, "a", "b")
    maintain(table, retention_hours=0)
    changes = changed_files(table, None, content.version)
    assert changes is not None
    assert changes.added.keys() == named(table)
    later = add(table, content, "c")
    changes = changed_files(table, content.version, later.version)
    assert changes is not None
    assert (list(changes.added), list(changes.removed)) == (["c.parquet"], [])


def test_a_restored_version_that_was_compacted_again_is_the_maintained_one(table: Location) -> None:
    first = add(table, None, "a", "b")
    add(table, first, "c")
    DeltaTable(table.path).restore(first.version)
    maintain(table)
    delta = DeltaTable(table.path)
    assert (delta.version(), maintained_version(delta, first.version)) == (3, 3)
    assert maintained_version(delta, 1) == 1
    assert shards(table) == ["a", "a", "b", "b"]


def test_a_commit_that_removes_a_compacted_file_is_refused(table: Location) -> None:
    began = add(table, None, "a", "b")
    maintain(table)
    with pytest.raises(WarehouseError, match="were compacted"):
        commit_files(table, began, SCHEMA, [], MADE, removed=["a.parquet"])
