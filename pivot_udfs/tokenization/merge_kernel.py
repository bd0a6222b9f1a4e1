"""Byte pair encoding of one pre-token, compiled, and the tables of a tokenizer that it reads."""

from typing import NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

MOST_IDS, NO_MERGE = (1 << 22) - 1, (1 << 20) - 1
"""More ids or merges do not fit the table of merges; NO_MERGE is the rank of a pair without one."""
LONGEST = 1024
"""Bytes beyond which a pre-token is left to the reference: merging takes the square of them."""

_U = nb.uint64
_1, _20, _22, _32 = (np.uint64(k) for k in (1, 20, 22, 32))
_LOW_20, _ALL = np.uint64((1 << 20) - 1), np.uint64(0xFFFFFFFFFFFFFFFF)
_MIX = np.uint64(0x9E3779B97F4A7C15)


class Merges(NamedTuple):
    """The merges of a tokenizer."""

    byte_ids: NDArray[np.int32]
    """(256,), the id of each byte, -1 for none."""
    slots: NDArray[np.uint64]
    """``merge_table``."""
    merged_ids: NDArray[np.int32]
    """(merges,), the id that each merge makes."""


@nb.njit(nogil=True, cache=True)
def merge_table(pairs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Slots by hash for the pairs of ids (merges, 2) that merge, in the order in which they were learned.

    uint64 (slots,), a power of two: left << 42 | right << 20 | rank, all ones where empty.
    """
    size = 16
    while size < 2 * len(pairs):
        size *= 2
    slots = np.full(size, _ALL, np.uint64)
    for rank in range(len(pairs)):
        pair = (pairs[rank, 0] << _22) | pairs[rank, 1]
        slot = pair * _MIX
        slot = (slot ^ (slot >> _32)) & _U(size - 1)
        while slots[slot] != _ALL and slots[slot] >> _20 != pair:
            slot = (slot + _1) & _U(size - 1)
        slots[slot] = (pair << _20) | _U(rank)
    return slots


@nb.njit(nogil=True, cache=True)
def merge_pre_token(
    data: NDArray[np.uint8], start: int, end: int, merges: Merges, symbols: NDArray[np.int32], ranks: NDArray[np.int32]
) -> int:
    """Writes the ids of one pre-token to ``symbols``; returns their number, -1 where a byte has no id.

    Source: byte pair encoding (Sennrich et al., 2016): the pair that was learned first is merged first, the leftmost of
    several.
    """
    byte_ids, slots, merged_ids = merges
    n = int(end - start)
    for i in range(n):
        symbols[i] = byte_ids[data[start + i]]
        if symbols[i] < 0:
            return -1
    mask = _U(slots.size - 1)
    low, high = 0, n - 1
    while True:
        for j in range(low, high):
            pair = (_U(symbols[j]) << _22) | _U(symbols[j + 1])
            slot = pair * _MIX
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
