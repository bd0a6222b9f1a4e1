"""The compiled counting loops: one row at a time, counted into dense arrays that stay in the cache.

All events of a row are visited together, so the arrays as long as the vocabulary (pair count, document count, the
last document seen) are touched again and again and nothing is hashed; a bitmap remembers which columns were
touched and gives them back in order, so that the output is summed and sorted without a sort. 16-bit token ids where
the vocabulary allows, and unsigned indices throughout, are worth a factor of 1.5 each. Output leaves in pieces of a
fixed capacity: memory does not depend on how many cells there are.

The five lines that add to a column stand in each inner loop on purpose: as a function, inlined or not, the arrays'
reference counts go up and down at every token, which was measured at six times the whole kernel's time.

Shape legend: T tokens of a block of whole documents, D documents, H events (hits), R rows, V columns.

An event covers the tokens [first, end). Its context is every token q of its document outside that span with
-left <= q - first <= right (``window`` sets both; WHOLE_DOCUMENT is beyond any).
"""

from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import intrinsic

WHOLE_DOCUMENT = 1 << 40
"""A reach beyond any document: ``window = "document"``."""

UInt32 = npt.NDArray[np.uint32]
Int64 = npt.NDArray[np.int64]
_U = nb.uint64


@intrinsic
def _trailing_zeros(typingctx: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], context.get_constant(types.boolean, 1))

    return types.uint64(types.uint64), codegen


@nb.njit(nogil=True, cache=True)
def group_by_row(rows: npt.NDArray[Any], n_rows: int) -> tuple[UInt32, Int64]:
    """A stable counting sort of events by row.

    Args:
        rows: any integer (H,), each in [0, n_rows); H < 2**32.
        n_rows: R.

    Returns:
        order uint32 (H,): event numbers row by row, each row's in their first order;
        row_starts int64 (R + 1,): where each row begins in ``order``.
    """
    row_starts = np.zeros(n_rows + 1, np.int64)
    for row in rows:
        row_starts[_U(row) + _U(1)] += 1
    for row in range(n_rows):
        row_starts[row + 1] += row_starts[row]
    cursor = row_starts[:-1].copy()
    order = np.empty(rows.size, np.uint32)
    for event in range(rows.size):
        row = _U(rows[event])
        order[_U(cursor[row])] = event
        cursor[row] += 1
    return order, row_starts


@nb.njit(nogil=True, cache=True)
def emit_row(
    row: Any, at: Any, pairs: Any, docs: Any, last_doc: Any, touched: Any, out_rows: Any, out_columns:
    Any, out_pairs: Any, out_docs: Any,
) -> Any:  # fmt: skip
    """Writes a row's cells from ``at`` on, in order of column, clears the arrays, and returns the new ``at``."""
    at = _U(at)
    for index in range(touched.size):
        word = touched[_U(index)]
        touched[_U(index)] = _U(0)
        while word != _U(0):
            column = _U(index) * _U(64) + _trailing_zeros(word)  # type: ignore[call-arg]
            word &= word - _U(1)
            out_rows[at] = row
            out_columns[at] = column
            out_pairs[at] = pairs[column]
            out_docs[at] = docs[column]
            at += _U(1)
            pairs[column] = 0
            docs[column] = 0
            last_doc[column] = -1
    return nb.int64(at)


@nb.njit(nogil=True, cache=True)
def count_contexts(
    token_ids: Any, doc_starts: Any, firsts: Any, ends: Any, event_docs: Any, order: Any, row_starts: Any,
    from_row: Any, left: Any, right: Any, n_columns: Any, out_rows: Any, out_columns: Any, out_pairs: Any,
    out_docs: Any,
) -> Any:  # fmt: skip
    """Counts the context tokens of events, row by row, until the output has no room for another row.

    Args:
        token_ids: unsigned (T,), each in [0, n_columns).
        doc_starts: int64 (D + 1,), where each document begins in ``token_ids``.
        firsts, ends: unsigned (H,), the token span [first, end) of each event; ascending within a row.
        event_docs: int32 (H,), the document of each event.
        order, row_starts: from ``group_by_row``.
        from_row: the row to begin with: 0, then what the last call returned.
        left, right: reach in tokens before and after ``first``.
        n_columns: V, at most the capacity of the outputs.
        out_rows int32, out_columns int32, out_pairs int64, out_docs int64: (capacity,), filled from 0.

    Returns:
        (n_cells, next_row); all rows are done when next_row is R.
    """
    pairs, docs, last_doc, touched, here = dense_arrays(n_columns)
    at = 0
    for row in range(from_row, row_starts.size - 1):
        if out_rows.size - at < n_columns:
            return at, row
        k = row_starts[row]
        while k < row_starts[row + 1]:
            doc = event_docs[_U(order[_U(k)])]
            doc_start, doc_end = doc_starts[_U(doc)], doc_starts[_U(doc) + _U(1)]
            if min(left, right) >= doc_end - doc_start:
                k = _add_whole_document(
                    token_ids, doc_start, doc_end, firsts, ends, event_docs, order, k, row_starts[row +
                    1], doc, here, pairs, docs, last_doc, touched,
                )  # fmt: skip
                continue
            event = _U(order[_U(k)])
            first = nb.int64(firsts[event])
            for q in range(max(doc_start, first - left), first):
                column = _U(token_ids[_U(q)])
                if last_doc[column] != doc:
                    last_doc[column] = doc
                    docs[column] += 1
                    touched[column >> _U(6)] |= _U(1) << (column & _U(63))
                pairs[column] += 1
            for q in range(ends[event], min(doc_end, first + right + 1)):
                column = _U(token_ids[_U(q)])
                if last_doc[column] != doc:
                    last_doc[column] = doc
                    docs[column] += 1
                    touched[column >> _U(6)] |= _U(1) << (column & _U(63))
                pairs[column] += 1
            k += 1
        at = emit_row(row, at, pairs, docs, last_doc, touched, out_rows, out_columns, out_pairs, out_docs)
    return at, row_starts.size - 1


@nb.njit(nogil=True, cache=True)
def dense_arrays(n_columns: Any) -> Any:
    """Zeroed (pairs, docs, last_doc, touched, here) of a kernel, for V columns."""
    return (
        np.zeros(n_columns, np.int64),
        np.zeros(n_columns, np.int32),
        np.full(n_columns, -1, np.int32),
        np.zeros((n_columns + 63) // 64, np.uint64),
        np.zeros(n_columns, np.int64),
    )


@nb.njit(nogil=True, cache=True)
def _add_whole_document(
    token_ids: Any, doc_start: Any, doc_end: Any, firsts: Any, ends: Any, event_docs: Any, order: Any, k:
    Any, k_end: Any, doc: Any, here: Any, pairs: Any, docs: Any, last_doc: Any, touched: Any,
) -> Any:  # fmt: skip
    """All events of one row in one document at once: n events see every token n times, less their own spans."""
    k_start = k
    while k < k_end and event_docs[_U(order[_U(k)])] == doc:
        event = _U(order[_U(k)])
        for q in range(firsts[event], ends[event]):
            here[_U(token_ids[_U(q)])] -= 1
        k += 1
    for q in range(doc_start, doc_end):
        here[_U(token_ids[_U(q)])] += k - k_start
    for q in range(doc_start, doc_end):
        column = _U(token_ids[_U(q)])
        if here[column] != 0:
            if last_doc[column] != doc:
                last_doc[column] = doc
                docs[column] += 1
                touched[column >> _U(6)] |= _U(1) << (column & _U(63))
            pairs[column] += here[column]
            here[column] = 0
    return k
