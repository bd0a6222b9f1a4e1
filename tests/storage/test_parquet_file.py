"""Our Parquet files against the readers that the tables have: whatever the ids, the rows read are those written."""

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, QueryBuilder, Schema
from deltalake.transaction import AddAction, create_table_with_add_actions
from hypothesis import given
from hypothesis import strategies as st

from pivot_udfs.schemas import DATASET, DOCUMENTS
from pivot_udfs.storage import token_id_pages, write_parquet
from pivot_udfs.storage.parquet_file import ParquetFile
from pivot_udfs.storage.thrift_structs import from_bytes, to_bytes
from pivot_udfs.storage.token_id_pages import TOKEN_IDS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("token_ids", TOKEN_IDS, nullable=False),
        pa.field("n_tokens", pa.int64(), nullable=False),
    ]
)
IDS = st.one_of(st.integers(0, 300), st.integers(0, 1 << 17))
LISTS = st.lists(st.lists(IDS, max_size=20), min_size=1, max_size=30)
EDGES = [[], [0], [65_535] * 7, [], [1, 2, 3, 4, 5, 6, 7, 8], [65_536, 7], list(range(300)), []]


@pytest.fixture(autouse=True, scope="module")
def _small_pages() -> Iterator[None]:
    """Pages of 64 ids, and dictionaries for however few."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(token_id_pages, "_PAGE_IDS", 64)
        changed.setattr(token_id_pages, "_LEAST_USES", 0)
        yield


def _table(lists: list[list[int]], n_chunks: int = 1) -> pa.Table:
    columns = [[f"d{k}" for k in range(len(lists))], lists, [len(ids) for ids in lists]]
    whole = pa.table(columns, schema=ROWS)
    step = -(-len(lists) // n_chunks)
    return pa.concat_tables(whole.slice(first, step) for first in range(0, len(lists), step))


def _written(tables: list[pa.Table], schema: pa.Schema = ROWS) -> pa.Buffer:
    stream = pa.BufferOutputStream()
    file = ParquetFile(stream, schema, compression="zstd", use_dictionary=False, store_schema=False)
    for table in tables:
        file.add(table)
    file.close()
    return stream.getvalue()


def _of_ids(file: pa.Buffer, row_group: int) -> pq.ColumnChunkMetaData:
    return pq.ParquetFile(pa.BufferReader(file)).metadata.row_group(row_group).column(1)


@given(groups=st.lists(LISTS, min_size=1, max_size=3), n_chunks=st.integers(1, 4))
def test_rows_are_read_as_they_were_written(groups: list[list[list[int]]], n_chunks: int) -> None:
    tables = [_table(lists, n_chunks) for lists in groups]
    file = _written(tables)
    assert pq.read_table(pa.BufferReader(file)).equals(pa.concat_tables(tables))
    for number, lists in enumerate(groups):
        chunk = _of_ids(file, number)
        assert chunk.encodings == ("PLAIN", "RLE", "RLE_DICTIONARY")
        assert chunk.num_values == sum(max(1, len(ids)) for ids in lists)


def test_the_footer_says_where_and_how_large() -> None:
    file = _written([_table(EDGES), _table(EDGES[1:])])
    metadata = pq.ParquetFile(pa.BufferReader(file)).metadata
    assert metadata.num_rows == 2 * len(EDGES) - 1
    spans: list[tuple[int, int]] = []
    for group in map(metadata.row_group, range(2)):
        chunks = [group.column(k) for k in range(3)]
        assert group.total_byte_size == sum(chunk.total_uncompressed_size for chunk in chunks)
        assert [chunk.path_in_schema for chunk in chunks] == ["doc_id", "token_ids.list.element", "n_tokens"]
        ids = chunks[1]
        assert ids.dictionary_page_offset < ids.data_page_offset
        begins = [chunk.dictionary_page_offset or chunk.data_page_offset for chunk in chunks]
        sizes = [chunk.total_compressed_size for chunk in chunks]
        spans += sorted((start, start + size) for start, size in zip(begins, sizes, strict=True))
    assert all(before[1] <= after[0] for before, after in pairwise(spans)), "chunks overlap"


@pytest.mark.parametrize(("most", "packed"), [(65_535, True), (65_536, True), ((1 << 20) - 1, True), (1 << 20, False)])
def test_large_ids(most: int, packed: bool) -> None:
    table = _table([[0, most], [most] * 3])
    file = _written([table])
    assert pq.read_table(pa.BufferReader(file)).equals(table)
    assert ("RLE_DICTIONARY" in _of_ids(file, 0).encodings and _of_ids(file, 0).compression == "ZSTD") == packed


def test_ids_that_do_not_fit_are_written_all_the_same() -> None:
    table = _table([[0, -1], [-(1 << 31)]])
    assert pq.read_table(pa.BufferReader(_written([table]))).equals(table)


def test_few_ids_get_no_dictionary_of_thousands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_id_pages, "_LEAST_USES", 16)
    table = _table(EDGES)
    file = _written([table])
    assert pq.read_table(pa.BufferReader(file)).equals(table)
    assert len(file) < 4_000


def test_pages_are_of_whole_lists_and_about_as_large_as_wanted() -> None:
    lists = [[1] * length for length in (10, 50, 10, 200, 30, 30, 30)]
    chunk = token_id_pages.token_id_pages(_table(lists).column("token_ids"))
    assert chunk
    assert [page.n_levels for page in chunk.pages] == [60, 10, 230, 60]


def _all_kinds() -> list[pa.Table]:
    """Row groups with empty lists only in a page, with lists longer than any page, and with few ids and much text."""
    nothing = _table([[], [], []])
    empty = pa.concat_tables([_table(EDGES), nothing, _table(EDGES)])
    long = _table([[k % 4_000 for k in range(length)] for length in (200_000, 300_000, 7, 100_000)])
    draw = random.Random(1)  # noqa: S311 - a test's fixed draw
    names = pa.array([f"{number}-{draw.getrandbits(80_000):x}" for number in range(20)])
    named = _table([[1, 2, 3]] * 20).set_column(0, ROWS.field("doc_id"), names)
    return [_table(EDGES), _table(EDGES[::-1], 3), empty, long, named]


@pytest.mark.parametrize("vectorized", ["true", "false"])
@pytest.mark.parametrize(("first", "page_ids"), [("doc_id", 64), ("doc_id", 1 << 18), ("token_ids", 64)])
def test_spark_reads_the_rows(
    spark: "SparkSession", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vectorized: str, first: str, page_ids: int
) -> None:
    """Whole, and in splits of less than a row group."""
    monkeypatch.setattr(token_id_pages, "_PAGE_IDS", page_ids)
    schema = pa.schema(sorted(ROWS, key=lambda field: field.name != first))
    tables = [table.select(schema.names) for table in _all_kinds()]
    (tmp_path / "part.parquet").write_bytes(_written(tables, schema))
    expected = sorted((row["doc_id"], row["token_ids"]) for row in pa.concat_tables(tables).to_pylist())
    changed = {"spark.sql.parquet.enableVectorizedReader": vectorized, "spark.sql.files.openCostInBytes": "1"}
    before = {key: spark.conf.get(key) for key in (*changed, "spark.sql.files.maxPartitionBytes")}
    try:
        for split in ("128m", "2k"):
            for key, value in (changed | {"spark.sql.files.maxPartitionBytes": split}).items():
                spark.conf.set(key, value)
            read = spark.read.parquet(str(tmp_path)).select("doc_id", "token_ids").collect()
            assert sorted((row[0], row[1]) for row in read) == expected
    finally:
        for key, old in before.items():
            spark.conf.set(key, str(old))


@pytest.mark.parametrize("page_ids", [64, 1 << 18])
def test_delta_rs_reads_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page_ids: int) -> None:
    monkeypatch.setattr(token_id_pages, "_PAGE_IDS", page_ids)
    table = pa.concat_tables(_all_kinds())
    file = _written([table])
    (tmp_path / "part.parquet").write_bytes(file)
    action = AddAction("part.parquet", len(file), {}, 0, True, "{}")
    create_table_with_add_actions(str(tmp_path), Schema.from_arrow(ROWS), [action], "error", [])
    read = QueryBuilder().register("t", DeltaTable(str(tmp_path))).execute("select * from t").read_all()
    assert pa.table(read).to_pylist() == table.to_pylist()


@pytest.mark.parametrize("name", ["documents", "datasets/pivot"])
def test_a_table_s_files_are_packed_and_one_that_was_not_finished_is_none(name: str, tmp_path: Path) -> None:
    schema = DOCUMENTS if name == "documents" else DATASET
    row = {field.name: {"string": "x", "int64": 3, "double": 0.5}.get(str(field.type), [1, 2, 3]) for field in schema}
    batch = pa.RecordBatch.from_pylist([row] * 4, schema=schema)

    def stopped(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[str, pa.RecordBatch]]:
        for each in batches:
            yield name, each
        raise OSError("the disk is gone")

    with pytest.MonkeyPatch.context() as small:
        small.setattr(write_parquet, "_ROW_GROUP_BYTES", 1)
        uris = {name: f"file:{tmp_path}/whole"}
        list(write_parquet.step_to_files(iter([batch]), lambda b: write_parquet.one_table(b, iter, name), uris))
        with pytest.raises(OSError, match="gone"):
            list(write_parquet.step_to_files(iter([batch]), stopped, {name: f"file:{tmp_path}/broken"}))
    (whole,), (broken,) = (list((tmp_path / folder).glob("*.parquet")) for folder in ("whole", "broken"))
    assert pq.read_table(whole).to_pylist() == [row] * 4
    ids = schema.get_field_index("token_ids")
    assert "RLE_DICTIONARY" in pq.ParquetFile(whole).metadata.row_group(0).column(ids).encodings
    assert broken.stat().st_size > 100
    with pytest.raises(pa.ArrowInvalid, match="magic bytes"):
        pq.read_table(broken)


def test_footers_of_pyarrow_are_read_and_written_without_loss() -> None:
    file = pa.BufferOutputStream()
    columns = {"n": [1, None], "x": [0.5, 2.0], "s": ["a", None], "t": [[b"x"], []], "b": [True, None]}
    pq.write_table(pa.table(columns), file, write_page_index=True, write_page_checksum=True)
    raw = file.getvalue().to_pybytes()
    footer = raw[-8 - int.from_bytes(raw[-8:-4], "little") : -8]
    assert to_bytes(from_bytes(footer)) == footer
