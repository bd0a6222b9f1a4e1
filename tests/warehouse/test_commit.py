"""Commits of files that are there already: one run at a time."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from jobs.warehouse import commit as delta_commit
from jobs.warehouse.commit import commit_files
from pivot_udfs.errors import WarehouseError

SCHEMA = pa.schema([("a", pa.int64())])


def files(*names: str) -> list[Any]:
    return [{"path": name, "n_bytes": 3, "stats": '{"numRecords": 1}'} for name in names]


def test_a_commit_replaces_all_files(tmp_path: Path) -> None:
    uri = f"file:{tmp_path}/t"
    assert commit_files(uri, SCHEMA, files("a", "b"), "{}") == 0
    assert commit_files(uri, SCHEMA, files("c"), "{}") == 1
    assert [Path(path).name for path in DeltaTable(f"{tmp_path}/t").file_uris()] == ["c"]


@pytest.mark.parametrize("before", [[], files("a")])
def test_a_table_that_another_run_wrote_meanwhile_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: list[Any]
) -> None:
    uri = f"file:{tmp_path}/t"
    commit_files(uri, SCHEMA, before, "{}")

    class SlowTable(DeltaTable):
        """Between its look at the table and its commit another run commits."""

        def create_write_transaction(self, *arguments: Any, **named: Any) -> None:
            monkeypatch.setattr(delta_commit, "DeltaTable", DeltaTable)
            commit_files(uri, SCHEMA, files("other"), "{}")
            super().create_write_transaction(*arguments, **named)

    monkeypatch.setattr(delta_commit, "DeltaTable", SlowTable)
    with pytest.raises(WarehouseError, match=r"another run has written .*/t meanwhile"):
        commit_files(uri, SCHEMA, files("ours"), "{}")
    assert [Path(path).name for path in DeltaTable(f"{tmp_path}/t").file_uris()] == ["other"]


def test_a_table_that_another_run_made_meanwhile_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"file:{tmp_path}/t"
    commit_files(uri, SCHEMA, files("other"), "{}")
    monkeypatch.setattr(DeltaTable, "is_deltatable", lambda *_, **__: False)
    with pytest.raises(WarehouseError, match="another run has written"):
        commit_files(uri, SCHEMA, files("ours"), "{}")
