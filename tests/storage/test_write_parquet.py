"""Files that workers write: every reader of the tables reads the rows that were written."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, QueryBuilder, Schema
from deltalake.transaction import AddAction, create_table_with_add_actions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from pivot_udfs.schemas import DATASET, DOCUMENTS
from pivot_udfs.storage import write_parquet
from pivot_udfs.storage.stores import resolve

LISTS = st.lists(st.lists(st.integers(-(1 << 31), (1 << 31) - 1), max_size=20), min_size=1, max_size=30)
PLAIN: dict[str, Any] = {"string": "é 水", "int64": 3, "double": 0.5}


def _rows(schema: pa.Schema, lists: list[list[int]]) -> list[dict[str, Any]]:
    same = {field.name: PLAIN.get(str(field.type)) for field in schema}
    return [same | {"doc_id": f"d{k}", "token_ids": ids, "n_tokens": len(ids)} for k, ids in enumerate(lists)]


def _write(folder: Path, schema: pa.Schema, groups: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Writes each list of rows as a row group of one file; its row of FILES."""
    batches = [pa.RecordBatch.from_pylist(rows, schema=schema) for rows in groups]
    with pytest.MonkeyPatch.context() as small:
        small.setattr(write_parquet, "_ROW_GROUP_BYTES", 1)
        files = write_parquet.step_to_files(
            iter(batches), lambda b: (("t", batch) for batch in b), {"t": resolve(str(folder)).uri}
        )
        (file,) = pa.Table.from_batches(list(files)).to_pylist()
    assert file["n_bytes"] == (folder / file["path"]).stat().st_size
    assert file["n_records"] == sum(map(len, groups))
    return dict(file)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=st.lists(LISTS, min_size=1, max_size=3))
def test_rows_are_read_as_they_were_written(tmp_path: Path, groups: list[list[list[int]]]) -> None:
    rows = [_rows(DOCUMENTS, lists) for lists in groups]
    file = pq.ParquetFile(tmp_path / _write(tmp_path, DOCUMENTS, rows)["path"])
    assert file.read().to_pylist() == [row for group in rows for row in group]
    assert [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)] == [len(group) for group in rows]


@pytest.mark.parametrize("schema", [DOCUMENTS, DATASET])
def test_token_ids_are_plain_and_have_no_statistics(tmp_path: Path, schema: pa.Schema) -> None:
    file = pq.ParquetFile(tmp_path / _write(tmp_path, schema, [_rows(schema, [[1, 2], []])])["path"])
    columns = {c.path_in_schema: c for c in (file.metadata.row_group(0).column(k) for k in range(len(schema)))}
    ids = columns.pop("token_ids.list.element")
    assert (set(ids.encodings), ids.compression, ids.is_stats_set) == ({"PLAIN", "RLE"}, "ZSTD", False)
    assert all(column.is_stats_set for column in columns.values())
    assert "RLE_DICTIONARY" in columns["shard"].encodings


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, list[int]]]]:
    """A Delta table of several row groups: empty lists only, edges of int32, lists of many pages; and its rows."""
    draw = random.Random(1)  # noqa: S311 - a test's fixed draw
    groups = [
        [[]],
        [[], [0], [65_535] * 7, [], [65_536, (1 << 31) - 1, -(1 << 31)], list(range(300)), []],
        [[draw.randrange(50_000) for _ in range(length)] for length in (400_000, 3, 0, 300_000)],
    ]
    folder, rows = tmp_path_factory.mktemp("readers") / "t", [_rows(DOCUMENTS, lists) for lists in groups]
    for number, row in enumerate(row for group in rows for row in group):
        row["doc_id"] = f"d{number}"
    file = _write(folder, DOCUMENTS, rows)
    action = AddAction(file["path"], file["n_bytes"], {}, 0, True, file["stats"])
    create_table_with_add_actions(str(folder), Schema.from_arrow(DOCUMENTS), [action], "error", [])
    return folder, [(row["doc_id"], row["token_ids"]) for group in rows for row in group]


QUERY = "select doc_id, token_ids from t"


def test_delta_rs_reads_the_rows(table: tuple[Path, list[Any]]) -> None:
    folder, rows = table
    read = pa.table(QueryBuilder().register("t", DeltaTable(str(folder))).execute(QUERY).read_all())
    assert sorted((row["doc_id"], row["token_ids"]) for row in read.to_pylist()) == sorted(rows)


def test_duckdb_reads_the_rows(table: tuple[Path, list[Any]]) -> None:
    folder, rows = table
    read = duckdb.sql(f"select doc_id, token_ids from read_parquet('{folder}/*.parquet')").fetchall()  # noqa: S608
    assert sorted(read) == sorted(rows)


def test_polars_reads_the_rows(table: tuple[Path, list[Any]]) -> None:
    folder, rows = table
    assert sorted(polars.read_parquet(folder / "*.parquet").select("doc_id", "token_ids").rows()) == sorted(rows)


@pytest.mark.spark
@pytest.mark.parametrize("vectorized", ["true", "false"])
@pytest.mark.parametrize("split", ["128m", "200k"])
def test_spark_reads_the_rows(spark: SparkSession, table: tuple[Path, list[Any]], vectorized: str, split: str) -> None:
    """Whole, and in splits of less than a row group."""
    folder, rows = table
    changed = {
        "spark.sql.parquet.enableVectorizedReader": vectorized,
        "spark.sql.files.openCostInBytes": "1",
        "spark.sql.files.maxPartitionBytes": split,
    }
    before = {key: spark.conf.get(key) for key in changed}
    try:
        for key, value in changed.items():
            spark.conf.set(key, value)
        read = spark.read.format("delta").load(str(folder)).select("doc_id", "token_ids").collect()
    finally:
        for key, old in before.items():
            spark.conf.set(key, str(old))
    assert sorted((row[0], row[1]) for row in read) == sorted(rows)


def test_a_file_that_was_not_finished_cannot_be_read(tmp_path: Path) -> None:
    batch = pa.RecordBatch.from_pylist(_rows(DOCUMENTS, [[1, 2, 3]] * 4), schema=DOCUMENTS)

    def stopped(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[str, pa.RecordBatch]]:
        for each in batches:
            yield "t", each
        raise OSError("the disk is gone")

    with pytest.MonkeyPatch.context() as small:
        small.setattr(write_parquet, "_ROW_GROUP_BYTES", 1)
        with pytest.raises(OSError, match="gone"):
            list(write_parquet.step_to_files(iter([batch]), stopped, {"t": resolve(str(tmp_path)).uri}))
    (broken,) = tmp_path.glob("*.parquet")
    assert broken.stat().st_size > 100
    with pytest.raises(pa.ArrowInvalid, match="magic bytes"):
        pq.read_table(broken)
