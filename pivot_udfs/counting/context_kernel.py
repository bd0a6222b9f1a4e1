"""The compiled loop that counts contexts: the tokens within a window of each hit.

Every token in the window counts one, whatever its distance; weights by distance (GloVe's ``distance_weighting``) would
be added in the inner loop of ``count_contexts``, with ``state`` in fixed-point units.

Shape legend: T tokens of a block of whole documents, D documents, H events (hits), R rows, V columns.
"""

from typing import Any, NamedTuple

import numba as nb
import numpy.typing as npt

from pivot_udfs.counting.dense_row import DOCS, Cells, DenseRow, Int32, Int64, UInt32, emit_row, new_row

_U = nb.uint64


class Tokens(NamedTuple):
    """The token ids of D documents in a row."""

    ids: npt.NDArray[Any]
    """Any integer (T,)."""
    doc_starts: Int64
    """(D + 1,), document d is ids[doc_starts[d]:doc_starts[d + 1]]."""


class Events(NamedTuple):
    """Hits in the order of their rows, from ``order_by_row``; within a row ``firsts`` ascend."""

    firsts: UInt32
    """(H,), first token of the hit."""
    ends: UInt32
    """(H,), one past its last token."""
    docs: Int32
    """(H,)."""
    row_starts: Int64
    """(R + 1,), where each row begins."""


@nb.njit(nogil=True, cache=True)
def count_contexts(
    tokens: Tokens, events: Events, from_row: int, left: int, right: int, n_columns: int, out: Cells
) -> tuple[int, int]:
    """Counts the context tokens of events, row by row, until the output has no room for another row.

    The context of an event [first, end) is every token q of its document outside that span with -left <= q - first <=
    right (WHOLE_DOCUMENT for all). Token ids are unsigned, in [0, n_columns), which is at most the capacity of ``out``;
    D < 2**32 - 1; ``from_row`` is 0, then what the last call returned. Returns (n_cells, next_row); all rows are done
    when next_row is R.
    """
    ids, doc_starts = tokens
    firsts, ends, docs, row_starts = events
    counts = new_row(n_columns)
    state, touched, _ = counts
    at = 0
    for row in range(from_row, row_starts.size - 1):
        if out.rows.size - at < n_columns:
            return at, row
        k = row_starts[row]
        while k < row_starts[row + 1]:
            doc = docs[_U(k)]
            mark = _U(doc + 1) << _U(32)
            doc_start, doc_end = doc_starts[_U(doc)], doc_starts[_U(doc) + _U(1)]
            if min(left, right) >= doc_end - doc_start:
                k = _add_whole_document(tokens, events, k, row_starts[row + 1], counts)
                continue
            first = nb.int64(firsts[_U(k)])
            for side in range(2):
                low = nb.int64(ends[_U(k)]) if side else max(doc_start, first - left)
                high = min(doc_end, first + right + 1) if side else first
                for q in range(low, high):
                    column = _U(ids[_U(q)])
                    place = column << _U(1)
                    seen = state[place + _U(1)]
                    state[place + _U(1)] = mark | ((seen & DOCS) + _U((seen & ~DOCS) != mark))
                    touched[column >> _U(6)] |= _U(1) << (column & _U(63))
                    state[place] += _U(1)
            k += 1
        at = emit_row(row, at, counts, out)
    return at, row_starts.size - 1


@nb.njit(nogil=True, cache=True)
def _add_whole_document(tokens: Tokens, events: Events, k: int, k_end: int, counts: DenseRow) -> int:
    """All events of one row in one document at once: n events see every token n times, less their own spans.

    Returns the first event after them.
    """
    ids, doc_starts = tokens
    firsts, ends, docs, _ = events
    state, touched, here = counts
    k_start, doc = k, docs[_U(k)]
    while k < k_end and docs[_U(k)] == doc:
        for q in range(firsts[_U(k)], ends[_U(k)]):
            here[_U(ids[_U(q)])] -= 1
        k += 1
    for q in range(doc_starts[doc], doc_starts[doc + 1]):
        here[_U(ids[_U(q)])] += k - k_start
    mark = _U(doc + 1) << _U(32)
    for q in range(doc_starts[doc], doc_starts[doc + 1]):
        column = _U(ids[_U(q)])
        if here[column] != 0:
            place = column << _U(1)
            seen = state[place + _U(1)]
            state[place + _U(1)] = mark | ((seen & DOCS) + _U((seen & ~DOCS) != mark))
            touched[column >> _U(6)] |= _U(1) << (column & _U(63))
            state[place] += _U(here[column])
            here[column] = 0
    return k
