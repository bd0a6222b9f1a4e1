"""The compiled loops for hits against hits, and for plain totals; same shape as ``cooccurrence_kernel``.

Hits are ordered by document and start, word ids by (language, word): the smaller id of a pair is its row, so every
pair of hits is counted once. A pair counts when the languages differ, the character spans do not overlap, and the
token positions are at most ``window`` apart (design, Word pairs).

Shape legend: H hits, D documents, R words.
"""

from typing import Any

import numba as nb
import numpy as np

from pivot_udfs.counting.context_kernel import DOCS, dense_arrays, emit_row

_U = nb.uint64


@nb.njit(nogil=True, cache=True)
def count_word_pairs(
    words: Any, word_languages: Any, firsts: Any, char_starts: Any, char_ends: Any, hit_docs: Any,
    doc_hits: Any, order: Any, row_starts: Any, from_row: Any, window: Any, longest: Any, out_rows: Any,
    out_columns: Any, out_pairs: Any, out_docs: Any,
) -> Any:  # fmt: skip
    """Counts pairs of hits, row by row, until the output has no room for another row.

    Args:
        words: int32 (H,), word id of each hit.
        word_languages: int (R,), language number of each word.
        firsts: unsigned (H,), token position of each hit's first character.
        char_starts, char_ends: int64 (H,), span of each hit in its text (any unit that orders spans).
        hit_docs: int32 (H,), document of each hit.
        doc_hits: int64 (D + 1,), where each document's hits begin.
        order, row_starts: from ``group_by_row(words, R)``.
        from_row: 0, then what the last call returned.
        window: largest distance in tokens; WHOLE_DOCUMENT for all.
        longest: no hit spans more than this, in the unit of ``char_starts``.
        out_rows int32, out_columns int32, out_pairs int64, out_docs int64: (capacity >= R,).

    Returns:
        (n_cells, next_row); all rows are done when next_row is R.
    """
    n_words = word_languages.size
    state, touched, here = dense_arrays(n_words)
    at = 0
    for row in range(from_row, row_starts.size - 1):
        if out_rows.size - at < n_words:
            return at, row
        language = word_languages[row]
        k = row_starts[row]
        while k < row_starts[row + 1]:
            hit = nb.int64(order[_U(k)])
            doc = hit_docs[hit]
            mark = _U(doc + 1) << _U(32)
            low, high = doc_hits[doc], doc_hits[doc + 1]
            if nb.int64(firsts[high - 1]) - nb.int64(firsts[low]) <= window:
                k = _add_all_hits(
                    words, word_languages, char_starts, char_ends, low, high, order, k, row_starts[row +
                    1], row, doc, longest, here, state, touched,
                )  # fmt: skip
                continue
            first = nb.int64(firsts[hit])
            other = hit - 1
            while other >= low and first - nb.int64(firsts[other]) <= window:
                if (
                    char_ends[other] <= char_starts[hit]
                    and words[other] > row
                    and word_languages[words[other]] != language
                ):
                    column = _U(words[other])
                    place = column << _U(1)
                    seen = state[place + _U(1)]
                    state[place + _U(1)] = mark | ((seen & DOCS) + _U((seen & ~DOCS) != mark))
                    touched[column >> _U(6)] |= _U(1) << (column & _U(63))
                    state[place] += _U(1)
                other -= 1
            other = hit + 1
            while other < high and nb.int64(firsts[other]) - first <= window:
                if (
                    char_ends[hit] <= char_starts[other]
                    and words[other] > row
                    and word_languages[words[other]] != language
                ):
                    column = _U(words[other])
                    place = column << _U(1)
                    seen = state[place + _U(1)]
                    state[place + _U(1)] = mark | ((seen & DOCS) + _U((seen & ~DOCS) != mark))
                    touched[column >> _U(6)] |= _U(1) << (column & _U(63))
                    state[place] += _U(1)
                other += 1
            k += 1
        at = emit_row(row, at, state, touched, out_rows, out_columns, out_pairs, out_docs)
    return at, row_starts.size - 1


@nb.njit(nogil=True, cache=True)
def _add_all_hits(
    words: Any, word_languages: Any, char_starts: Any, char_ends: Any, low: Any, high: Any, order: Any, k:
    Any, k_end: Any, row: Any, doc: Any, longest: Any, here: Any, state: Any, touched: Any,
) -> Any:  # fmt: skip
    """The window reaches over the whole document: n hits of the row meet each other hit n times, less overlaps."""
    k_start = k
    while k < k_end and low <= nb.int64(order[_U(k)]) < high:
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


@nb.njit(nogil=True, cache=True)
def count_items(items: Any, doc_starts: Any, n_items: Any) -> Any:
    """How often each item occurs, and in how many documents.

    Args:
        items: unsigned or int32 (N,), each in [0, n_items), document after document.
        doc_starts: int64 (D + 1,), document d has items[doc_starts[d]:doc_starts[d + 1]].
        n_items: length of the outputs.

    Returns:
        (count int64 (n_items,), doc_count int64 (n_items,)).
    """
    counts = np.zeros(n_items, np.int64)
    docs = np.zeros(n_items, np.int64)
    last_doc = np.full(n_items, -1, np.int32)
    for doc in range(doc_starts.size - 1):
        for index in range(doc_starts[doc], doc_starts[doc + 1]):
            item = _U(items[index])
            counts[item] += 1
            if last_doc[item] != doc:
                last_doc[item] = doc
                docs[item] += 1
    return counts, docs
