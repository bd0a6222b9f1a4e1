"""Arrow columns as the values that a record may have; no content of any type raises.

Strings are decoded from their bytes one by one; integers (decimals of scale 0 too), UUIDs and the items of lists are
taken; every other type, of which some cannot be converted to Python at all (dates out of range, unknown time zones), is
only named.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyarrow import types

from pivot_udfs.shards.quarantine_reasons import RAW_BYTES
from pivot_udfs.shards.validate_record import Oversized, Unsupported

_TEXTS = (
    *(types.is_string, types.is_large_string, types.is_string_view, types.is_fixed_size_binary),
    *(types.is_binary, types.is_large_binary, types.is_binary_view),
)
_LISTS = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view)
_MAX_LABELS = 32
"""Items of a list that are looked at."""


def column_values(column: Any, max_bytes: int) -> Iterator[Any]:
    """The values of an Arrow array of any type, in order, each converted when it is asked for.

    None, str, int, list (of 32 items at most), ``bytes`` (the start of what is not UTF-8), ``Oversized`` for strings of
    more than ``max_bytes``, or ``Unsupported``. Raises IndexError where a dictionary lacks an entry: the file is
    damaged.
    """
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType) and str(kind.storage_type) in ("string", "large_string"):
        yield from column_values(column.storage, max_bytes)
    elif isinstance(kind, pa.UuidType):
        yield from (None if value is None else str(value) for value in column.to_pylist())
    elif types.is_dictionary(kind):
        for place in column.indices.to_pylist():
            yield None if place is None else next(column_values(_entry(column.dictionary, place), max_bytes))
    elif any(is_kind(kind) for is_kind in _TEXTS):
        yield from (_text(value, max_bytes) for value in column)
    elif types.is_integer(kind):
        yield from column.to_pylist()
    elif types.is_decimal(kind) and kind.scale == 0:
        yield from (None if value is None else int(value) for value in column.to_pylist())
    elif any(is_kind(kind) for is_kind in _LISTS):
        for value in column:
            yield None if value.values is None else list(column_values(value.values[:_MAX_LABELS], max_bytes))
    else:
        yield from (Unsupported(str(kind)) if valid else None for valid in column.is_valid().to_pylist())


def _entry(dictionary: Any, place: int) -> Any:
    if not 0 <= place < len(dictionary):
        raise IndexError(f"entry {place} of a dictionary of {len(dictionary)}")
    return dictionary[place : place + 1]


def _text(value: Any, max_bytes: int) -> Any:
    data = value.as_buffer()
    if data is None:
        return None
    if data.size > max_bytes:
        return Oversized(data.size)
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        return data.slice(0, min(data.size, RAW_BYTES)).to_pybytes()
