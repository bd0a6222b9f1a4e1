"""Writes rows as Parquet files from the worker that made them, for Delta commits that follow on the driver.

Spark's own writer converts a token list element by element, about 100 ns a token; pyarrow takes 12 ns. File names are
UUIDs: a task that is tried twice leaves a file that no commit names, which VACUUM removes. The token ids of documents
are plain int32 values under zstd (``benchmarks/token_id_encodings.py``): DELTA_BINARY_PACKED takes a third less time to
write but twice the bytes, and Spark's vectorized reader does not read BYTE_STREAM_SPLIT. Those of counts ascend within
a word: packed as differences, a cell takes 2.2 bytes instead of 4.0.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pivot_udfs.storage.location import Location
from pivot_udfs.storage.stores import resolve
from pivot_udfs.storage.typed_columns import schema_of


class WrittenFile(TypedDict):
    """A file of a table, for the commit that adds it."""

    table: str
    path: str
    """Relative to the table."""
    n_bytes: int
    n_records: int
    stats: str
    """Delta's statistics as JSON."""


FILES = schema_of(
    {"table": pa.string(), "path": pa.string(), "n_bytes": pa.int64(), "n_records": pa.int64(), "stats": pa.string()}
)
"""Of rows that are a ``WrittenFile``."""
TableStep = Callable[[Iterator[pa.RecordBatch]], Iterator[tuple[str, pa.RecordBatch]]]
"""Batches to (table, batch of its rows)."""
_ROW_GROUP_BYTES = 32 << 20
_FILE_BYTES = 1 << 30
_LEAST_FILE_BYTES = 4 << 20
"""Rows of shards that take less memory share a file."""
_REPEATED = ("source", "lang", "shard")
_ASCENDING = ("record", "token_id")
_BOUNDED = (pa.types.is_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_timestamp)
_LAST = "\U0010ffff"
"""Greater than every text but those that begin with it."""


