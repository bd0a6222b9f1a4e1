"""The ids of texts in one compiled pass; a pre-token met before is looked up, not merged again.

Indices are unsigned, and no function takes an array in the loop but for new pre-tokens: numba counts its references.
"""

from typing import Any, NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from pivot_udfs.runtime.intrinsics import load_word, store_word, trailing_zeros
from pivot_udfs.tokenization.cut_kernel import CUT, Joins, cut, is_ascii
from pivot_udfs.tokenization.merge_kernel import LONGEST, Merges, WholeTokens, find_whole_token, merge_pre_token
from pivot_udfs.tokenization.pre_token_table import KEPT, Table, hash_of, keep, words_of
from pivot_udfs.tokenization.split_cl100k_kernel import split_cl100k
from pivot_udfs.tokenization.split_gpt2_kernel import split_gpt2
from pivot_udfs.tokenization.split_o200k_kernel import split_o200k

GPT2, CL100K, O200K = range(3)
"""The patterns that split texts into pre-tokens."""

_U = nb.uint64
_KEPT, _CUT = np.uint64(KEPT), np.uint64(CUT)
_0, _1, _2, _3, _4, _5, _6, _7, _8 = (np.uint64(k) for k in range(9))
_32, _56, _64 = (np.uint64(k) for k in (32, 56, 64))
_LOW_32, _ALL, _MIX_1 = np.uint64((1 << 32) - 1), np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0x9E3779B97F4A7C15)


class Rules(NamedTuple):
    """A tokenizer as the loops take it."""

    pattern: int
    """GPT2, CL100K or O200K."""
    most_digits: int
    """Numerals of a pre-token (CL100K and O200K)."""
    classes: NDArray[np.uint8]
    """(0x110000,), the class of each code point, as the pattern's splitter takes them."""
    joins: Joins
    merges: Merges
    whole_tokens: WholeTokens


class Segments(NamedTuple):
    """Parts of texts between added tokens."""

    starts: NDArray[np.int64]
    """(segments,), first byte in the buffer of all texts."""
    ends: NDArray[np.int64]
    """(segments,), end byte."""
    added: NDArray[np.int32]
    """(segments,), id of the added token behind it, -1 for none."""


@nb.njit(nogil=True, cache=True)
def _split(pattern: Any, text_at: Any, start: Any, end: Any, classes_at: Any, most_digits: Any, ends: Any) -> Any:
    if pattern == GPT2:
        return split_gpt2(text_at, start, end, classes_at, ends)
    if pattern == CL100K:
        return split_cl100k(text_at, start, end, classes_at, most_digits, ends)
    return split_o200k(text_at, start, end, classes_at, most_digits, ends)


