"""Where a pre-token can be cut before it is merged: between characters that no token of the vocabulary joins.

No merge crosses such a place, so a cut there changes no id. Chinese and Japanese pre-tokens are whole clauses; what is
left of them after the cuts is mostly a word, and is met again.
"""

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from pivot_udfs.runtime.intrinsics import load_word
from pivot_udfs.tokenization.utf8_kernel import code_point, n_bytes

_BITS = 21  # 256 KB, which stay in a core's own cache
_U = nb.uint64
_MIX = np.uint64(0x9E3779B97F4A7C15)
_1, _3, _6, _21, _SHIFT, _63 = (np.uint64(k) for k in (1, 3, 6, 21, 64 - _BITS, 63))
_ASCII, _CONTINUATION, _LOW_6, _PART = np.uint64(0x80), np.uint64(0xC0), np.uint64(0x3F), np.uint64(1 << 42)


@nb.njit(nogil=True, cache=True)
def _bit_of_pair(left: Any, right: Any) -> Any:
    return (((left << _21) | right) * _MIX) >> _SHIFT


@nb.njit(nogil=True, cache=True)
def _bit_of_part(last_byte: Any, right: Any) -> Any:
    return ((_PART | (last_byte << _21) | right) * _MIX) >> _SHIFT


@nb.njit(nogil=True, cache=True)
def _is_set(joins_at: Any, bit: Any) -> Any:
    return (load_word(joins_at + ((bit >> _6) << _3)) >> (bit & _63)) & _1


@nb.njit(nogil=True, cache=True)
def next_cut(text_at: Any, start: Any, end: Any, joins_at: Any) -> Any:
    """The first place behind ``start`` where a pre-token that ends at ``end`` can be cut, or ``end``.

    ``joins_at``: address of ``joined_characters``. Characters of ASCII are never cut from each other.
    """
    left = code_point(load_word(text_at + start))
    i = start + n_bytes(left)
    while i < end:
        right = code_point(load_word(text_at + i))
        if (left | right) >= _ASCII and not _is_set(joins_at, _bit_of_pair(left, right)):
            last_byte = left if left < _ASCII else _ASCII | (left & _LOW_6)
            if not _is_set(joins_at, _bit_of_part(last_byte, right)):
                return i
        left = right
        i += n_bytes(right)
    return end


@nb.njit(nogil=True, cache=True)
def joined_characters(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A set of hashes of two characters that stand beside each other in a token: uint64 (1 << 15,), used as bits.

    A token may begin or end within a character. If it ends so, all characters with these first bytes count. If it
    begins so, the pair of its last byte before the second character and that character counts.

    Args:
        data: uint8, the bytes of all tokens in a row; 8 bytes more lie behind them.
        offsets: int64 (tokens + 1,), where each begins.
    """
    joins = np.zeros(1 << (_BITS - 6), np.uint64)
    data_at = _U(data.ctypes.data)
    for token in range(offsets.size - 1):
        start, end = offsets[token], offsets[token + 1]
        before = -1
        for i in range(start, end):
            byte = _U(data[i])
            if byte & _CONTINUATION == _ASCII:
                continue
            if i > start:
                width = 1 + int(byte >= 0xC0) + int(byte >= 0xE0) + int(byte >= 0xF0)
                missing = _U(6 * max(i + width - end, 0))
                first = (code_point(load_word(data_at + _U(i))) >> missing) << missing
                left = code_point(load_word(data_at + _U(before))) if before >= 0 else _U(data[i - 1])
                for right in range(first, first + (_1 << missing)):
                    if before < 0:
                        bit = _bit_of_part(left, right)
                    elif left >= _ASCII or right >= _ASCII:
                        bit = _bit_of_pair(left, right)
                    else:
                        continue
                    joins[bit >> _6] |= _1 << (bit & _63)
            before = i
    return joins
