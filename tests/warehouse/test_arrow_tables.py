"""Tables are read through Arrow by predicates, whatever statistics their files have."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from jobs.warehouse.arrow_tables import ArrowTables
from jobs.warehouse.delta.commit import commit_files
from pivot_udfs.errors import WarehouseError
from pivot_udfs.provenance import Provenance
from pivot_udfs.storage.stores import resolve

SCHEMA = pa.schema([("shard", pa.string()), ("doc_id", pa.string())])


def write(folder: Path, files: dict[str, dict[str, str]]) -> None:
    """Commits a file of one row for each shard, with statistics of some columns."""
    folder.mkdir(parents=True)
    rows = []
    for shard, least in files.items():
        path = folder / f"{shard}.parquet"
        pq.write_table(pa.table({"shard": [shard], "doc_id": [f"id of {shard}"]}), path)
        stats = json.dumps({"numRecords": 1, "minValues": least, "maxValues": least})
        rows.append({"path": path.name, "n_bytes": path.stat().st_size, "n_records": 1, "stats": stats})
    commit_files(resolve(str(folder)), None, SCHEMA, rows, Provenance("a_job", 1))


@pytest.mark.parametrize("statistics", [("shard",), (), ("shard", "doc_id")])
def test_a_predicate_on_a_column_without_statistics_finds_its_rows(tmp_path: Path, statistics: tuple[str, ...]) -> None:
    of = {s: {k: v for k, v in (("shard", s), ("doc_id", f"id of {s}")) if k in statistics} for s in ("a", "b", "é")}
    write(tmp_path / "t", of)
    tables = ArrowTables(str(tmp_path))
    for shard in of:
        wanted = [{"shard": shard}]
        assert tables.rows("t", ["shard"], ds.field("doc_id") == f"id of {shard}") == wanted
        assert tables.rows("t", ["shard"], ds.field("shard") == shard) == wanted
        both = (ds.field("shard") == shard) & (ds.field("doc_id") == f"id of {shard}")
        assert tables.rows("t", ["shard"], both) == wanted
    assert tables.rows("t", ["shard"], ds.field("doc_id") == "another") == []


def test_files_of_other_shards_are_not_opened(tmp_path: Path) -> None:
    write(tmp_path / "t", {shard: {"shard": shard} for shard in "abc"})
    for shard in "ac":
        (tmp_path / "t" / f"{shard}.parquet").write_bytes(b"no Parquet")
    tables = ArrowTables(str(tmp_path))
    assert tables.rows("t", ["doc_id"], ds.field("shard") == "b") == [{"doc_id": "id of b"}]
    with pytest.raises(WarehouseError, match=r"cannot be read .*: run rebuild_corpus again"):
        tables.rows("t", ["doc_id"], ds.field("doc_id") == "id of b")


def test_a_missing_table_is_an_error_that_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match=r"there is no table t at .*: run rebuild_corpus first"):
        ArrowTables(str(tmp_path)).rows("t", ["a"], ds.field("a") == 1)
