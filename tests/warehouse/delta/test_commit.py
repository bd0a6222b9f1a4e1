"""Commits of files that workers wrote: onto the version that a run began from, or not at all."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from jobs.warehouse.delta.commit import commit_files, roll_back
from jobs.warehouse.delta.commit_history import Content, read_content
from jobs.warehouse.delta.open_table import check_files, open_delta
from jobs.warehouse.delta.refused_features import refused_feature
from pivot_udfs.errors import DamagedTableError, MissingVersionError, WarehouseError
from pivot_udfs.provenance import Provenance
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.stores import resolve

SCHEMA = pa.schema([("a", pa.int64())])
MADE = Provenance("a_job", 1)


@pytest.fixture
def table(tmp_path: Path) -> Location:
    return resolve(str(tmp_path / "t"))


def files(table: Location, *names: str) -> list[Any]:
    """Data files, one row each, as a worker's answer describes them."""
    for name in names:
        path = Path(table.path) / name
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"a": [1]}), path)
    sizes = [(name, (Path(table.path) / name).stat().st_size) for name in names]
    one = {"n_records": 1, "stats": '{"numRecords": 1}'}
    return [{"path": name, "n_bytes": n_bytes, **one} for name, n_bytes in sizes]


def commit(table: Location, began: Content | None, *names: str) -> Content:
    return commit_files(table, began, SCHEMA, files(table, *names), MADE)


def data_files(table: Location) -> list[str]:
    return sorted(Path(path).name for path in DeltaTable(table.path).file_uris())


def test_a_commit_replaces_all_files(table: Location) -> None:
    first = commit(table, None, "a", "b")
    second = commit(table, first, "c")
    assert (first.version, second.version, first.id) == (0, 1, second.id)
    assert data_files(table) == ["c"]
    assert read_content(DeltaTable(table.path)) == replace(second, oldest=0)


def test_an_empty_table_records_the_provenance_of_every_commit(table: Location) -> None:
    began = commit(table, None)
    other = Provenance("a_job", 2)
    commit_files(table, began, SCHEMA, [], other)
    assert read_content(DeltaTable(table.path)).provenance == other


def test_a_checkpoint_is_written_every_ten_commits(table: Location) -> None:
    content = None
    for _ in range(12):
        content = commit(table, content, "a")
    assert [path.name[18:20] for path in Path(table.path, "_delta_log").glob("*.checkpoint.parquet")] == ["09"]


@pytest.mark.parametrize("began_from_a_table", [True, False])
def test_a_table_that_another_run_wrote_meanwhile_is_left(table: Location, began_from_a_table: bool) -> None:
    began = commit(table, None, "a") if began_from_a_table else None
    commit(table, began, "other")
    with pytest.raises(WarehouseError, match=r"another run has written .*/t meanwhile"):
        commit(table, began, "ours")
    assert data_files(table) == ["other"]


def test_a_table_that_was_removed_and_made_anew_is_left(table: Location) -> None:
    began = commit(table, None, "a")
    for path in Path(table.path, "_delta_log").iterdir():
        path.unlink()
    commit(table, None, "other")
    with pytest.raises(WarehouseError, match="another run has written"):
        commit(table, began, "ours")


