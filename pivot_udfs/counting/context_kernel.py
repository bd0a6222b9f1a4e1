"""The compiled counting loops: one row at a time, counted into a dense array that stays in the cache.

All events of a row are visited together, so the array as long as the vocabulary is touched again and again and
nothing is hashed; a bitmap remembers which columns were touched and gives them back in order, so that the output is
summed and sorted without a sort. Output leaves in pieces of a fixed capacity: memory does not depend on how many cells
there are.

What made it fast, side by side on 6 million tokens: a column's pair count, document count and last document lie in one
cache line and are updated without a branch (1.5 times at window 100); events are copied into row order before, rather
than looked up through an index (2 times at window 10); 16-bit token ids where the vocabulary allows, and unsigned
indices throughout (1.5 times each).

The lines that add to a column stand in each inner loop on purpose: as a function, inlined or not, the arrays'
reference counts go up and down at every token, which was measured at six times the whole kernel's time.

Shape legend: T tokens of a block of whole documents, D documents, H events (hits), R rows, V columns.

An event covers the tokens [first, end). Its context is every token q of its document outside that span with
-left <= q - first <= right (``window`` sets both; WHOLE_DOCUMENT is beyond any).
"""

from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

from pivot_udfs.runtime.intrinsics import trailing_zeros

WHOLE_DOCUMENT = 1 << 40
"""A reach beyond any document: ``window = "document"``."""

UInt32 = npt.NDArray[np.uint32]
Int64 = npt.NDArray[np.int64]
_U = nb.uint64
DOCS = np.uint64(0xFFFFFFFF)
"""The bits of a column's second number that hold its document count."""


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
    row_starts = _row_starts(rows, n_rows)
    cursor = row_starts[:-1].copy()
    order = np.empty(rows.size, np.uint32)
    for event in range(rows.size):
        row = _U(rows[event])
        order[_U(cursor[row])] = event
        cursor[row] += 1
    return order, row_starts


@nb.njit(nogil=True, cache=True)
def group_events(rows: Any, firsts: Any, ends: Any, docs: Any, n_rows: Any) -> Any:
    """Copies events into the order of their rows, each row's in their first order.

    Args:
        rows: any integer (H,), each in [0, n_rows).
        firsts, ends: unsigned (H,), each event's token span.
        docs: int32 (H,), each event's document.
        n_rows: R.

    Returns:
        (firsts, ends, docs, row_starts int64 (R + 1,)).
    """
    row_starts = _row_starts(rows, n_rows)
    cursor = row_starts[:-1].copy()
    grouped_firsts, grouped_ends, grouped_docs = np.empty_like(firsts), np.empty_like(ends), np.empty_like(docs)
    for event in range(rows.size):
        row = _U(rows[event])
        at = _U(cursor[row])
        grouped_firsts[at], grouped_ends[at], grouped_docs[at] = firsts[event], ends[event], docs[event]
        cursor[row] += 1
    return grouped_firsts, grouped_ends, grouped_docs, row_starts


@nb.njit(nogil=True, cache=True)
def _row_starts(rows: Any, n_rows: Any) -> Any:
    row_starts = np.zeros(n_rows + 1, np.int64)
    for row in rows:
        row_starts[_U(row) + _U(1)] += 1
    for row in range(n_rows):
        row_starts[row + 1] += row_starts[row]
    return row_starts


