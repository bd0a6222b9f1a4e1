"""Rows of a Parquet shard, a few at a time, read page by page; a page is the least that must be held.

A batch has at most four rows unless all of a row group is small: a few stored bytes can stand for many large values.
pyarrow raises the same exceptions for damaged content and for a failing store, so the file's own failures are recorded.
"""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pivot_udfs.settings import Corpus
from pivot_udfs.shards.arrow_values import column_values
from pivot_udfs.shards.decompress_lines import StreamDamageError
from pivot_udfs.shards.parquet_pages import Chunk, column_chunks, largest_page
from pivot_udfs.shards.quarantine_reasons import MAX_KEY_BYTES, RecordError
from pivot_udfs.shards.validate_record import Fields

_BATCH_BYTES = 32 << 20
_MIN_BATCH_ROWS, _MAX_BATCH_ROWS = 4, 256
_PAGE_BUFFER_BYTES = 4 << 20
_LARGE_VALUE_BYTES, _HIGH_RATIO = 16 << 10, 16
_FIRST_PAGES = 4
_ITEM_BYTES = 16
"""What an item of a list takes beside its value."""
_SHOWN_COLUMNS = 20
_UNSUPPORTED = re.compile("decrypt|not supported|not implemented|not built")  # the library's words

Path = tuple[str, ...]
"""A column and the fields within it."""


def read_parquet_rows(file: BinaryIO, corpus: Corpus) -> Iterator[Fields]:
    """The fields of every row of a seekable file, in order; values that are too long come as ``Oversized``.

    Raises StreamDamageError where the file is damaged, RecordError (``missing_columns``), and what reading ``file``
    raises.
    """
    watched = _WatchedFile(file)
    try:
        yield from _rows(watched, corpus)
    except StreamDamageError:
        if watched.failure:
            raise watched.failure from None
        raise


