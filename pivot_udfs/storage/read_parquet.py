"""Reads the Parquet files of a table in the worker that needs them, without Spark's row format in between."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pivot_udfs.errors import WarehouseError
from pivot_udfs.runtime.bytes_read import report_bytes_read
from pivot_udfs.schemas import table_of
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import reason
from pivot_udfs.storage.stores import resolve
from pivot_udfs.storage.typed_columns import pylist

APART = "apart:"
"""Before the name of a table, in what a ``TableStep`` yields: rows for files without any others."""
_BATCH_BYTES = 64 << 20


def read_files(files: Sequence[str], folder: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of files in ``schema``, a row group at a time, a large one in several batches.

    ``files`` are paths within ``folder``, the URI of the table. Raises OSError where one is missing, and WarehouseError
    where it is damaged or as ``check_columns``.
    """
    dictionaries = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    for file in files:
        location = resolve(folder).child(file)
        with open_parquet(location, dictionaries) as parquet:
            check_columns(parquet, schema, str(location))
            yield from read_row_groups(parquet, schema)


@contextmanager
def open_parquet(file: Location, dictionaries: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """A file of a table, whose pages are compared with their checksums; columns in ``dictionaries`` stay encoded.

    Raises, also within the block, OSError where it is missing, WarehouseError where it is damaged.
    """
    try:
        with (
            file.open_input(seekable=True) as stream,
            pq.ParquetFile(stream, read_dictionary=list(dictionaries), page_checksum_verification=True) as parquet,
        ):
            yield parquet
    except (pa.ArrowInvalid, OSError) as error:
        if getattr(error, "errno", None):
            raise
        raise WarehouseError(
            f"{file} cannot be read ({reason(error)}): where its content is damaged, restore it from a copy, or remove "
            f"{str(file).rpartition('/')[0]}; then run rebuild_corpus"
        ) from None


def check_columns(parquet: pq.ParquetFile, schema: pa.Schema, name: str) -> None:
    """Makes sure that a file has columns.

    Raises WarehouseError where it lacks one; the message has the file's ``name``.
    """
    if missing := set(schema.names).difference(parquet.schema_arrow.names):
        raise WarehouseError(
            f"{name} has no column {', '.join(sorted(missing))}: another tool has renamed columns of the table (column "
            "mapping); run rebuild_corpus into another warehouse.path"
        )


def read_row_groups(parquet: pq.ParquetFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of an open file, as ``read_files`` gives them."""
    for number in range(parquet.num_row_groups):
        group = parquet.metadata.row_group(number)
        n_bytes = sum(group.column(place).total_compressed_size for place in range(group.num_columns))
        n_rows = max(1, min(group.num_rows, group.num_rows * _BATCH_BYTES // max(1, group.total_byte_size)))
        for batch in parquet.iter_batches(n_rows, [number], schema.names, use_threads=False):
            columns = [batch.column(field.name).cast(field.type) for field in schema]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
            report_bytes_read(n_bytes * batch.num_rows // group.num_rows)


def read_listed(
    batches: Iterator[pa.RecordBatch], folder: str, schema: pa.Schema, shards: Collection[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of files (the first column) in ``schema``, only those of these shards if given; no batch is empty."""
    for batch in batches:
        for rows in read_files(pylist(batch.column(0)), folder, schema):
            wanted = rows if shards is None else rows.filter(in_shards(rows, shards))
            if wanted.num_rows:
                yield wanted


def rows_without(
    batches: Iterator[pa.RecordBatch],
    folder: str,
    left_out: Callable[[pa.RecordBatch], pa.BooleanArray],
    apart: Collection[str] = (),
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Copies files of tables without the rows that are ``left_out``; a ``TableStep``.

    The first column of ``batches`` has paths in ``folder``, the URI of the warehouse. Yields (table, batch in its
    schema with the rows of one shard); of tables ``apart`` also what is left out, with ``APART`` before the name.
    """
    for file in (file for batch in batches for file in pylist(batch.column(0))):
        table = table_in(file)
        for rows in read_files([file], folder, table_of(table).schema):
            is_out = left_out(rows)
            parts = [(table, pc.invert(is_out)), *([(f"{APART}{table}", is_out)] if table in apart else [])]
            for name, wanted in parts:
                for of_shard in split_by_shard(rows.filter(wanted)):
                    yield name, of_shard


def table_in(path: str) -> str:
    """The table of a data file, by its path in the warehouse: ``datasets/pivot`` of ``datasets/pivot/a.parquet``."""
    first, second, *_ = path.split("/")
    return f"{first}/{second}" if first == "datasets" else first


def split_by_shard(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows of each value of the column ``shard``."""
    shards = rows.column("shard").unique()
    for shard in shards:
        yield rows if len(shards) == 1 else rows.filter(pc.equal(rows.column("shard"), shard))


def in_shards(rows: pa.RecordBatch, shards: Collection[str]) -> pa.BooleanArray:
    """For each row whether its column ``shard`` is one of these."""
    return pc.is_in(rows.column("shard"), pa.array(list(shards), pa.string()))
