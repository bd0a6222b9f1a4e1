"""The ids of texts in one compiled pass; a pre-token met before is looked up, not merged again.

Indices are unsigned, and no function takes an array in the loop but for new pre-tokens: numba counts its references.
"""

from typing import NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from pivot_udfs.runtime.intrinsics import load_word, store_word, trailing_zeros
from pivot_udfs.tokenization.cut_kernel import next_cut
from pivot_udfs.tokenization.merge_kernel import LONGEST, Merges, WholeTokens, find_whole_token, merge_pre_token
from pivot_udfs.tokenization.pre_token_table import KEPT, Table, keep
from pivot_udfs.tokenization.split_cl100k_kernel import split_cl100k
from pivot_udfs.tokenization.split_gpt2_kernel import split_gpt2
from pivot_udfs.tokenization.split_o200k_kernel import split_o200k

GPT2, CL100K, O200K = range(3)
"""The patterns that split texts into pre-tokens."""

_U = nb.uint64
_KEPT = np.uint64(KEPT)
_0, _1, _2, _3, _4, _5, _6, _7, _8 = (np.uint64(k) for k in range(9))
_16, _32, _56, _64 = (np.uint64(k) for k in (16, 32, 56, 64))
_LOW_32, _ALL, _HIGH = np.uint64((1 << 32) - 1), np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0x8080808080808080)
_MIX_1, _MIX_2, _MIX_3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)


class Rules(NamedTuple):
    """A tokenizer as the loops take it."""

    pattern: int
    """GPT2, CL100K or O200K."""
    most_digits: int
    """Numerals of a pre-token (CL100K and O200K)."""
    classes: NDArray[np.uint8]
    """(0x110000,), the class of each code point, as the pattern's splitter takes them."""
    joins: NDArray[np.uint64]
    """``cut_kernel.joined_characters``."""
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
def _is_ascii(at: np.uint64, size: np.uint64) -> bool:
    """Whether all of some bytes are ASCII; up to eight bytes more are read."""
    while size > _8:
        if load_word(at) & _HIGH:
            return False
        at += _8
        size -= _8
    return bool((load_word(at) & _HIGH & (_ALL >> ((_8 - size) << _3))) == _0)


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
    ends = np.empty(np.max(seg_ends - seg_starts) if n_segments else 0, np.uint32)
    starts = np.empty(n_segments + 1, np.int64)
    gaps, n_gaps = np.empty((64, 4), np.int64), 0
    symbols = np.empty(LONGEST, np.int32)
    ranks = np.empty(LONGEST, np.int32)
    rows, more, filled, short = table
    mask = _U(rows.shape[0] - 1)
    room = rows.shape[0] // 2
    short_shift = _64 - trailing_zeros(_U(short.shape[0]))
    text_at, to = _U(data.ctypes.data), _U(ids.ctypes.data)
    classes_at, joins_at = _U(classes.ctypes.data), _U(joins.ctypes.data)
    has_whole = whole_tokens.ids.size > 0
    o = _0
    for segment in range(n_segments):
        starts[segment] = o
        start, stop = _U(seg_starts[segment]), _U(seg_ends[segment])
        if pattern == GPT2:
            n_pre_tokens = split_gpt2(text_at, start, stop, classes_at, ends)
        elif pattern == CL100K:
            n_pre_tokens = split_cl100k(text_at, start, stop, classes_at, _U(most_digits), ends)
        else:
            n_pre_tokens = split_o200k(text_at, start, stop, classes_at, _U(most_digits), ends)
        for k in range(n_pre_tokens):
            whole_start, whole_end, whole_o = start, _U(ends[k]), o
            while start < whole_end:
                end = whole_end
                if not _is_ascii(text_at + start, end - start):
                    end = next_cut(text_at, start, end, joins_at)
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
                        continue
                kept = size <= _KEPT
                row = _0
                found = False
                if kept:
                    first, second, third = word, _0, _0
                    if size <= _8:
                        first &= _ALL >> ((_8 - size) << _3)
                    else:
                        second = load_word(at + _8)
                        if size <= _16:
                            second &= _ALL >> ((_16 - size) << _3)
                        else:
                            third = load_word(at + _16)
                            third &= _ALL >> ((_KEPT - size) << _3)
                    row = (first ^ (second * _MIX_2) ^ (third * _MIX_3)) * _MIX_1
                    row = (row ^ (row >> _32)) & mask
                    while True:
                        about = rows[row, _3]
                        differs = (rows[row, _0] ^ first) | (rows[row, _1] ^ second) | (rows[row, _2] ^ third)
                        if differs | ((about & _LOW_32) ^ size) == _0:
                            found = True
                            break
                        if about == _0:
                            break
                        row = (row + _1) & mask
                if found:
                    count = about >> _32
                    if count <= _8:
                        one, two = rows[row, _4], rows[row, _5]
                        ids[o], ids[o + _1] = one & _LOW_32, one >> _32
                        ids[o + _2], ids[o + _3] = two & _LOW_32, two >> _32
                        if key and count <= _4:
                            short[place, _0], short[place, _1] = key, one
                            short[place, _2], short[place, _3] = two, count
                        if count > _4:
                            one, two = rows[row, _6], rows[row, _7]
                            ids[o + _4], ids[o + _5] = one & _LOW_32, one >> _32
                            ids[o + _6], ids[o + _7] = two & _LOW_32, two >> _32
                    else:
                        kept_at = rows[row, _4]
                        for j in range(count):
                            ids[o + j] = more[kept_at + j]
                    o += count
                    start = end
                    continue
                whole = find_whole_token(data, start, end, whole_tokens) if has_whole else -1
                if whole >= 0 and start == whole_start and end == whole_end:
                    ids[o] = whole_tokens.ids[whole]
                    o += _1
                    start = end
                    continue
                count = -1 if size > LONGEST else merge_pre_token(data, start, end, merges, symbols, ranks)
                if count < 0:
                    if n_gaps == len(gaps):
                        gaps = np.concatenate((gaps, gaps))
                    gap = gaps[n_gaps]
                    gap[0], gap[1], gap[2], gap[3] = segment, whole_start, whole_end, whole_o
                    n_gaps += 1
                    o = whole_o
                    start = whole_end
                    continue
                for j in range(count):
                    ids[o] = symbols[j]
                    o += _1
                if kept and whole < 0 and filled[0] < room:
                    rows[row, _0], rows[row, _1], rows[row, _2] = first, second, third
                    rows[row, _3] = size | (_U(count) << _32)
                    keep(rows[row, 4:], symbols[:count], more, filled)
                start = end
        if added[segment] >= 0:
            ids[o] = added[segment]
            o += _1
    starts[n_segments] = o
    return ids[:o], starts, gaps[:n_gaps]  # memory beyond was requested and never used
