"""Rows of counts on their way to their sums, packed.

A row is one Arrow row, its columns and counts packed as bytes: Spark shuffles and sorts some thousand rows, not
millions of cells. Few counts need more than two bytes.
"""

from collections.abc import Iterator
from enum import IntEnum
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pivot_udfs.storage.typed_columns import required

PARTIAL_ROWS = pa.schema(
    [
        required("kind", pa.int32()),  # a Kind
        required("row", pa.int32()),  # word id; group of sources in TOKEN_SOURCES; 0 in the totals
        required("columns", pa.binary()),  # int32: token or word ids, ascending, each once
        required("pair_counts", pa.binary()),  # int16, int32 or int64, one a column
        required("doc_counts", pa.binary()),  # int16, int32 or int64, one a column
    ]
)
Counts = tuple[npt.NDArray[np.int32], npt.NDArray[Any], npt.NDArray[Any]]
"""Columns, pair counts and document counts of a row, each (N,); counts are signed integers of any width."""
_WIDTHS = (np.int16, np.int32, np.int64)


class Kind(IntEnum):
    """Which table a row of counts belongs to."""

    TOKEN_COOCCURRENCE = 0
    WORD_COOCCURRENCE = 1
    WORD_TOTALS = 2
    TOKEN_TOTALS = 3
    TOKEN_SOURCES = 4


def packed_rows(kind: Kind, rows: Any, columns: Any, pairs: Any, docs: Any) -> pa.RecordBatch:
    """Cells (int32, int32, int64, int64, each (N,)), ordered by row, as a batch in PARTIAL_ROWS; they are copied."""
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    cells = [slice(*ends) for ends in pairwise([*starts.tolist(), len(rows)])]
    return _batch(np.full(len(starts), kind), rows[starts], [(columns[of], pairs[of], docs[of]) for of in cells])


def unpacked_rows(batch: pa.RecordBatch) -> Iterator[tuple[tuple[int, int], Counts]]:
    """(kind, row) and counts of each row of a batch in PARTIAL_ROWS, without copies."""
    for kind, row, *packed in zip(*batch.columns, strict=True):
        columns, *counts = (value.as_buffer() for value in packed)
        n_cells = columns.size // np.dtype(np.int32).itemsize
        pairs, docs = (np.frombuffer(values, f"i{values.size // n_cells}") for values in counts)
        yield (kind.as_py(), row.as_py()), (np.frombuffer(columns, np.int32), pairs, docs)


def negated_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch in PARTIAL_ROWS with all counts negated."""
    cells = [(columns, -pairs, -docs) for _, (columns, pairs, docs) in unpacked_rows(batch)]
    return _batch(batch.column("kind"), batch.column("row"), cells)


def _batch(kinds: Any, rows: Any, cells: list[Counts]) -> pa.RecordBatch:
    packed = [(columns.tobytes(), _narrowed(pairs), _narrowed(docs)) for columns, pairs, docs in cells]
    columns = [kinds, rows, *(zip(*packed, strict=True) if packed else [()] * 3)]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, PARTIAL_ROWS, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=PARTIAL_ROWS)


def _narrowed(counts: npt.NDArray[Any]) -> bytes:
    """Counts (N,), N > 0, in the narrowest integers of ``_WIDTHS`` that hold them and their negatives."""
    most = max(int(counts.max()), -int(counts.min()))
    return counts.astype(next(kind for kind in _WIDTHS if most <= np.iinfo(kind).max)).tobytes()