def step_to_files(
    batches: Iterator[pa.RecordBatch], step: TableStep, uris: dict[str, str], by_shard: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Writes what a step makes of batches into the folders of its tables (URIs); yields a row in FILES for each file.

    The step yields (table, batch); strings may be dictionaries. Each table has a file and up to 32 MB waiting. Files of
    the tables in ``by_shard`` hold the rows of one shard, or of a few small ones, so that these can be removed without
    rewriting others; each of their batches holds rows of one shard.
    """
    writers: dict[str, _TableWriter] = {}
    try:
        for table, batch in step(batches):
            if table not in writers:
                writers[table] = _TableWriter(table, uris[table], table in by_shard)
            yield from writers[table].add(batch)
        for writer in writers.values():
            yield from writer.close()
    finally:
        for writer in writers.values():
            writer.abandon()


def rows_of_table(
    batches: Iterator[pa.RecordBatch], table: str, schema: pa.Schema
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Rows of one table as a TableStep, with the types and nullability of its schema."""
    for batch in batches:
        for whole in pa.Table.from_batches([batch]).cast(schema).to_batches():
            yield table, whole


class _TableWriter:
    """Writes one table's rows to files, a row group at a time, a new file when one has grown large."""

    def __init__(self, table: str, uri: str, by_shard: bool) -> None:
        self._table, self._uri, self._by_shard = table, uri, by_shard
        self._group: list[pa.RecordBatch] = []
        self._group_bytes = 0
        self._shard: str | None = None
        self._file: _File | None = None

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        shard = batch.column("shard")[0].as_py() if self._by_shard else None
        if shard != self._shard and self._n_bytes >= _LEAST_FILE_BYTES:
            yield from self.close()
        self._shard = shard
        self._group.append(batch)
        self._group_bytes += batch.nbytes
        if self._group_bytes >= _ROW_GROUP_BYTES:
            file = self._write_group()
            if file.n_bytes >= _FILE_BYTES:
                yield from self.close()

    @property
    def _n_bytes(self) -> int:
        return self._group_bytes + (self._file.n_bytes if self._file else 0)

    def close(self) -> Iterator[pa.RecordBatch]:
        if self._group:
            self._write_group()
        if self._file:
            complete, self._file = self._file, None
            yield complete.close(self._table)

    def abandon(self) -> None:
        """Leaves an incomplete file without a footer, so that it cannot be read."""
        if self._file:
            self._file.abandon()

    def _write_group(self) -> "_File":
        self._file = self._file or _File(resolve(self._uri), self._group[0].schema)
        self._file.add(pa.Table.from_batches(self._group))
        self._group, self._group_bytes = [], 0
        return self._file


class _File:
    def __init__(self, folder: Location, schema: pa.Schema) -> None:
        self._location = folder.child(f"part-{uuid.uuid4()}.zstd.parquet")
        self.n_bytes = self.n_records = 0
        self._least: dict[str, Any] = {}
        self._most: dict[str, Any] = {}
        self._n_null: dict[str, int] = {}
        short = [field.name for field in schema if field.name in _REPEATED or pa.types.is_dictionary(field.type)]
        # The smallest and largest token id let no reader skip a row group, and are a tenth of the cost of writing.
        flat = [field.name for field in schema if not pa.types.is_nested(field.type)]
        packed = {name: "DELTA_BINARY_PACKED" for name in schema.names if name in _ASCENDING}
        options: dict[str, Any] = {"compression": "zstd", "use_dictionary": short, "write_statistics": flat}
        options |= {"store_schema": False, "write_page_checksum": True}  # changed bytes would be other numbers
        self._stream = self._location.open_output()
        self._writer = pq.ParquetWriter(self._stream, schema, column_encoding=packed, **options)

    def add(self, table: pa.Table) -> None:
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self.n_bytes += table.nbytes
        self.n_records += table.num_rows
        for field in table.schema:
            if _is_bounded(field.type):
                self._add_bounds(field.name, table.column(field.name))

    def _add_bounds(self, name: str, values: "pa.ChunkedArray[Any]") -> None:
        self._n_null[name] = self._n_null.get(name, 0) + values.null_count
        ends = pc.min_max(_distinct(values) if pa.types.is_dictionary(values.type) else values)
        least, most = ends["min"].as_py(), ends["max"].as_py()
        if least is not None:
            self._least[name] = min(self._least.get(name, least), least)
            self._most[name] = max(self._most.get(name, most), most)

    def abandon(self) -> None:
        self._writer.is_open = False  # else its finalizer writes the footer
        self._stream.close()

    def close(self, table: str) -> pa.RecordBatch:
        self._writer.close()
        n_bytes = self._stream.tell()
        self._stream.close()
        stats = json.dumps(self._statistics(), ensure_ascii=False)
        file = WrittenFile(
            table=table, path=self._location.name, n_bytes=n_bytes, n_records=self.n_records, stats=stats
        )
        return pa.RecordBatch.from_pylist([file], schema=FILES)

    def _statistics(self) -> dict[str, Any]:
        """Delta's statistics of every column that can have bounds: delta-rs reads none as "no row", not as unknown."""
        bounds = {name: _bounds(name, self._least[name], self._most[name]) for name in self._least}
        least, most = ({name: ends[side] for name, ends in bounds.items()} for side in (0, 1))
        return {"numRecords": self.n_records, "minValues": least, "maxValues": most, "nullCount": self._n_null}


def _is_bounded(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(test(kind) for test in _BOUNDED)


def _bounds(name: str, least: Any, most: Any) -> tuple[Any, Any]:
    """Bounds as JSON. Those of texts exclude nothing, so that no part of a document stays in the log."""
    if isinstance(least, datetime):
        after = most + timedelta(milliseconds=1)
        return least.isoformat(timespec="milliseconds"), after.isoformat(timespec="milliseconds")
    if isinstance(least, str) and name not in _REPEATED:
        return "", max(most, _LAST)
    return least, most


def _distinct(values: "pa.ChunkedArray[Any]") -> "pa.Array[Any]":
    distinct = cast("pa.DictionaryArray[Any, Any]", values.unique())  # to the stubs it is chunked
    return distinct.dictionary_decode()