def test_a_commit_between_the_check_and_the_own_commit_wins(table: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    began = commit(table, None, "a")
    create = DeltaTable.create_write_transaction

    def slowly(self: DeltaTable, *arguments: Any, **named: Any) -> None:
        monkeypatch.setattr(DeltaTable, "create_write_transaction", create)
        commit(table, began, "other")
        create(self, *arguments, **named)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", slowly)
    with pytest.raises(WarehouseError, match="another run has written"):
        commit(table, began, "ours")
    assert data_files(table) == ["other"]


def test_a_table_made_between_the_check_and_the_own_commit_wins(
    table: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(table, None, "other")
    monkeypatch.setattr("jobs.warehouse.delta.commit.unchanged", lambda *_: None)
    with pytest.raises(WarehouseError, match="another run has written"):
        commit(table, None, "ours")
    assert data_files(table) == ["other"]


def test_maintenance_of_the_table_does_not_stop_a_commit(table: Location) -> None:
    began = commit(table, None, "a", "b")
    DeltaTable(table.path).optimize.compact()
    assert commit(table, began, "c").version == 2
    assert data_files(table) == ["c"]


@pytest.mark.parametrize("lost", ["removed", "cut"])
@pytest.mark.parametrize("is_first", [True, False])
def test_files_that_are_gone_are_not_committed(table: Location, lost: str, is_first: bool) -> None:
    began = None if is_first else commit(table, None, "a")
    written = files(table, "b", "c")
    if lost == "removed":
        (Path(table.path) / "c").unlink()
    else:
        (Path(table.path) / "c").write_bytes(b"PAR1")
    with pytest.raises(WarehouseError, match="was not committed to: c, which this run wrote"):
        commit_files(table, began, SCHEMA, written, MADE)
    delta = open_delta(table)
    assert (delta and delta.version()) == (None if is_first else 0)


def vacuum(table: Location) -> None:
    DeltaTable(table.path).vacuum(0, dry_run=False, enforce_retention_duration=False)


@pytest.mark.parametrize("lost", ["files", "a part of a file", "table"])
def test_a_roll_back_to_rows_that_are_gone_says_so(table: Location, lost: str) -> None:
    first = commit(table, None, "a")
    commit(table, first, "b")
    if lost == "files":
        vacuum(table)
    elif lost == "table":
        first = replace(first, id="another")
    else:
        (Path(table.path) / "a").write_bytes(b"PAR1")
    with pytest.raises(MissingVersionError, match=r"version 0 of .*/t is no longer there"):
        roll_back(table, first.rows)
    assert data_files(table) == ["b"]


def test_a_roll_back_of_a_store_that_fails_is_no_loss(table: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    first = commit(table, None, "a")
    commit(table, first, "b")

    def fails(*_: Any, **__: Any) -> None:
        raise OSError("Generic S3 error: operation timed out")

    for name in ("restore", "history"):
        with monkeypatch.context() as patch:
            patch.setattr(DeltaTable, name, fails)
            with pytest.raises(WarehouseError, match="timed out") as error:
                roll_back(table, first.rows)
        assert type(error.value) is WarehouseError
    roll_back(table, first.rows)
    assert data_files(table) == ["a"]


def test_a_commit_during_a_roll_back_wins(table: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    first = commit(table, None, "a")
    second, restore = commit(table, first, "b"), DeltaTable.restore

    def slowly(self: DeltaTable, *arguments: Any, **named: Any) -> None:
        commit(table, second, "other")
        restore(self, *arguments, **named)

    monkeypatch.setattr(DeltaTable, "restore", slowly)
    with pytest.raises(WarehouseError, match="another run has written") as error:
        roll_back(table, first.rows)
    assert not isinstance(error.value, MissingVersionError)
    assert data_files(table) == ["other"]


def damage(table: Location) -> str:
    """What is found wrong with a table, empty where nothing is."""
    try:
        delta = open_delta(table)
        assert delta is not None
        check_files(table, delta, read_content(delta))
    except DamagedTableError as error:
        return str(error)
    return ""


def log_file(table: Location, version: int) -> Path:
    return Path(table.path) / "_delta_log" / f"{version:020}.json"


@pytest.fixture
def written(table: Location) -> Location:
    commit(table, commit(table, None, "a"), "b", "c")
    return table


def test_an_intact_table_has_no_damage(written: Location) -> None:
    assert damage(written) == ""
    DeltaTable(written.path).optimize.compact()
    assert damage(written) == ""


@pytest.mark.parametrize("n_lines", range(4))
def test_a_last_commit_cut_after_a_line_is_damage(written: Location, n_lines: int) -> None:
    lines = log_file(written, 1).read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    log_file(written, 1).write_bytes(b"".join(lines[:n_lines]))
    assert "the log of" in damage(written)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_last_commit_cut_anywhere_is_damage(written: Location, share: float) -> None:
    content = log_file(written, 1).read_bytes()
    log_file(written, 1).write_bytes(content[: int(len(content) * share)])
    assert "the log of" in damage(written)


def test_a_missing_commit_is_damage(written: Location) -> None:
    log_file(written, 0).unlink()
    assert "the log of" in damage(written)


def test_a_missing_or_cut_checkpoint_is_damage(written: Location) -> None:
    DeltaTable(written.path).create_checkpoint()
    (checkpoint,) = Path(written.path, "_delta_log").glob("*.checkpoint.parquet")
    for n_bytes in (100, 7):
        checkpoint.write_bytes(checkpoint.read_bytes()[:n_bytes])
        assert "remove its *.checkpoint.parquet and _last_checkpoint" in damage(written)
    checkpoint.unlink()
    assert "remove its *.checkpoint.parquet and _last_checkpoint" in damage(written)
    checkpoint.with_name("_last_checkpoint").unlink()
    assert open_delta(written)


def test_a_checksum_file_of_a_later_version_is_damage(written: Location) -> None:
    log_file(written, 99).with_suffix(".crc").write_bytes(b"{}")
    assert "the log of" in damage(written)


@pytest.mark.parametrize("action", ["protocol", "metaData"])
def test_a_log_without_an_action_that_it_needs_is_damage(written: Location, action: str) -> None:
    lines = log_file(written, 0).read_text(encoding="utf-8").splitlines(keepends=True)
    log_file(written, 0).write_text("".join(line for line in lines if not line.startswith(f'{{"{action}"')))
    assert "the log of" in damage(written)


def test_a_log_that_is_a_file_is_damage(written: Location) -> None:
    shutil.rmtree(Path(written.path, "_delta_log"))
    Path(written.path, "_delta_log").write_bytes(b"")
    assert "the log of" in damage(written)


@pytest.mark.parametrize("version", [1, 2])
def test_a_folder_in_the_place_of_a_commit_is_named(written: Location, version: int) -> None:
    log_file(written, version).unlink(missing_ok=True)
    log_file(written, version).mkdir()
    with pytest.raises(WarehouseError, match=rf"{version:020}\.json is a folder: remove it$") as caught:
        open_delta(written)
    assert caught.value.exit_code == 2
    log_file(written, version).rmdir()
    assert open_delta(written)


def test_a_missing_or_cut_data_file_is_damage(written: Location) -> None:
    path = Path(written.path) / "b"
    path.write_bytes(path.read_bytes()[:-1])
    assert "its file b has" in damage(written)
    path.unlink()
    assert "its file b is missing" in damage(written)


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        ({"delta.appendOnly": "true"}, "delta.appendOnly = true"),
        ({"delta.appendOnly": "false"}, None),
        ({"delta.columnMapping.mode": "name"}, "delta.columnMapping.mode = name"),
        ({"delta.enableChangeDataFeed": "true"}, None),
    ],
)
def test_properties_that_forbid_a_commit_are_named(
    table: Location, properties: dict[str, str | None], named: str | None
) -> None:
    DeltaTable.create(table.path, pa.schema([("a", pa.int64())]), configuration=properties)  # type: ignore[arg-type]
    assert refused_feature(DeltaTable(table.path)) == named


def test_a_table_of_others_has_no_provenance(table: Location) -> None:
    write_deltalake(table.path, pa.table({"a": [1]}))
    assert read_content(DeltaTable(table.path)).provenance is None