@nb.njit(nogil=True, cache=True)
def dense_arrays(n_columns: Any) -> Any:
    """Zeroed arrays of a kernel, for V columns.

    Returns:
        state uint64 (2 V,): at 2 c the pair count of column c, at 2 c + 1 the last document's number plus 1 in the
        upper and the document count in the lower 32 bits;
        touched uint64 (ceil(V / 64),), a bit a column; here int64 (V,).
    """
    touched = np.zeros((n_columns + 63) // 64, np.uint64)
    return np.zeros(2 * n_columns, np.uint64), touched, np.zeros(n_columns, np.int64)


@nb.njit(nogil=True, cache=True)
def emit_row(
    row: Any, at: Any, state: Any, touched: Any, out_rows: Any, out_columns: Any, out_pairs: Any, out_docs: Any
) -> Any:
    """Writes a row's cells from ``at`` on, in order of column, clears the arrays, and returns the new ``at``."""
    at = _U(at)
    for index in range(touched.size):
        word = touched[_U(index)]
        if word == _U(0):
            continue
        touched[_U(index)] = _U(0)
        while word != _U(0):
            column = _U(index) * _U(64) + trailing_zeros(word)
            word &= word - _U(1)
            place = column << _U(1)
            out_rows[at] = row
            out_columns[at] = column
            out_pairs[at] = state[place]
            out_docs[at] = state[place + _U(1)] & DOCS
            at += _U(1)
            state[place] = _U(0)
            state[place + _U(1)] = _U(0)
    return nb.int64(at)


@nb.njit(nogil=True, cache=True)
def count_contexts(
    token_ids: Any, doc_starts: Any, firsts: Any, ends: Any, event_docs: Any, row_starts: Any, from_row: Any,
    left: Any, right: Any, n_columns: Any, out_rows: Any, out_columns: Any, out_pairs: Any, out_docs: Any,
) -> Any:  # fmt: skip
    """Counts the context tokens of events, row by row, until the output has no room for another row.

    Args:
        token_ids: unsigned (T,), each in [0, n_columns).
        doc_starts: int64 (D + 1,), where each document begins in ``token_ids``; D < 2**32 - 1.
        firsts, ends, event_docs, row_starts: from ``group_events``; firsts ascend within a row.
        from_row: the row to begin with: 0, then what the last call returned.
        left, right: reach in tokens before and after ``first``.
        n_columns: V, at most the capacity of the outputs.
        out_rows int32, out_columns int32, out_pairs int64, out_docs int64: (capacity,), filled from 0.

    Returns:
        (n_cells, next_row); all rows are done when next_row is R.
    """
    state, touched, here = dense_arrays(n_columns)
    at = 0
    for row in range(from_row, row_starts.size - 1):
        if out_rows.size - at < n_columns:
            return at, row
        k = row_starts[row]
        while k < row_starts[row + 1]:
            doc = event_docs[_U(k)]
            mark = _U(doc + 1) << _U(32)
            doc_start, doc_end = doc_starts[_U(doc)], doc_starts[_U(doc) + _U(1)]
            if min(left, right) >= doc_end - doc_start:
                k = _add_whole_document(
                    token_ids, doc_start, doc_end, firsts, ends, event_docs, k, row_starts[row + 1], doc, here,
                    state, touched,
                )  # fmt: skip
                continue
            first = nb.int64(firsts[_U(k)])
            for side in range(2):
                low = nb.int64(ends[_U(k)]) if side else max(doc_start, first - left)
                high = min(doc_end, first + right + 1) if side else first
                for q in range(low, high):
                    column = _U(token_ids[_U(q)])
                    place = column << _U(1)
                    seen = state[place + _U(1)]
                    state[place + _U(1)] = mark | ((seen & DOCS) + _U((seen & ~DOCS) != mark))
                    touched[column >> _U(6)] |= _U(1) << (column & _U(63))
                    state[place] += _U(1)
            k += 1
        at = emit_row(row, at, state, touched, out_rows, out_columns, out_pairs, out_docs)
    return at, row_starts.size - 1


@nb.njit(nogil=True, cache=True)
def _add_whole_document(
    token_ids: Any, doc_start: Any, doc_end: Any, firsts: Any, ends: Any, event_docs: Any, k: Any, k_end: Any,
    doc: Any, here: Any, state: Any, touched: Any,
) -> Any:  # fmt: skip
    """All events of one row in one document at once: n events see every token n times, less their own spans."""
    k_start = k
    while k < k_end and event_docs[_U(k)] == doc:
        for q in range(firsts[_U(k)], ends[_U(k)]):
            here[_U(token_ids[_U(q)])] -= 1
        k += 1
    for q in range(doc_start, doc_end):
        here[_U(token_ids[_U(q)])] += k - k_start
    mark = _U(doc + 1) << _U(32)
    for q in range(doc_start, doc_end):
        column = _U(token_ids[_U(q)])
        if here[column] != 0:
            place = column << _U(1)
            seen = state[place + _U(1)]
            state[place + _U(1)] = mark | ((seen & DOCS) + _U((seen & ~DOCS) != mark))
            touched[column >> _U(6)] |= _U(1) << (column & _U(63))
            state[place] += _U(here[column])
            here[column] = 0
    return k
