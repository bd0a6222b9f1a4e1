"""How large the column chunks of a Parquet file and their pages are.

pyarrow decompresses a page as a whole and does not show its size. It shows that of chunks, but ends the process where
an entry of the footer is damaged or encrypted (``RowGroupMetaData.column`` passes no C++ exception on). Footer and
page headers are Thrift structs in the compact protocol, of which a few numbers are needed.
"""

from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

_ROW_GROUPS, _COLUMNS, _META_DATA, _CRYPTO_METADATA = 4, 1, 3, 8  # field ids from FileMetaData to ColumnChunk
_CHUNKS: "_Wanted" = {_ROW_GROUPS: {_COLUMNS: {_META_DATA: {}, _CRYPTO_METADATA: {}}}}
_CHUNK_SIZES = (5, 6, 7, 9)  # field ids of ColumnMetaData, in the order of Chunk's fields
_DICTIONARY_PAGE = 11
_UNCOMPRESSED_SIZE, _COMPRESSED_SIZE = 2, 3  # field ids of PageHeader
_FIXED_BYTES = {1: 0, 2: 0, 3: 1, 7: 8}  # true, false, byte, double
_INTEGERS, _BINARY, _LISTS, _STRUCT = (4, 5, 6), 8, (9, 10), 12
_HEADER_BYTES = 8 << 10
_MAX_HEADER_BYTES = 16 << 20
_TAIL_BYTES = 8  # length of the footer, and the format's name
_NEXT_FILE = b"PAR1PAR1"
_MAX_INDEX_BYTES = 1 << 20

_Wanted = Mapping[int, "_Wanted"]
"""Ids of fields that are structs, or lists of structs, and what is wanted of these."""


class Chunk(NamedTuple):
    """A column's part of a row group."""

    n_values: int
    n_bytes: int
    n_stored: int
    start: int


def column_chunks(file: Any) -> list[list[Chunk | None]]:
    """Of each row group, the chunks of the schema's leaves in order; None for one that is encrypted.

    ``file`` is a seekable file whose footer pyarrow has read. Raises ValueError where an entry is damaged, or the file
    is several ones in a row, of which the footer knows the last one only.
    """
    n_file_bytes = file.seek(0, 2)
    file.seek(n_file_bytes - _TAIL_BYTES)
    n_bytes = int.from_bytes(file.read(4), "little")
    footer_start = file.seek(n_file_bytes - _TAIL_BYTES - n_bytes)
    try:
        footer = _struct(file.read(n_bytes), 0, _CHUNKS)[0]
        groups = [[_chunk(chunk) for chunk in group[_COLUMNS]] for group in footer[_ROW_GROUPS]]
    except (IndexError, KeyError):
        raise ValueError("the footer has an incomplete row group") from None
    ends = [chunk.start + chunk.n_stored for group in groups for chunk in group if chunk]
    _check_one_file(file, footer_start - max(ends, default=footer_start))
    return groups


def _check_one_file(file: Any, n_between: int) -> None:
    """Raises ValueError where other files lie before the one of the footer.

    The footer counts from the start of its own file, so that the bytes between its chunks and itself are those of its
    indexes, which are few, and of all files before.
    """
    start = max(0, n_between - _MAX_INDEX_BYTES)
    file.seek(start)
    if n_between > 0 and _NEXT_FILE in file.read(n_between - start + len(_NEXT_FILE)):
        raise ValueError("the file is several Parquet files in a row: give each by itself")


def _chunk(chunk: dict[int, Any]) -> Chunk | None:
    if _CRYPTO_METADATA in chunk:
        return None
    n_values, n_bytes, n_stored, start = (chunk[_META_DATA][size] for size in _CHUNK_SIZES)
    return Chunk(n_values, n_bytes, n_stored, chunk[_META_DATA].get(_DICTIONARY_PAGE) or start)


def largest_page(file: Any, start: int, n_bytes: int, enough: int, max_pages: int = 1 << 31) -> int:
    """Uncompressed bytes of the largest page of a column chunk, or of the first one above ``enough``.

    Up to ``max_pages`` pages are looked at. Raises ValueError where a header is damaged.
    """
    largest, at, n_pages = 0, start, 0
    while at < start + n_bytes and largest <= enough and n_pages < max_pages:
        header, header_bytes = _read_header(file, at)
        if min(header.get(_UNCOMPRESSED_SIZE, -1), header.get(_COMPRESSED_SIZE, -1)) < 0:
            raise ValueError(f"no page header at byte {at}")
        largest = max(largest, header[_UNCOMPRESSED_SIZE])
        at, n_pages = at + header_bytes + header[_COMPRESSED_SIZE], n_pages + 1
    return largest


def _read_header(file: BinaryIO, at: int) -> tuple[dict[int, int], int]:
    n_bytes = _HEADER_BYTES
    while n_bytes <= _MAX_HEADER_BYTES:
        file.seek(at)
        data = file.read(n_bytes)
        try:
            return _struct(data, 0, {})
        except IndexError:
            if len(data) < n_bytes:
                break
            n_bytes *= 8
    raise ValueError(f"no page header at byte {at}")


def _struct(data: bytes, at: int, wanted: _Wanted) -> tuple[dict[int, Any], int]:
    """The integer and the wanted fields of a struct, and where it ends."""
    values: dict[int, Any] = {}
    field = 0
    while head := data[at]:
        kind, step, at = head & 15, head >> 4, at + 1
        if not step:
            field, at = _signed(data, at)
        field += step
        if kind in _INTEGERS:
            values[field], at = _signed(data, at)
        elif field in wanted:
            values[field], at = _structs(data, at, kind, wanted[field])
        else:
            at = _skip(data, at, kind)
    return values, at + 1


def _structs(data: bytes, at: int, kind: int, wanted: _Wanted) -> tuple[Any, int]:
    if kind == _STRUCT:
        return _struct(data, at, wanted)
    items = []
    count, _, at = _list_head(data, at)
    for _ in range(count):
        item, at = _struct(data, at, wanted)
        items.append(item)
    return items, at


def _skip(data: bytes, at: int, kind: int) -> int:
    if kind in _FIXED_BYTES:
        at += _FIXED_BYTES[kind]
    elif kind == _BINARY:
        n_bytes, at = _unsigned(data, at)
        at += n_bytes
    elif kind in _LISTS:
        at = _skip_list(data, at)
    elif kind == _STRUCT:
        at = _struct(data, at, {})[1]
    else:
        raise ValueError(f"unknown Thrift type {kind}")
    if at > len(data):
        raise IndexError
    return at


def _skip_list(data: bytes, at: int) -> int:
    count, kind, at = _list_head(data, at)
    for _ in range(count):
        at = _signed(data, at)[1] if kind in _INTEGERS else _skip(data, at, 3 if kind in (1, 2) else kind)
    return at


def _list_head(data: bytes, at: int) -> tuple[int, int, int]:
    """Number and type of a list's items, and where they begin."""
    count, kind, at = data[at] >> 4, data[at] & 15, at + 1
    if count == 15:
        count, at = _unsigned(data, at)
    return count, kind, at


def _unsigned(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _signed(data: bytes, at: int) -> tuple[int, int]:
    value, at = _unsigned(data, at)
    return value >> 1 ^ -(value & 1), at
