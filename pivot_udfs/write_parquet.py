"""Writes rows as Parquet files from the worker that made them, for a Delta commit that follows on the driver.

Spark's own writer takes a token list element by element through its row format: about 100 ns a token, several times
what tokenizing costs. pyarrow takes the column as it is: 16 ns. Files have names of their own (a UUID), so a task that
is tried twice leaves a file that no commit names, which VACUUM removes; nothing is counted twice.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

FILES = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),  # relative to the table
        pa.field("n_bytes", pa.int64(), nullable=False),
        pa.field("n_records", pa.int64(), nullable=False),
        pa.field("stats", pa.string(), nullable=False),  # Delta's statistics as JSON
    ]
)
DIRECT_SCHEMES = ("file", "s3a", "s3", "gs")
_ROW_GROUP_BYTES = 32 << 20
_FILE_BYTES = 1 << 30
_STATISTICS = ("source", "lang", "shard", "n_tokens")


def step_to_files(
    batches: Iterator[pa.RecordBatch],
    step: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]],
    uri: str,
    schema: pa.Schema,
) -> Iterator[pa.RecordBatch]:
    """What a step makes of batches, written to files; arguments and result as for ``write_parquet``."""
    return write_parquet(step(batches), uri, schema)


def write_parquet(batches: Iterator[pa.RecordBatch], uri: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Writes batches to files in a folder.

    Args:
        batches: in ``schema``.
        uri: the table's folder, qualified (``file:/...``, ``s3a://...``).
        schema: of the rows.

    Yields:
        batches in FILES, one row a file that is complete.
    """
    store, folder = _store(uri)
    group: list[pa.RecordBatch] = []
    file: _File | None = None
    for batch in batches:
        group.append(batch)
        if sum(waiting.nbytes for waiting in group) >= _ROW_GROUP_BYTES:
            file = file or _File(store, folder, schema)
            file.add(pa.Table.from_batches(group, schema))
            group = []
            if file.n_bytes >= _FILE_BYTES:
                yield file.close()
                file = None
    if group:
        file = file or _File(store, folder, schema)
        file.add(pa.Table.from_batches(group, schema))
    if file:
        yield file.close()


def _store(uri: str) -> tuple[fs.FileSystem, str]:
    scheme, _, rest = uri.partition(":")
    if scheme == "file":
        return fs.LocalFileSystem(), "/" + rest.lstrip("/")
    store, folder = fs.FileSystem.from_uri(uri.replace("s3a://", "s3://", 1))
    return store, folder.rstrip("/")


class _File:
    def __init__(self, store: fs.FileSystem, folder: str, schema: pa.Schema) -> None:
        self.name = f"part-{uuid.uuid4()}.zstd.parquet"
        self.n_bytes = self.n_records = 0
        self.least: dict[str, Any] = {}
        self.most: dict[str, Any] = {}
        self._store, self._path = store, f"{folder}/{self.name}"
        if isinstance(store, fs.LocalFileSystem):
            store.create_dir(folder, recursive=True)
        short = [name for name in schema.names if name in ("source", "lang", "shard")]
        self._writer = pq.ParquetWriter(
            self._path, schema, filesystem=store, compression="zstd", use_dictionary=short, store_schema=False
        )

    def add(self, table: pa.Table) -> None:
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self.n_bytes += table.nbytes
        self.n_records += table.num_rows
        for name in _STATISTICS:
            if name in table.column_names:
                ends = pa.compute.min_max(table.column(name)).as_py()
                self.least[name] = min(self.least.get(name, ends["min"]), ends["min"])
                self.most[name] = max(self.most.get(name, ends["max"]), ends["max"])

    def close(self) -> pa.RecordBatch:
        self._writer.close()
        stats = {"numRecords": self.n_records, "minValues": self.least, "maxValues": self.most}
        row = {
            "path": self.name,
            "n_bytes": self._store.get_file_info(self._path).size,
            "n_records": self.n_records,
            "stats": json.dumps(stats, ensure_ascii=False),
        }
        return pa.RecordBatch.from_pylist([row], schema=FILES)
