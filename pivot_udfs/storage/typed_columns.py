"""Columns and schemas with their types: by those of pyarrow a column is of any kind, and each value may be None."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_Array = TypeVar("_Array", bound="pa.Array[Any]")


def pylist(values: "pa.Array[Any] | pa.ChunkedArray[Any] | pa.RecordBatch") -> list[Any]:
    """The values of a column, or rows, as Python objects, of whose types the caller is sure."""
    return values.to_pylist()


def typed_column(rows: pa.RecordBatch, name: str, kind: type[_Array]) -> _Array:
    """A column as the kind of array that its type in the schema has."""
    return cast(_Array, rows.column(name))


def utf8_of(texts: "pa.Array[pa.StringScalar]") -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes of all texts, and where each begins in them, int64 (n_texts + 1,)."""
    _, offsets, data = (memoryview(b"" if buffer is None else buffer) for buffer in texts.buffers())
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    places = np.frombuffer(offsets, width)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    return np.frombuffer(data, np.uint8), places


def required(name: str, kind: pa.DataType) -> "pa.Field[Any]":
    """A field without nulls."""
    return pa.field(name, kind, nullable=False)


def schema_of(kinds: Mapping[str, pa.DataType]) -> pa.Schema:
    """The schema with these columns, which may hold nulls."""
    return pa.schema(kinds)
