"""Finds blocked records in files of tables."""

from collections.abc import Iterator

import pyarrow as pa

from pivot_udfs.schemas import DOCUMENTS, table_of
from pivot_udfs.shards.block_list import BlockList
from pivot_udfs.storage.read_parquet import read_files, table_in
from pivot_udfs.storage.typed_columns import pylist, required

FOUND = pa.schema(
    [
        required("file", pa.string()),  # its path in the warehouse
        required("file_rows", pa.int64()),  # all rows of the file
        required("in_shard", pa.string()),
        pa.field("source", pa.string()),  # source, doc_id, shard: the entry that blocks
        pa.field("doc_id", pa.string()),
        pa.field("shard", pa.string()),
        required("n_records", pa.int64()),
        required("n_tokens", pa.int64()),  # 0 of rejected records
    ]
)
SOURCES = pa.schema([DOCUMENTS.field("source")])
_KEY = ("source", "doc_id", "shard")


def find_blocked(batches: Iterator[pa.RecordBatch], folder: str, blocks: BlockList) -> Iterator[pa.RecordBatch]:
    """Counts the blocked records in files of tables whose rows have a key; a batch in FOUND a file.

    The first column of ``batches`` has paths in ``folder``, the URI of the warehouse.
    """
    for file in (file for batch in batches for file in pylist(batch.column(0))):
        schema = table_of(table_in(file)).schema
        compared = pa.schema([schema.field(name) for name in (*_KEY, "n_tokens") if name in schema.names])
        file_rows, found = 0, dict[tuple[str | None, ...], list[int]]()
        for rows in read_files([file], folder, compared):
            file_rows += rows.num_rows
            for row in rows.filter(is_blocked(rows, blocks)).to_pylist():
                n_tokens = row.pop("n_tokens", 0)
                entry = blocks.entry_of(**row)
                numbers = found.setdefault((row["shard"], entry.source, entry.doc_id, entry.shard), [0, 0])
                numbers[0] += 1
                numbers[1] += n_tokens
        table = [(file, file_rows, *place, *numbers) for place, numbers in found.items()]
        yield pa.RecordBatch.from_pylist([dict(zip(FOUND.names, row, strict=True)) for row in table], schema=FOUND)


def read_sources(batches: Iterator[pa.RecordBatch], folder: str) -> Iterator[pa.RecordBatch]:
    """The known sources of records in files (one string column), each once a batch of files; batches in SOURCES."""
    for batch in batches:
        read = read_files(pylist(batch.column(0)), folder, SOURCES)
        found = sorted({source for rows in read for source in pylist(rows.column(0).drop_null().unique())})
        yield pa.RecordBatch.from_arrays([pa.array(found, pa.string())], schema=SOURCES)


def is_blocked(rows: pa.RecordBatch, blocks: BlockList) -> pa.BooleanArray:
    """For each row (source, doc_id and shard) whether it is blocked."""
    keys = [rows.column(name).to_pylist() for name in _KEY]
    return pa.array(map(blocks.has, *keys), pa.bool_())
