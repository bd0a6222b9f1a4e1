"""How large the pages of a Parquet column chunk are: pyarrow does not show it, and decompresses a page as a whole.

Page headers are Thrift structs in the compact protocol, of which two numbers are needed.
"""

from typing import Any, BinaryIO

_UNCOMPRESSED_SIZE, _COMPRESSED_SIZE = 2, 3  # field ids of PageHeader
_FIXED_BYTES = {1: 0, 2: 0, 3: 1, 7: 8}  # true, false, byte, double
_INTEGERS, _BINARY, _LISTS, _STRUCT = (4, 5, 6), 8, (9, 10), 12
_HEADER_BYTES = 8 << 10
_MAX_HEADER_BYTES = 16 << 20


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
            return _struct(data, 0)
        except IndexError:
            if len(data) < n_bytes:
                break
            n_bytes *= 8
    raise ValueError(f"no page header at byte {at}")


def _struct(data: bytes, at: int) -> tuple[dict[int, int], int]:
    """The integer fields of a struct, and where it ends."""
    values: dict[int, int] = {}
    field = 0
    while head := data[at]:
        kind, step, at = head & 15, head >> 4, at + 1
        if not step:
            field, at = _signed(data, at)
        field += step
        if kind in _INTEGERS:
            values[field], at = _signed(data, at)
        else:
            at = _skip(data, at, kind)
    return values, at + 1


def _skip(data: bytes, at: int, kind: int) -> int:
    if kind in _FIXED_BYTES:
        at += _FIXED_BYTES[kind]
    elif kind == _BINARY:
        n_bytes, at = _unsigned(data, at)
        at += n_bytes
    elif kind in _LISTS:
        at = _skip_list(data, at)
    elif kind == _STRUCT:
        at = _struct(data, at)[1]
    else:
        raise ValueError(f"unknown Thrift type {kind} in a page header")
    if at > len(data):
        raise IndexError
    return at


def _skip_list(data: bytes, at: int) -> int:
    count, kind, at = data[at] >> 4, data[at] & 15, at + 1
    if count == 15:
        count, at = _unsigned(data, at)
    for _ in range(count):
        at = _signed(data, at)[1] if kind in _INTEGERS else _skip(data, at, 3 if kind in (1, 2) else kind)
    return at


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
