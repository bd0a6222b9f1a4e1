"""The ids of texts in one compiled pass, text by text; a piece met before is looked up, not merged again.

A table keeps the pieces met before with their ids. Its rows are cache lines, and hold the piece itself (up to 24
bytes), so that nothing rests on a hash. Rows that begin at a cache line are looked up 1.2 times as fast as rows that
straddle two (side by side, English pieces met before). Short pieces met lately stand in a smaller table before it, a
word and a comparison each: 1.2 times as fast again on four languages.

Indices are unsigned, and no function takes an array in the loop but for new pieces: numba counts its references.
"""

import numba as nb
import numpy as np
from numpy.typing import NDArray

from pivot_udfs.runtime.intrinsics import load_word, store_word, trailing_zeros
from pivot_udfs.tokenization.merge_kernel import Merges, merge_piece
from pivot_udfs.tokenization.pretokenize_kernel import piece_ends

LONGEST = 1024
"""Bytes of a piece beyond which it goes elsewhere: merging takes the square of it."""

_SHORT_ROWS = 1 << 14  # 512 KB, which stay in a core's own cache
_U = nb.uint64
_INLINE, _KEPT = np.uint64(8), np.uint64(24)
_0, _1, _2, _3, _4, _5, _6, _7, _8 = (np.uint64(k) for k in range(9))
_16, _32, _56, _64 = (np.uint64(k) for k in (16, 32, 56, 64))
_LOW_32, _ALL = np.uint64((1 << 32) - 1), np.uint64(0xFFFFFFFFFFFFFFFF)
_MIX_1, _MIX_2, _MIX_3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)

Table = tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.int64], NDArray[np.uint64]]
"""See ``piece_table``."""


def piece_table(n_rows: int) -> Table:
    """An empty table of pieces.

    Args:
        n_rows: a power of two.

    Returns:
        rows: uint64 (n_rows, 8), each one cache line: three words of the piece, its size | number of ids << 32, and
            eight ids two by two, or the place of more than eight in ``more``; zero where empty;
        more: int32, room for those of half the rows;
        filled: int64 (2,), rows taken, and ids in ``more``;
        short: uint64 (_SHORT_ROWS, 4), of pieces of up to seven bytes and four ids those met last, one for each hash:
            the piece and, in the highest byte, its size; its ids two by two; their number.
    """
    flat = np.zeros(n_rows * 8 + 8, np.uint64)
    start = -flat.ctypes.data % 64 // 8
    rows = flat[start : start + n_rows * 8].reshape(n_rows, 8)
    return (
        rows,
        np.zeros(n_rows // 2 * int(_KEPT), np.int32),
        np.zeros(2, np.int64),
        np.zeros((_SHORT_ROWS, 4), np.uint64),
    )


def make_room(table: Table) -> None:
    """Empties a table that is half full, but for its short pieces: they are overwritten one by one."""
    rows, _, filled, _ = table
    if 2 * filled[0] >= len(rows):
        rows[:], filled[:] = 0, 0


@nb.njit(nogil=True, cache=True)
def _keep(
    values: NDArray[np.uint64], ids: NDArray[np.int32], more: NDArray[np.int32], filled: NDArray[np.int64]
) -> None:
    """Puts a piece's ids into its row of the table, or, where they are more than eight, into ``more``."""
    if ids.size > 8:
        values[0] = filled[1]
        more[filled[1] : filled[1] + ids.size] = ids
        filled[1] += ids.size
    else:
        for j in range(ids.size):
            values[j >> 1] |= _U(ids[j]) << _U(32 * (j & 1))
    filled[0] += 1


@nb.njit(nogil=True, cache=True)
def encode_texts(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    joins: NDArray[np.uint8],
    table: Table,
    merges: Merges,
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """The ids of texts.

    Args:
        data: uint8, UTF-8 of all texts in a row, no lone surrogates; at least 32 bytes more lie behind it.
        offsets: int64 (texts + 1,), where each text begins in ``data``.
        kinds, joins: as for ``piece_kernel.piece_ends``.
        table: pieces not met before are added until half the rows are taken.
        merges: of the tokenizer.

    Returns:
        ids int32 (tokens,); starts int64 (texts + 1,), where each text's ids begin;
        gaps int64 (refused, 4): text, first byte, end, and place in ids of each piece whose ids are missing there,
        since it has a byte without an id, or is longer than LONGEST.
    """
    n_texts = offsets.size - 1
    ids = np.empty(data.size + 16, np.int32)
    ends = np.empty(np.max(np.diff(offsets)) if n_texts else 0, np.uint32)
    starts = np.empty(n_texts + 1, np.int64)
    gaps, n_gaps = np.empty((64, 4), np.int64), 0
    symbols = np.empty(LONGEST, np.int32)
    ranks = np.empty(LONGEST, np.int32)
    rows, more, filled, short = table
    mask = _U(rows.shape[0] - 1)
    room = rows.shape[0] // 2
    short_shift = _64 - trailing_zeros(_U(short.shape[0]))
    text_at, to = _U(data.ctypes.data), _U(ids.ctypes.data)
    o = _0
    for text in range(n_texts):
        starts[text] = o
        start = _U(offsets[text])
        for piece in range(piece_ends(data, start, _U(offsets[text + 1]), kinds, joins, ends)):
            end = _U(ends[piece])
            size = end - start
            piece_at = text_at + start
            word = load_word(piece_at)
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
                    second = load_word(piece_at + _8)
                    if size <= _16:
                        second &= _ALL >> ((_16 - size) << _3)
                    else:
                        third = load_word(piece_at + _16)
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
                if count <= _INLINE:
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
                count = -1 if size > LONGEST else merge_piece(data, start, end, merges, symbols, ranks)
                if count < 0:
                    if n_gaps == len(gaps):
                        gaps = np.concatenate((gaps, gaps))
                    gap = gaps[n_gaps]
                    gap[0], gap[1], gap[2], gap[3] = text, start, end, o
                    n_gaps += 1
                else:
                    for j in range(count):
                        ids[o] = symbols[j]
                        o += _1
                    if kept and filled[0] < room:
                        rows[row, _0], rows[row, _1], rows[row, _2] = first, second, third
                        rows[row, _3] = size | (_U(count) << _32)
                        _keep(rows[row, 4:], symbols[:count], more, filled)
            start = end
    starts[n_texts] = o
    return ids[:o], starts, gaps[:n_gaps]  # beyond, memory was asked for and never used
