"""Byte pair encoding of pieces in one compiled pass; a piece met before is looked up, not merged again.

A table keeps the pieces met before with their ids. Its rows are cache lines, and hold the piece itself (up to 24
bytes), so that nothing rests on a hash. Rows that begin at a cache line are looked up 1.2 times as fast as rows that
straddle two (side by side, English pieces met before).

Indices are unsigned, and no function takes an array in the loop but for new pieces: numba counts its references.
"""

import numba as nb
import numpy as np
from numpy.typing import NDArray

MOST_IDS, NO_MERGE = (1 << 22) - 1, (1 << 20) - 1
"""More ids or merges than these do not fit the table of merges; NO_MERGE is the rank of a pair without one."""
LONGEST = 1024
"""Bytes of a piece beyond which it goes elsewhere: merging takes the square of it."""

_U = nb.uint64
_INLINE, _KEPT = np.uint64(8), np.uint64(24)
_0, _1, _2, _3, _4, _5, _6, _7, _8 = (np.uint64(k) for k in range(9))
_16, _20, _22, _32, _63 = (np.uint64(k) for k in (16, 20, 22, 32, 63))
_LOW_20, _LOW_32 = np.uint64((1 << 20) - 1), np.uint64((1 << 32) - 1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_MIX_1, _MIX_2, _MIX_3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)

Table = tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.int64]]
"""See ``piece_table``."""
Merges = tuple[NDArray[np.int32], NDArray[np.uint64], NDArray[np.int32]]
"""The id of each byte, int32 (256,), -1 for none; ``merge_table``; int32 (merges,), the id that each merge makes."""


def piece_table(n_rows: int) -> Table:
    """An empty table of pieces.

    Args:
        n_rows: a power of two.

    Returns:
        rows: uint64 (n_rows, 8), each one cache line: three words of the piece, its size | number of ids << 32, and
            eight ids two by two, or the place of more than eight in ``more``; zero where empty;
        more: int32, room for those of half the rows;
        filled: int64 (2,), rows taken, and ids in ``more``.
    """
    flat = np.zeros(n_rows * 8 + 8, np.uint64)
    start = -flat.ctypes.data % 64 // 8
    rows = flat[start : start + n_rows * 8].reshape(n_rows, 8)
    return rows, np.zeros(n_rows // 2 * int(_KEPT), np.int32), np.zeros(2, np.int64)


def make_room(table: Table) -> None:
    """Empties a table that is half full."""
    rows, _, filled = table
    if 2 * filled[0] >= len(rows):
        rows[:], filled[:] = 0, 0


@nb.njit(nogil=True, cache=True)
def merge_table(pairs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Slots by hash for the pairs of ids that merge.

    Args:
        pairs: uint64 (merges, 2), in the order in which they were learned.

    Returns:
        uint64 (slots,), a power of two: left << 42 | right << 20 | rank, all ones where empty.
    """
    size = 16
    while size < 2 * len(pairs):
        size *= 2
    slots = np.full(size, _ALL, np.uint64)
    for rank in range(len(pairs)):
        pair = (pairs[rank, 0] << _22) | pairs[rank, 1]
        slot = pair * _MIX_1
        slot = (slot ^ (slot >> _32)) & _U(size - 1)
        while slots[slot] != _ALL and slots[slot] >> _20 != pair:
            slot = (slot + _1) & _U(size - 1)
        slots[slot] = (pair << _20) | _U(rank)
    return slots


@nb.njit(nogil=True, cache=True)
def _merged(
    data: NDArray[np.uint8], start: int, end: int, merges: Merges, symbols: NDArray[np.int32], ranks: NDArray[np.int32]
) -> int:
    """Puts the ids of one piece into ``symbols`` and gives their number, -1 where a byte has no id.

    Source: byte pair encoding (Sennrich et al., 2016): the pair that was learned first is merged first, the leftmost of
    several.
    """
    byte_ids, slots, merged_ids = merges
    n = 0
    for i in range(start, end):
        symbols[n] = byte_ids[data[i]]
        if symbols[n] < 0:
            return -1
        n += 1
    mask = _U(slots.size - 1)
    low, high = 0, n - 1
    while True:
        for j in range(low, high):
            pair = (_U(symbols[j]) << _22) | _U(symbols[j + 1])
            slot = pair * _MIX_1
            slot = (slot ^ (slot >> _32)) & mask
            while slots[slot] >> _20 != pair and slots[slot] != _ALL:
                slot = (slot + _1) & mask
            ranks[j] = slots[slot] & _LOW_20
        best = 0
        for j in range(1, n - 1):
            if ranks[j] < ranks[best]:
                best = j
        if n < 2 or ranks[best] == NO_MERGE:
            return n
        symbols[best] = merged_ids[ranks[best]]
        n -= 1
        for j in range(best + 1, n):
            symbols[j] = symbols[j + 1]
            ranks[j] = ranks[j + 1]
        low, high = max(best - 1, 0), min(best + 1, n - 1)


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
def encode_pieces(
    data: NDArray[np.uint8],
    words: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    ends: NDArray[np.uint32],
    firsts: NDArray[np.int64],
    table: Table,
    merges: Merges,
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """The ids of all pieces.

    Args:
        data, words, offsets: as for ``piece_kernel.piece_ends``.
        ends, firsts: what it gave.
        table: pieces not met before are added until half the rows are taken.
        merges: of the tokenizer.

    Returns:
        ids int32 (tokens,); starts int64 (texts + 1,), where each text's ids begin;
        gaps int64 (refused, 4): text, first byte, end, and place in ids of each piece whose ids are missing there,
        since it has a byte without an id, or is longer than LONGEST.
    """
    n_texts = firsts.size - 1
    ids = np.empty(offsets[n_texts] - offsets[0] + 16, np.int32)
    starts = np.empty(n_texts + 1, np.int64)
    gaps, n_gaps = np.empty((64, 4), np.int64), 0
    symbols = np.empty(LONGEST, np.int32)
    ranks = np.empty(LONGEST, np.int32)
    rows, more, filled = table
    mask = _U(rows.shape[0] - 1)
    room = rows.shape[0] // 2
    o = _0
    for text in range(n_texts):
        starts[text] = o
        start = _U(offsets[text])
        for piece in range(firsts[text], firsts[text + 1]):
            end = _U(ends[piece])
            size = end - start
            kept = size <= _KEPT
            row = _0
            found = False
            if kept:
                shift, k = (start & _7) << _3, start >> _3
                beyond = words[k + _1]
                first = (words[k] >> shift) | ((beyond << _1) << (_63 - shift))
                second = third = _0
                if size <= _8:
                    first &= _ALL >> ((_8 - size) << _3)
                else:
                    further = words[k + _2]
                    second = (beyond >> shift) | ((further << _1) << (_63 - shift))
                    if size <= _16:
                        second &= _ALL >> ((_16 - size) << _3)
                    else:
                        third = (further >> shift) | ((words[k + _3] << _1) << (_63 - shift))
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
                    if count > _4:
                        one, two = rows[row, _6], rows[row, _7]
                        ids[o + _4], ids[o + _5] = one & _LOW_32, one >> _32
                        ids[o + _6], ids[o + _7] = two & _LOW_32, two >> _32
                else:
                    place = rows[row, _4]
                    for j in range(count):
                        ids[o + j] = more[place + j]
                o += count
            else:
                count = -1 if size > LONGEST else _merged(data, start, end, merges, symbols, ranks)
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
    whole = ids[:o] if 2 * o > ids.size else ids[:o].copy()  # most of a large array, rather than two
    return whole, starts, gaps[:n_gaps]
