"""The table of pre-tokens met before, with their ids.

Its rows are cache lines and hold the pre-token itself (up to 24 bytes), so that nothing rests on a hash. Rows that
begin at a cache line are looked up 1.2 times as fast as rows that straddle two (side by side, English pre-tokens met
before). Short pre-tokens met lately are in a smaller table before it, a word and a comparison each: 1.2 times as fast
again on four languages.
"""

from typing import NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

KEPT = 24
"""The most bytes of a pre-token that is kept."""
_SHORT_ROWS = 1 << 14  # 512 KB, which stay in a core's own cache
_U = nb.uint64


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


def make_room(table: Table) -> None:
    """Empties a table that is half full, but for its short pre-tokens: they are overwritten one by one."""
    if 2 * table.filled[0] >= len(table.rows):
        table.rows[:], table.filled[:] = 0, 0


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