@nb.njit(nogil=True, cache=True)
def encode_segments(
    data: NDArray[np.uint8], segments: Segments, rules: Rules, table: Table
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """The ids of texts.

    Args:
        data: uint8, UTF-8 of all texts in a row, no lone surrogates; at least 32 bytes more lie behind it.
        segments: of the texts, in order.
        rules: of the tokenizer.
        table: pre-tokens not met before are added until half the rows are taken.

    Returns:
        ids int32 (tokens,); starts int64 (segments + 1,), where each segment's ids begin;
        gaps int64 (refused, 4): segment, first byte, end, and place in ids of each pre-token whose ids are missing
        there, since it has a byte without an id, or is longer than LONGEST.
    """
    pattern, most_digits, classes, joins, merges, whole_tokens = rules
    seg_starts, seg_ends, added = segments
    n_segments = seg_starts.size
    ids = np.empty(data.size + 16, np.int32)
    longest = np.max(seg_ends - seg_starts) if n_segments else 0
    ends, cuts = np.empty(longest, np.uint32), np.empty(longest, np.uint32)
    starts = np.empty(n_segments + 1, np.int64)
    gaps, n_gaps = np.empty((64, 4), np.int64), 0
    symbols = np.empty(LONGEST, np.int32)
    ranks = np.empty(LONGEST, np.int32)
    rows, more, filled, short = table
    mask = _U(rows.shape[0] - 1)
    room = rows.shape[0] // 2
    short_shift = _64 - trailing_zeros(_U(short.shape[0]))
    text_at, to = _U(data.ctypes.data), _U(ids.ctypes.data)
    classes_at = _U(classes.ctypes.data)
    joined_at = _U(joins.bytes.ctypes.data), _U(joins.pairs.ctypes.data)
    most, has_whole = _U(most_digits), whole_tokens.ids.size > 0
    o = _0
    for segment in range(n_segments):
        starts[segment] = o
        start, stop = _U(seg_starts[segment]), _U(seg_ends[segment])
        if is_ascii(text_at + start, stop - start):
            n_slices = _split(pattern, text_at, start, stop, classes_at, most, cuts)
        else:
            n_pre_tokens = _split(pattern, text_at, start, stop, classes_at, most, ends)
            n_slices = cut(text_at, start, ends, n_pre_tokens, joined_at, cuts)
        whole_start, whole_o, skipped = start, o, False
        for k in range(n_slices):  # a range: numba counts references in each turn of other loops
            about = _U(cuts[k])
            end = about & ~_CUT
            if skipped:
                gaps[n_gaps - 1, 2] = end
                skipped = about >= _CUT
                start = whole_start = end
                continue
            size = end - start
            at = text_at + start
            word = load_word(at)
            key = place = _0
            if size < _8:
                key = (word & ~(_ALL << (size << _3))) | (size << _56)
                place = (key * _MIX_1) >> short_shift
                if short[place, _0] == key:
                    ids_at = to + (o << _2)
                    store_word(ids_at, short[place, _1])
                    store_word(ids_at + _8, short[place, _2])
                    o += short[place, _3]
                    start = end
                    if about < _CUT:
                        whole_start, whole_o = start, o
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
                count = found >> _32
                if count <= _8:
                    one, two = rows[row, _4], rows[row, _5]
                    ids[o], ids[o + _1] = one & _LOW_32, one >> _32
                    ids[o + _2], ids[o + _3] = two & _LOW_32, two >> _32
                    if key and count <= _4:
                        short[place, _0], short[place, _1], short[place, _2], short[place, _3] = key, one, two, count
                    if count > _4:
                        one, two = rows[row, _6], rows[row, _7]
                        ids[o + _4], ids[o + _5] = one & _LOW_32, one >> _32
                        ids[o + _6], ids[o + _7] = two & _LOW_32, two >> _32
                else:
                    kept_at = rows[row, _4]
                    for j in range(count):
                        ids[o + j] = more[kept_at + j]
                o += count
            else:
                whole = find_whole_token(data, start, end, whole_tokens) if has_whole else -1
                if whole >= 0 and start == whole_start and about < _CUT:
                    symbols[0] = whole_tokens.ids[whole]
                    n_ids = 1
                else:
                    n_ids = -1 if size > LONGEST else merge_pre_token(data, start, end, merges, symbols, ranks)
                if n_ids < 0:
                    o, skipped = whole_o, about >= _CUT
                    if n_gaps == len(gaps):
                        gaps = np.concatenate((gaps, gaps))
                    gap = gaps[n_gaps]
                    gap[0], gap[1], gap[2], gap[3] = segment, whole_start, end, o
                    n_gaps += 1
                else:
                    for j in range(n_ids):
                        ids[o] = symbols[j]
                        o += _1
                    if kept and whole < 0 and filled[0] < room:
                        rows[row, _0], rows[row, _1], rows[row, _2] = first, second, third
                        rows[row, _3] = size | (_U(n_ids) << _32)
                        keep(rows[row, 4:], symbols[:n_ids], more, filled)
            start = end
            if about < _CUT:
                whole_start, whole_o = start, o
        if added[segment] >= 0:
            ids[o] = added[segment]
            o += _1
    starts[n_segments] = o
    return ids[:o], starts, gaps[:n_gaps]  # memory beyond was requested and never used
