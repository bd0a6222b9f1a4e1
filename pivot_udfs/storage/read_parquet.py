"""Reads the Parquet files of a table in the worker that needs them, without Spark's row format in between."""

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pivot_udfs.storage.stores import resolve

_BATCH_BYTES = 64 << 20
ReadFiles = Callable[[Sequence[str], str, pa.Schema], Iterator[pa.RecordBatch]]
"""Files, folder, schema to rows, as ``read_files``."""


def read_files(files: Sequence[str], folder: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of files in ``schema``, a row group at a time, a large one in several batches.

    ``files`` are paths within ``folder``, the URI of the table. Raises STORE_ERRORS where one is missing or damaged.
    """
    dictionaries = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    for file in files:
        with (
            resolve(folder).child(file).open_input(seekable=True) as stream,
            pq.ParquetFile(stream, read_dictionary=dictionaries) as parquet,
        ):
            yield from read_row_groups(parquet, schema)


def read_named_files(batches: Iterator[pa.RecordBatch], folder: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """``read_files`` for the names in the first column of batches."""
    for batch in batches:
        yield from read_files(batch.column(0).to_pylist(), folder, schema)


def read_row_groups(parquet: pq.ParquetFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of an open file, as ``read_files`` gives them."""
    for number in range(parquet.num_row_groups):
        group = parquet.metadata.row_group(number)
        n_rows = max(1, min(group.num_rows, group.num_rows * _BATCH_BYTES // max(1, group.total_byte_size)))
        for batch in parquet.iter_batches(n_rows, [number], schema.names, use_threads=False):
            columns = [batch.column(field.name).cast(field.type) for field in schema]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)


def rows_without(
    batches: Iterator[pa.RecordBatch],
    table: str,
    folder: str,
    schema: pa.Schema,
    left_out: Callable[[pa.RecordBatch], pa.BooleanArray],
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Copies files (one string column) of a table without the rows that are ``left_out``; a ``TableStep``.

    Yields (table, batch in ``schema`` with the rows of one shard).
    """
    for batch in batches:
        for rows in read_files(batch.column(0).to_pylist(), folder, schema):
            kept = rows.filter(pc.invert(left_out(rows)))
            for shard in kept.column("shard").unique():
                yield table, kept.filter(pc.equal(kept.column("shard"), shard))


def in_shards(rows: pa.RecordBatch, shards: Sequence[str]) -> pa.BooleanArray:
    """For each row whether its column ``shard`` is one of these; for ``rows_without``."""
    return pc.is_in(rows.column("shard"), pa.array(shards, pa.string()))
