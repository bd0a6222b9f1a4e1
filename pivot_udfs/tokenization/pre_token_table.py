"""The table of pre-tokens that occurred before, with their ids.

A row is a cache line and holds the pre-token itself, so that nothing depends on a hash alone. Short pre-tokens that
occurred lately are in a smaller table before it, one comparison each.
"""

from typing import Any, NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from pivot_udfs.runtime.intrinsics import load_word

_U = nb.uint64
KEPT, MOST_KEPT = 24, 8
"""The most bytes and ids of a pre-token that is kept."""
_0, _3, _8, _16, _24, _32 = (np.uint64(k) for k in (0, 3, 8, 16, KEPT, 32))
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_MIX_1, _MIX_2, _MIX_3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)


class Table(NamedTuple):
    """Pre-tokens that occurred before; see ``new_table``."""

    rows: NDArray[np.uint64]
    """(rows, 8): three words of the pre-token, its size | number of ids << 32, its ids two by two; zero if empty."""
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
def keep(values: NDArray[np.uint64], ids: NDArray[np.int32]) -> None:
    """Writes the ids of a pre-token, at most MOST_KEPT, to its row of the table."""
    for j in range(ids.size):
        values[j >> 1] |= _U(ids[j]) << _U(32 * (j & 1))


@nb.njit(nogil=True, cache=True)
def make_room(table: Table) -> None:
    """Empties a table that is half full; its recent pre-tokens stay, since they are overwritten one by one."""
    rows, _, filled = table
    if filled[0] >= rows.shape[0] // 2:
        rows[:] = 0
        filled[0] = 0


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