class _WatchedFile:
    """What pyarrow needs of a file; records the file's own failures."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: Exception | None = None

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        """Does nothing: the caller closes the file."""

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)  # a damaged file can contain an offset past its end

    def read(self, n_bytes: int = -1) -> bytes:
        try:
            return self._file.read(n_bytes)
        except (OSError, pa.ArrowException) as error:
            self.failure = error
            raise


def _rows(file: _WatchedFile, corpus: Corpus) -> Iterator[Fields]:
    try:
        parquet = _open(file)
        schema, n_rows = parquet.schema_arrow, parquet.metadata.num_rows
        parquet = _open(file, metadata=parquet.metadata, read_dictionary=_listed_strings(parquet.schema))
    except Exception as error:
        raise _damage(error, "the footer cannot be read") from None
    paths = _paths(schema, corpus, n_rows)
    n_read, longest = 0, dict.fromkeys(Fields._fields, MAX_KEY_BYTES) | {"text": corpus.max_document_bytes}
    try:
        for batch in _batches(file, parquet, [".".join(path) for path in paths.values()], corpus):
            columns = {name: _column(batch, path) for name, path in paths.items()}
            values = [column_values(column, longest[name]) for name, column in columns.items()]
            for row in zip(*values, strict=True):
                yield Fields(**dict(zip(paths, row, strict=True)))
                n_read += 1
            del batch, columns
    except Exception as error:
        raise _damage(error, f"{n_rows - n_read} of {n_rows} rows not read") from None
    if n_read != n_rows:
        raise StreamDamageError(f"the footer says {n_rows} rows, the row groups have {n_read}")


def _open(file: Any, **options: Any) -> pq.ParquetFile:
    return pq.ParquetFile(
        file, buffer_size=_PAGE_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True, **options
    )


def _leaves(schema: pq.ParquetSchema) -> list[pq.ColumnSchema]:
    return [schema.column(number) for number in range(len(schema))]


def _listed_strings(schema: pq.ParquetSchema) -> list[str]:
    """The leaves of strings in lists, of which each value is to be held once, however often it is repeated."""
    strings = [
        leaf for leaf in _leaves(schema) if leaf.physical_type == "BYTE_ARRAY" and leaf.converted_type != "DECIMAL"
    ]
    return [leaf.path for leaf in strings if leaf.max_repetition_level]


def _damage(error: Exception, lost: str) -> StreamDamageError:
    if isinstance(error, StreamDamageError):
        return StreamDamageError(f"{error}; {lost}", error.reason)
    reason = "unsupported_form" if _UNSUPPORTED.search(str(error)) else "corrupt_stream"
    return StreamDamageError(f"{error}; {lost}", reason)


def _paths(schema: pa.Schema, corpus: Corpus, n_rows: int) -> dict[str, Path]:
    """Where each field is, by its name in ``Fields``; an optional one that the file has not is left out."""
    wanted = {name: getattr(corpus.fields, name) for name in Fields._fields}
    paths = {name: path for name, field in wanted.items() if field and (path := _path(schema, field))}
    missing = [wanted[name] for name in ("id", "text") if wanted[name] and name not in paths]
    if missing:
        names = ", ".join(name[:100] for name in schema.names[:_SHOWN_COLUMNS])
        detail = f"no column {' and '.join(missing)} among {names or 'none'}; set corpus.fields; {n_rows} rows not read"
        raise RecordError("missing_columns", detail)
    return paths


def _path(schema: pa.Schema, field: str) -> Path | None:
    if field in schema.names:
        return (field,)
    head, _, rest = field.partition(".")
    inner = _path_within(schema.field(schema.names.index(head)).type, rest) if head in schema.names else ()
    return (head, *inner) if inner else None


def _path_within(kind: Any, field: str) -> Path:
    """As in JSON, a name that is the whole rest of a path is preferred to the path; empty where there is none."""
    if not pa.types.is_struct(kind):
        return ()
    if kind.get_field_index(field) >= 0:
        return (field,)
    head, _, rest = field.partition(".")
    inner = _path_within(kind.field(head).type, rest) if kind.get_field_index(head) >= 0 else ()
    return (head, *inner) if inner else ()


def _batches(
    file: _WatchedFile, parquet: pq.ParquetFile, columns: list[str], corpus: Corpus
) -> Iterator[pa.RecordBatch]:
    leaves, max_bytes = _leaves(parquet.schema), corpus.max_parquet_page_mb << 20
    for group, chunks in enumerate(column_chunks(file)):  # one by one: all before a damaged group is read
        for leaf, chunk in zip(leaves, chunks, strict=True):
            if chunk and any(f"{leaf.path}.".startswith(f"{name}.") for name in columns):
                if leaf.max_repetition_level:
                    _check_lists(leaf.path, chunk, max_bytes)
                else:
                    _check_pages(file, leaf.path, chunk, max_bytes)
        n_rows = _batch_rows(parquet.metadata.row_group(group))
        for batch in parquet.iter_batches(n_rows, [group], columns, use_threads=False):
            batch.validate()
            yield batch
            del batch  # before the next one is read


def _check_pages(file: _WatchedFile, path: str, chunk: Chunk, max_bytes: int) -> None:
    """Refuses pages that do not fit: all are looked at where values are large or packed well, else the first ones."""
    if chunk.n_bytes <= max_bytes:
        return
    suspicious = chunk.n_bytes > _LARGE_VALUE_BYTES * chunk.n_values or chunk.n_bytes > _HIGH_RATIO * chunk.n_stored
    n_pages = chunk.n_values + 1 if suspicious else _FIRST_PAGES
    largest = largest_page(file, chunk.start, chunk.n_stored, max_bytes, n_pages)
    if largest > max_bytes:
        raise _too_large(path, "a page", "pages", largest, max_bytes)


def _check_lists(path: str, chunk: Chunk, max_bytes: int) -> None:
    """Refuses lists that do not fit: one row may have all items of its row group."""
    n_bytes = chunk.n_bytes + _ITEM_BYTES * chunk.n_values
    if n_bytes > max_bytes:
        raise _too_large(path, "lists in a row group", "row groups", n_bytes, max_bytes)


def _too_large(path: str, what: str, parts: str, n_bytes: int, max_bytes: int) -> StreamDamageError:
    return StreamDamageError(
        f"column {path} has {what} of {n_bytes >> 20} MiB decompressed; expected at most {max_bytes >> 20}:"
        f" raise corpus.max_parquet_page_mb and the memory of the workers, or write the file with smaller {parts}",
        "page_too_large",
    )


def _batch_rows(group: pq.RowGroupMetaData) -> int:
    """A row group's size bounds every value in it, but not their sum: a dictionary's entry may repeat."""
    n_bytes: int = max(1, group.total_byte_size)
    least = _MIN_BATCH_ROWS if n_bytes < group.num_rows << 20 else 1
    return min(_MAX_BATCH_ROWS, max(least, _BATCH_BYTES // n_bytes))


def _column(batch: pa.RecordBatch, path: Path) -> "pa.Array[Any]":
    column = batch.column(batch.schema.names.index(path[0]))
    return pc.struct_field(column, list(path[1:])) if path[1:] else column
