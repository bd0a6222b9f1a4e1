"""Rows of a Parquet shard as plain Python values, a few MB at a time.

A value over the limit is never made into a Python string (which can take four times its bytes): an
``Oversized`` stands for it. Batches are cut by the file's own mean row size; columns are read page by page.

pyarrow says ``OSError`` of damaged content and of a failing store alike, so the file's own failures are told apart
where they arise.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pivot_udfs.shards.shard_streams import StreamDamageError
from pivot_udfs.shards.validate_record import FIELDS, Oversized, ReadLimits, RecordError

_BATCH_BYTES = 8 << 20
_BATCH_ROWS = 256
_PAGE_BUFFER_BYTES = 4 << 20
_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)


def read_parquet_rows(file: BinaryIO, limits: ReadLimits) -> Iterator[dict[str, Any]]:
    """The columns id, text, source and lang of every row, in order.

    Args:
        file: seekable.
        limits: longer values come as ``Oversized``.

    Yields:
        One dict a row; strings, ``bytes`` where a value is not UTF-8, or whatever type the column has.

    Raises:
        StreamDamageError: the file is not Parquet, cut or corrupt.
        RecordError: ``missing_columns``.
        OSError: the file itself could not be read.
    """
    watched = _WatchedFile(file)
    try:
        yield from _rows(watched, limits)
    except StreamDamageError:
        if watched.failure:
            raise watched.failure from None
        raise


class _WatchedFile:
    """What pyarrow needs of a file, with a memory for the file's own failures."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: OSError | None = None

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        """Nothing: who opened the file closes it."""

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)  # a store's file refuses places past its end: damaged content

    def read(self, n_bytes: int = -1) -> bytes:
        try:
            return self._file.read(n_bytes)
        except OSError as error:
            self.failure = error
            raise


def _rows(file: _WatchedFile, limits: ReadLimits) -> Iterator[dict[str, Any]]:
    parquet = _open_parquet(file)
    names = parquet.schema_arrow.names
    missing = [name for name in ("id", "text") if name not in names]
    if missing:
        raise RecordError(
            "missing_columns",
            f"no column {' and '.join(missing)} among {', '.join(names[:20])}; expected id and text, perhaps"
            f" source and lang; {parquet.metadata.num_rows} rows not read",
        )
    wanted = [name for name in FIELDS if name in names]
    for batch in _batches(parquet, wanted):
        columns = [_python_values(batch, name, limits) for name in wanted]
        for row in zip(*columns, strict=True):
            yield dict(zip(wanted, row, strict=True))


def _open_parquet(file: _WatchedFile) -> Any:
    try:
        return pq.ParquetFile(file, buffer_size=_PAGE_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True)
    except _DAMAGE as error:
        raise StreamDamageError(f"not a whole Parquet file: {error}") from None


def _batches(parquet: Any, wanted: list[str]) -> Iterator[Any]:
    n_read, n_rows = 0, parquet.metadata.num_rows
    try:
        for group in range(parquet.num_row_groups):  # one by one: all before a damaged group is read
            size = _batch_rows(parquet.metadata.row_group(group))
            for batch in parquet.iter_batches(size, [group], wanted, use_threads=False):
                batch.validate()
                n_read += batch.num_rows
                yield batch
    except _DAMAGE as error:
        raise StreamDamageError(f"{error}; {n_rows - n_read} of {n_rows} rows not read") from None


def _batch_rows(group: Any) -> int:
    row_bytes: int = max(1, group.total_byte_size // max(group.num_rows, 1))
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // row_bytes))


def _python_values(batch: Any, name: str, limits: ReadLimits) -> list[Any]:
    column = batch.column(batch.schema.names.index(name))
    limit = limits.max_document_bytes if name == "text" else limits.max_record_bytes
    lengths = _byte_lengths(column)
    if lengths is None:
        return list(column.to_pylist())
    fits = pc.fill_null(pc.less_equal(lengths, limit), fill_value=True)
    if pc.all(fits).as_py():
        return _strings(column)
    fitting = iter(_strings(column.filter(fits)))
    return [
        next(fitting) if fit else Oversized(n_bytes)
        for fit, n_bytes in zip(fits.to_pylist(), lengths.to_pylist(), strict=True)
    ]


def _byte_lengths(column: Any) -> Any:
    """Bytes of every value, null for nulls; None where the column is not of strings or bytes."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        lengths = _byte_lengths(column.dictionary)
        return None if lengths is None else lengths.take(column.indices)
    binary = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return pc.binary_length(column) if any(is_kind(kind) for is_kind in binary) else None


def _strings(column: Any) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        values = column.view(pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary()).to_pylist()
    return [_decoded(value) if type(value) is bytes else value for value in values]


def _decoded(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
