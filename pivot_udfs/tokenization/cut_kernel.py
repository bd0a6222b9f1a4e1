"""Where a pre-token can be cut before it is merged: between characters that no token of the vocabulary joins.

No merge crosses such a place, so a cut there changes no id. Chinese and Japanese pre-tokens are whole clauses; what is
left of them after the cuts is mostly a word, and is met again.
"""

from typing import Any, NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from pivot_udfs.runtime.intrinsics import load_byte, load_word
from pivot_udfs.tokenization.utf8_kernel import code_point

_BITS = 21  # 256 KB, which stay in a core's own cache
_U = nb.uint64
_MIX = np.uint64(0x9E3779B97F4A7C15)
_0, _1, _3, _6, _8, _21, _SHIFT, _63 = (np.uint64(k) for k in (0, 1, 3, 6, 8, 21, 64 - _BITS, 63))
_HIGH, _ALL = np.uint64(0x8080808080808080), np.uint64(0xFFFFFFFFFFFFFFFF)
_ASCII, _CONTINUATION, _PART = np.uint64(0x80), np.uint64(0xC0), np.uint64(1 << 42)
CUT = 1 << 31
"""Bit of the end of a slice that is not the end of its pre-token."""
_CUT = np.uint64(CUT)


class Joins(NamedTuple):
    """What stands beside each other in the tokens of a vocabulary, at the edge of two characters."""

    bytes: NDArray[np.uint8]
    """(65536,), at last byte * 256 + first byte: 1 if some token has them."""
    pairs: NDArray[np.uint64]
    """(1 << 15,), bits: a set of hashes of two characters. It is asked where ``bytes`` has 1."""


@nb.njit(nogil=True, cache=True)
def _bit_of_pair(left: Any, right: Any) -> Any:
    return (((left << _21) | right) * _MIX) >> _SHIFT


@nb.njit(nogil=True, cache=True)
def _bit_of_part(last_byte: Any, right: Any) -> Any:
    return ((_PART | (last_byte << _21) | right) * _MIX) >> _SHIFT


@nb.njit(nogil=True, cache=True)
def _is_set(bits_at: Any, bit: Any) -> Any:
    return (load_word(bits_at + ((bit >> _6) << _3)) >> (bit & _63)) & _1


@nb.njit(nogil=True, cache=True)
def is_ascii(at: Any, size: Any) -> Any:
    """Whether all of some bytes at an address are ASCII; up to eight bytes more are read."""
    while size > _8:
        if load_word(at) & _HIGH:
            return False
        at += _8
        size -= _8
    return load_word(at) & _HIGH & (_ALL >> ((_8 - size) << _3)) == _0


@nb.njit(nogil=True, cache=True)
def cut(text_at: Any, start: Any, ends: Any, n_pre_tokens: Any, joined_at: Any, cuts: Any) -> Any:
    """Cuts the pre-tokens of a text.

    Args:
        text_at, start: uint64, an address, and where from it the text begins.
        ends: uint32, where its pre-tokens end; n_pre_tokens of them.
        joined_at: addresses of the arrays of ``Joins``.
        cuts: uint32, at least as long as the text has bytes; filled with the ends of slices. CUT is added to those that
            are not the end of a pre-token. Characters of ASCII are never cut from each other.

    Returns:
        the number of slices.
    """
    bytes_at, pairs_at = joined_at
    n = _0
    for k in range(n_pre_tokens):
        end = _U(ends[k])
        if not is_ascii(text_at + start, end - start):
            left, width = code_point(load_word(text_at + start))
            i = start + width
            while i < end:
                right, width = code_point(load_word(text_at + i))
                last = load_byte(text_at + i - _1)
                if (last | right) >= _ASCII:
                    joined = load_byte(bytes_at + ((last << _8) | load_byte(text_at + i)))
                    if joined:
                        joined = _is_set(pairs_at, _bit_of_pair(left, right))
                        joined |= _is_set(pairs_at, _bit_of_part(last, right))
                    if joined == _0:
                        cuts[n] = i | _CUT
                        n += _1
                left = right
                i += width
        cuts[n] = end
        n += _1
        start = end
    return n


@nb.njit(nogil=True, cache=True)
def joined_characters(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Joins:
    """Which characters stand beside each other in a token.

    A token may begin or end within a character. If it ends so, all characters with these first bytes count. If it
    begins so, the pair of its last byte before the second character and that character counts.

    Args:
        data: uint8, the bytes of all tokens in a row; 8 bytes more lie behind them.
        offsets: int64 (tokens + 1,), where each begins.
    """
    bytes_, pairs = np.zeros(1 << 16, np.uint8), np.zeros(1 << (_BITS - 6), np.uint64)
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
                first = (code_point(load_word(data_at + _U(i)))[0] >> missing) << missing
                left = code_point(load_word(data_at + _U(before)))[0] if before >= 0 else _U(data[i - 1])
                for right in range(first, first + (_1 << missing)):
                    if before < 0:
                        bit = _bit_of_part(left, right)
                    elif left >= _ASCII or right >= _ASCII:
                        bit = _bit_of_pair(left, right)
                    else:
                        continue
                    pairs[bit >> _6] |= _1 << (bit & _63)
                bytes_[(int(data[i - 1]) << 8) | int(byte)] = 1
            before = i
    return Joins(bytes_, pairs)
