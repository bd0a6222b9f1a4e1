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
    byte_ranks: NDArray[np.int32]
    """(65536,), the rank of two bytes' merge, at first * 256 + second; NO_MERGE for none."""


class WholeTokens(NamedTuple):
    """Tokens that a pre-token of the same bytes becomes at once, without merges (``ignore_merges``)."""

    data: NDArray[np.uint8]
    """The bytes of all tokens in a row."""
    offsets: NDArray[np.int64]
    """(tokens + 1,), where each begins."""
    ids: NDArray[np.int32]
    """(tokens,)."""
    slots: NDArray[np.int32]
    """A power of two more than ``tokens``: which token, by the hash of its bytes; -1 where empty."""


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
    byte_ids, slots, merged_ids, byte_ranks = merges
    n = 0
    for i in range(start, end):
        symbols[n] = byte_ids[data[i]]
        if symbols[n] < 0:
            return -1
        if i + 1 < end:
            ranks[n] = byte_ranks[(int(data[i]) << 8) | int(data[i + 1])]
        n += 1
    mask = _U(slots.size - 1)
    low, high = 0, 0
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


@nb.njit(nogil=True, cache=True)
def _hash(data: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    found = _U(end - start)
    for i in range(start, end):
        found = (found ^ _U(data[i])) * _MIX
        found ^= found >> _32
    return found


@nb.njit(nogil=True, cache=True)
def find_whole_token(data: NDArray[np.uint8], start: int, end: int, tokens: WholeTokens) -> int:
    """Which of the tokens has the bytes ``data[start:end]``, -1 for none."""
    mask = _U(tokens.slots.size - 1)
    slot = _hash(data, start, end) & mask
    while tokens.slots[slot] >= 0:
        token = tokens.slots[slot]
        first = tokens.offsets[token]
        if tokens.offsets[token + 1] - first == end - start:
            k = 0
            while k < end - start and tokens.data[first + k] == data[start + k]:
                k += 1
            if k == end - start:
                return int(token)
        slot = (slot + _1) & mask
    return -1


@nb.njit(nogil=True, cache=True)
def whole_token_table(data: NDArray[np.uint8], offsets: NDArray[np.int64], ids: NDArray[np.int32]) -> WholeTokens:
    """The table of some tokens, without their equals; arguments as the fields of ``WholeTokens``."""
    size = 2
    while size < 2 * ids.size:
        size *= 2
    slots = np.full(size, -1, np.int32)
    for token in range(ids.size):
        slot = _hash(data, offsets[token], offsets[token + 1]) & _U(size - 1)
        while slots[slot] >= 0:
            slot = (slot + _1) & _U(size - 1)
        slots[slot] = token
    return WholeTokens(data, offsets, ids, slots)


@nb.njit(nogil=True, cache=True)
def are_merged(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], ids: NDArray[np.int32], merges: Merges
) -> NDArray[np.bool_]:
    """Whether merging the bytes of each token gives the token itself, bool (tokens,); False if longer than LONGEST."""
    found = np.zeros(ids.size, np.bool_)
    symbols, ranks = np.empty(LONGEST, np.int32), np.empty(LONGEST, np.int32)
    for token in range(ids.size):
        start, end = offsets[token], offsets[token + 1]
        if end - start <= LONGEST:
            count = merge_pre_token(data, start, end, merges, symbols, ranks)
            found[token] = count == 1 and symbols[0] == ids[token]
    return found
