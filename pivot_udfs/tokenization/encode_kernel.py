"""The ids of texts in one compiled pass; a pre-token that occurred before is looked up, not merged again.

Indices are unsigned, and no function takes an array in the loop but for new pre-tokens: numba counts its references.
"""

from typing import NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from pivot_udfs.runtime.intrinsics import load_word, store_word, trailing_zeros
from pivot_udfs.tokenization.merge_kernel import LONGEST, Merges, merge_pre_token
from pivot_udfs.tokenization.pre_token_table import KEPT, MOST_KEPT, Table, hash_of, keep, make_room, words_of
from pivot_udfs.tokenization.pretokenize_kernel import CUT, Joins, pretokenize

_U = nb.uint64
_CUT, _KEPT = np.uint64(CUT), np.uint64(KEPT)
_0, _1, _2, _3, _4, _5, _6, _7, _8 = (np.uint64(k) for k in range(9))
_16, _24, _32, _56, _64 = (np.uint64(k) for k in (16, 24, 32, 56, 64))
_LOW_32, _ALL, _MIX = np.uint64((1 << 32) - 1), np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0x9E3779B97F4A7C15)


class Rules(NamedTuple):
    """A tokenizer as the loops take it."""

    classes: NDArray[np.uint8]
    """(0x110000,), the class of each code point."""
    joins: Joins
    merges: Merges


@nb.njit(nogil=True, cache=True)
def encode_texts(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], rules: Rules, table: Table
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """The ids of texts: UTF-8 in a row, each beginning at ``offsets`` (texts + 1,), with 32 bytes or more behind them.

    New pre-tokens are entered in the table until half its rows are in use. Returns ids (tokens,); starts (texts + 1,),
    where each text's ids begin; gaps (refused, 4): text, first byte, end, and place in ids of each pre-token whose ids
    are missing there, since it has a byte without an id or is longer than LONGEST.
    """
    make_room(table)
    classes, joins, merges = rules
    n_texts = offsets.size - 1
    ids, starts = np.empty(data.size + 16, np.int32), np.empty(n_texts + 1, np.int64)
    longest = np.max(offsets[1:] - offsets[:-1]) if n_texts else 0
    ends, cuts = np.empty(longest, np.uint32), np.empty(longest, np.uint32)
    gaps, n_gaps = np.empty((64, 4), np.int64), 0
    symbols, ranks = np.empty(LONGEST, np.int32), np.empty(LONGEST, np.int32)
    text_at, ids_at = _U(data.ctypes.data), _U(ids.ctypes.data)
    tables = _U(classes.ctypes.data), _U(joins.bytes.ctypes.data), _U(joins.pairs.ctypes.data)
    rows, recent, filled = table
    mask, room = _U(rows.shape[0] - 1), rows.shape[0] // 2
    shift = _64 - trailing_zeros(_U(recent.shape[0]))
    o = _0
    for text in range(n_texts):
        starts[text] = o
        start = _U(offsets[text])
        n_slices = pretokenize(text_at, start, _U(offsets[text + 1]), tables, ends, cuts)
        pre_token, pre_token_o, skipped = start, o, False
        for k in range(n_slices):  # a range: numba counts references in each turn of other loops
            about = _U(cuts[k])
            end = about & ~_CUT
            if skipped:
                gaps[n_gaps - 1, 2] = end
                skipped = about >= _CUT
                start = pre_token = end
                continue
            size = end - start
            at = text_at + start
            key = place = _0
            if size < _8:
                key = (load_word(at) & ~(_ALL << (size << _3))) | (size << _56)
                place = (key * _MIX) >> shift
                if recent[place, _0] == key:
                    store_word(ids_at + (o << _2), recent[place, _1])
                    store_word(ids_at + (o << _2) + _8, recent[place, _2])
                    o += recent[place, _3]
                    start = end
                    if about < _CUT:
                        pre_token, pre_token_o = start, o
                    continue
            kept = size <= _KEPT
            row = first = second = third = found = _0
            if kept:
                first, second, third = words_of(at, size)
                row = hash_of(first, second, third) & mask
                while True:
                    found = rows[row, _3]
                    differs = (rows[row, _0] ^ first) | (rows[row, _1] ^ second) | (rows[row, _2] ^ third)
                    if found == _0 or differs | ((found & _LOW_32) ^ size) == _0:
                        break
                    row = (row + _1) & mask
            if found:
                count, one, two = found >> _32, rows[row, _4], rows[row, _5]
                store_word(ids_at + (o << _2), one)
                store_word(ids_at + (o << _2) + _8, two)
                if count > _4:
                    store_word(ids_at + (o << _2) + _16, rows[row, _6])
                    store_word(ids_at + (o << _2) + _24, rows[row, _7])
                elif key:
                    recent[place, _0], recent[place, _1], recent[place, _2], recent[place, _3] = key, one, two, count
                o += count
            else:
                n_ids = -1 if size > LONGEST else merge_pre_token(data, start, end, merges, symbols, ranks)
                if n_ids < 0:
                    o, skipped = pre_token_o, about >= _CUT
                    if n_gaps == len(gaps):
                        gaps = np.concatenate((gaps, gaps))
                    gap = gaps[n_gaps]
                    gap[0], gap[1], gap[2], gap[3] = text, pre_token, end, o
                    n_gaps += 1
                else:
                    for j in range(n_ids):
                        ids[o] = symbols[j]
                        o += _1
                    if kept and n_ids <= MOST_KEPT and filled[0] < room:
                        rows[row, _0], rows[row, _1], rows[row, _2] = first, second, third
                        rows[row, _3] = size | (_U(n_ids) << _32)
                        keep(rows[row, 4:], symbols[:n_ids])
                        filled[0] += 1
            start = end
            if about < _CUT:
                pre_token, pre_token_o = start, o
    starts[n_texts] = o
    return ids[:o], starts, gaps[:n_gaps]  # memory beyond was requested and never used
