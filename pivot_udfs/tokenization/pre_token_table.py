"""The table of pre-tokens that occurred before, with their ids.

A row is a cache line and holds the pre-token itself, so that nothing depends on a hash alone. Short pre-tokens that
occurred lately are in a smaller table before it, one comparison each.
"""

from typing import Any, NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from pivot_udfs.runtime.intrinsics import load_word, store_word, trailing_zeros

_U = nb.uint64
_LONGEST, _MOST_IDS = 24, 8
"""Bytes and ids of the pre-tokens that are kept."""
_0, _1, _3, _4, _5, _6, _8, _16, _24, _32, _40, _48, _56, _64 = (
    np.uint64(k) for k in (0, 1, 3, 4, 5, 6, 8, 16, 24, 32, 40, 48, 56, 64)
)
_LOW_32, _ALL = np.uint64((1 << 32) - 1), np.uint64(0xFFFFFFFFFFFFFFFF)
_MIX_1, _MIX_2, _MIX_3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)


class Table(NamedTuple):
    """Pre-tokens that occurred before; see ``new_table``."""

    rows: NDArray[np.uint64]
    """(rows, 8): three words of the pre-token, its size | number of ids << 32, and its ids two by two; zero if empty."""
    recent: NDArray[np.uint64]
    """(recent rows, 4), the last pre-token of each hash that has up to seven bytes and four ids: the pre-token with its
    size in the highest byte, its ids two by two, their number."""
    filled: NDArray[np.int64]
    """(1,), the number of rows in use."""


def new_table(n_rows: int = 1 << 19, n_recent: int = 1 << 14) -> Table:
    """An empty table; both numbers are powers of two.

    It takes 32 MB unless set otherwise, and is emptied when half the rows are in use: 262,144, about the distinct
    pre-tokens of 114 MB of text in four languages. The recent rows' 512 KB stay in a core's own cache.
    """
    flat = np.zeros(n_rows * 8 + 8, np.uint64)
    start = -flat.ctypes.data % 64 // 8
    rows = flat[start : start + n_rows * 8].reshape(n_rows, 8)
    return Table(rows, np.zeros((n_recent, 4), np.uint64), np.zeros(1, np.int64))


@nb.njit(nogil=True, cache=True)
def addresses(table: Table) -> Any:
    """A table as ``look_up`` takes it: address and mask of the rows, address and shift of the recent rows."""
    rows, recent, _ = table
    shift = _64 - trailing_zeros(_U(recent.shape[0]))
    return _U(rows.ctypes.data), _U(rows.shape[0] - 1), _U(recent.ctypes.data), shift


@nb.njit(nogil=True, cache=True)
def look_up(
    table: tuple[np.uint64, np.uint64, np.uint64, np.uint64], at: np.uint64, size: np.uint64, ids_at: np.uint64
) -> Any:
    """Writes the ids of a pre-token to an address.

    Args:
        table: ``addresses`` of the table.
        at, size: address and bytes of the pre-token; up to 24 bytes are read.
        ids_at: 32 bytes are written there at most.

    Returns:
        uint64, the number of ids; 0 where the table does not hold the pre-token.
    """
    rows_at, mask, recent_at, shift = table
    key = recent = _0
    if size < _8:
        key = (load_word(at) & ~(_ALL << (size << _3))) | (size << _56)
        recent = recent_at + (((key * _MIX_1) >> shift) << _5)
        if load_word(recent) == key:
            store_word(ids_at, load_word(recent + _8))
            store_word(ids_at + _8, load_word(recent + _16))
            return load_word(recent + _24)
    if size > _24:
        return _0
    row = _row_of(rows_at, mask, _words_of(at, size), size)
    count = load_word(row + _24) >> _32
    if count:
        one, two = load_word(row + _32), load_word(row + _40)
        store_word(ids_at, one)
        store_word(ids_at + _8, two)
        if count > _4:
            store_word(ids_at + _16, load_word(row + _48))
            store_word(ids_at + _24, load_word(row + _56))
        elif key:
            store_word(recent, key)
            store_word(recent + _8, one)
            store_word(recent + _16, two)
            store_word(recent + _24, count)
    return count


@nb.njit(nogil=True, cache=True)
def keep(table: Table, at: np.uint64, size: np.uint64, ids: NDArray[np.int32]) -> None:
    """Enters a pre-token that the table does not hold, if it is short, has few ids, and there is room."""
    rows, _, filled = table
    if size > _LONGEST or ids.size > _MOST_IDS or filled[0] >= rows.shape[0] // 2:
        return
    words = _words_of(at, size)
    rows_at, mask, _, _ = addresses(table)
    row = rows[(_row_of(rows_at, mask, words, size) - rows_at) >> _6]
    row[0], row[1], row[2] = words
    row[3] = size | (_U(ids.size) << _32)
    for j in range(ids.size):
        row[4 + (j >> 1)] |= _U(ids[j]) << _U(32 * (j & 1))
    filled[0] += 1


@nb.njit(nogil=True, cache=True)
def make_room(table: Table) -> None:
    """Empties a table that is half full; its recent pre-tokens stay, since they are overwritten one by one."""
    rows, _, filled = table
    if filled[0] >= rows.shape[0] // 2:
        rows[:] = 0
        filled[0] = 0


@nb.njit(nogil=True, cache=True)
def _row_of(rows_at: Any, mask: Any, words: tuple[Any, Any, Any], size: Any) -> Any:
    """Address of the row that holds a pre-token, or of the empty row where it belongs."""
    first, second, third = words
    row = (first ^ (second * _MIX_2) ^ (third * _MIX_3)) * _MIX_1
    row ^= row >> _32
    while True:
        at = rows_at + ((row & mask) << _6)
        found = load_word(at + _24)
        differs = (load_word(at) ^ first) | (load_word(at + _8) ^ second) | (load_word(at + _16) ^ third)
        if found == _0 or differs | ((found & _LOW_32) ^ size) == _0:
            return at
        row += _1


@nb.njit(nogil=True, cache=True)
def _words_of(at: Any, size: Any) -> Any:
    """The bytes of a pre-token, up to 24, as three words."""
    first, second, third = load_word(at), _0, _0
    if size <= _8:
        return first & (_ALL >> ((_8 - size) << _3)), second, third
    second = load_word(at + _8)
    if size <= _16:
        return first, second & (_ALL >> ((_16 - size) << _3)), third
    return first, second, load_word(at + _16) & (_ALL >> ((_24 - size) << _3))
