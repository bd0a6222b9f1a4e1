"""The compiled loop that counts word pairs: hits of two languages within a window of each other.

Hits are ordered by document and start, word ids by (language, word): the smaller id of a pair is its row, so every pair
of hits is counted once. Shape legend: H hits, D documents, R words.
"""

from typing import NamedTuple

import numba as nb

from pivot_udfs.counting.dense_row import DOCS, Cells, DenseRow, Int32, Int64, UInt32, emit_row, new_row

_U = nb.uint64


class PlacedHits(NamedTuple):
    """Hits by document and start, and by word."""

    words: Int32
    """(H,), word id."""
    firsts: UInt32
    """(H,), token position of the first character, in the block."""
    char_starts: Int32
    """(H,), span in its text, in any unit that orders spans."""
    char_ends: Int32
    """(H,)."""
    docs: Int32
    """(H,)."""
    doc_hits: Int64
    """(D + 1,), where each document's hits begin."""
    order: UInt32
    """(H,), hits by word: from ``order_by_row``."""
    row_starts: Int64
    """(R + 1,), where each word's hits begin in ``order``."""


@nb.njit(nogil=True, cache=True)
def count_word_pairs(
    hits: PlacedHits, word_languages: Int32, from_row: int, window: int, longest: int, out: Cells
) -> tuple[int, int]:
    """Counts pairs of hits, row by row, until the output has no room for another row.

    A pair counts when the languages differ, the character spans do not overlap, and the token positions are at most
    ``window`` apart (WHOLE_DOCUMENT for all). ``word_languages`` (R,) are language numbers; ``from_row`` is 0, then
    what the last call returned; no hit spans more than ``longest``, in the unit of ``char_starts``; the capacity of
    ``out`` is at least R. Returns (n_cells, next_row); all rows are done when next_row is R.
    """
    words, firsts, char_starts, char_ends, docs, doc_hits, order, row_starts = hits
    counts = new_row(word_languages.size)
    state, touched, _ = counts
    at = 0
    for row in range(from_row, row_starts.size - 1):
        if out.rows.size - at < word_languages.size:
            return at, row
        language = word_languages[row]
        k = row_starts[row]
        while k < row_starts[row + 1]:
            hit = nb.int64(order[_U(k)])
            mark = _U(docs[hit] + 1) << _U(32)
            low, high = doc_hits[docs[hit]], doc_hits[docs[hit] + 1]
            if nb.int64(firsts[high - 1]) - nb.int64(firsts[low]) <= window:
                k = _add_whole_document(hits, word_languages, k, row, longest, counts)
                continue
            first = nb.int64(firsts[hit])
            for step in (-1, 1):
                other = hit + step
                while low <= other < high and abs(nb.int64(firsts[other]) - first) <= window:
                    before, after = min(hit, other), max(hit, other)
                    if (
                        char_ends[before] <= char_starts[after]
                        and words[other] > row
                        and word_languages[words[other]] != language
                    ):
                        column = _U(words[other])
                        place = column << _U(1)
                        seen = state[place + _U(1)]
                        state[place + _U(1)] = mark | ((seen & DOCS) + _U((seen & ~DOCS) != mark))
                        touched[column >> _U(6)] |= _U(1) << (column & _U(63))
                        state[place] += _U(1)
                    other += step
            k += 1
        at = emit_row(row, at, counts, out)
    return at, row_starts.size - 1


@nb.njit(nogil=True, cache=True)
def _add_whole_document(
    hits: PlacedHits, word_languages: Int32, k: int, row: int, longest: int, counts: DenseRow
) -> int:
    """The window covers the whole document: n hits of the row meet each other hit n times, less overlaps.

    Returns the first of the row's hits after them.
    """
    words, _, char_starts, char_ends, docs, doc_hits, order, row_starts = hits
    state, touched, here = counts
    k_start, doc = k, docs[order[_U(k)]]
    low, high = doc_hits[doc], doc_hits[doc + 1]
    while k < row_starts[row + 1] and low <= nb.int64(order[_U(k)]) < high:
        hit = nb.int64(order[_U(k)])
        other = hit - 1
        while other >= low and char_starts[other] > char_starts[hit] - longest:
            if char_ends[other] > char_starts[hit]:
                here[words[other]] -= 1
            other -= 1
        other = hit + 1
        while other < high and char_starts[other] < char_ends[hit]:
            here[words[other]] -= 1
            other += 1
        k += 1
    for other in range(low, high):
        here[words[other]] += k - k_start
    mark = _U(doc + 1) << _U(32)
    for other in range(low, high):
        word = words[other]
        if here[word] > 0 and word > row and word_languages[word] != word_languages[row]:
            column = _U(word)
            place = column << _U(1)
            seen = state[place + _U(1)]
            state[place + _U(1)] = mark | ((seen & DOCS) + _U((seen & ~DOCS) != mark))
            touched[column >> _U(6)] |= _U(1) << (column & _U(63))
            state[place] += _U(here[column])
        here[word] = 0
    return k
