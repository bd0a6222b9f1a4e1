"""The table of pre-tokens met before, with their ids.

Its rows are cache lines and hold the pre-token itself (up to 24 bytes), so that nothing rests on a hash. Rows that
begin at a cache line are looked up 1.2 times as fast as rows that straddle two (side by side, English pre-tokens met
before). Short pre-tokens met lately are in a smaller table before it, a word and a comparison each: 1.2 times as fast
again on four languages.
"""

from typing import Any, NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from pivot_udfs.runtime.intrinsics import load_word

KEPT = 24
"""The most bytes of a pre-token that is kept."""
_SHORT_ROWS = 1 << 14  # 512 KB, which stay in a core's own cache
_U = nb.uint64
_0, _1, _3, _8, _16, _24, _32 = (np.uint64(k) for k in (0, 1, 3, 8, 16, KEPT, 32))
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_MIX_1, _MIX_2, _MIX_3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)


class Table(NamedTuple):
    """Pre-tokens met before; see ``new_table``."""

    rows: NDArray[np.uint64]
    """(rows, 8), each one cache line: three words of the pre-token, its size | number of ids << 32, and eight ids two
    by two, or the place of more than eight in ``more``; zero where empty."""
    more: NDArray[np.int32]
    """Room for the ids of half the rows."""
    filled: NDArray[np.int64]
    """(2,), rows taken, and ids in ``more``."""
    short: NDArray[np.uint64]
    """(_SHORT_ROWS, 4), of pre-tokens of up to seven bytes and four ids those met last, one for each hash: the
    pre-token and, in the highest byte, its size; its ids two by two; their number."""


def new_table(n_rows: int) -> Table:
    """An empty table; ``n_rows`` is a power of two."""
    flat = np.zeros(n_rows * 8 + 8, np.uint64)
    start = -flat.ctypes.data % 64 // 8
    return Table(
        flat[start : start + n_rows * 8].reshape(n_rows, 8),
        np.zeros(n_rows // 2 * KEPT, np.int32),
        np.zeros(2, np.int64),
        np.zeros((_SHORT_ROWS, 4), np.uint64),
    )


@nb.njit(nogil=True, cache=True)
def words_of(at: Any, size: Any) -> Any:
    """The bytes of a pre-token, up to 24, as three words."""
    first, second, third = load_word(at), _0, _0
    if size <= _8:
        return first & (_ALL >> ((_8 - size) << _3)), second, third
    second = load_word(at + _8)
    if size <= _16:
        return first, second & (_ALL >> ((_16 - size) << _3)), third
    return first, second, load_word(at + _16) & (_ALL >> ((_24 - size) << _3))


@nb.njit(nogil=True, cache=True)
def hash_of(first: Any, second: Any, third: Any) -> Any:
    """A hash of three words, uint64."""
    found = (first ^ (second * _MIX_2) ^ (third * _MIX_3)) * _MIX_1
    return found ^ (found >> _32)


@nb.njit(nogil=True, cache=True)
def keep(
    values: NDArray[np.uint64], ids: NDArray[np.int32], more: NDArray[np.int32], filled: NDArray[np.int64]
) -> None:
    """Writes a pre-token's ids to its row of the table, or, where they are more than eight, to ``more``."""
    if ids.size > 8:
        values[0] = filled[1]
        more[filled[1] : filled[1] + ids.size] = ids
        filled[1] += ids.size
    else:
        for j in range(ids.size):
            values[j >> 1] |= _U(ids[j]) << _U(32 * (j & 1))
    filled[0] += 1


@nb.njit(nogil=True, cache=True)
def make_room(table: Table, data: NDArray[np.uint8], offsets: NDArray[np.int64], ids: NDArray[np.int32]) -> None:
    """Empties a table that is new or half full, but for its short pre-tokens, and enters the tokens of a vocabulary.

    Args:
        table: short pre-tokens stay in it: they are overwritten one by one.
        data, offsets, ids: tokens that their own bytes merge to: bytes, where each begins, and ids.
    """
    rows, more, filled, _ = table
    if 0 < filled[0] < rows.shape[0] // 2:
        return
    rows[:] = 0
    filled[:] = 0
    at, mask = _U(data.ctypes.data), _U(rows.shape[0] - 1)
    for token in range(ids.size):
        size = _U(offsets[token + 1] - offsets[token])
        if 0 < size <= _24:
            first, second, third = words_of(at + _U(offsets[token]), size)
            row = hash_of(first, second, third) & mask
            while rows[row, 3]:
                row = (row + _1) & mask
            rows[row, 0], rows[row, 1], rows[row, 2], rows[row, 3] = first, second, third, size | (_1 << _32)
            keep(rows[row, 4:], ids[token : token + 1], more, filled)
