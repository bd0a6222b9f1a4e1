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
_MIX = np.uint64(0x9E3779B97F4A7C15)
_1, _3, _6, _21, _SHIFT, _63 = (np.uint64(k) for k in (1, 3, 6, 21, 64 - _BITS, 63))
_ASCII, _CONTINUES, _LOW_6, _PART = np.uint64(0x80), np.uint64(0x80), np.uint64(0x3F), np.uint64(1 << 42)


@nb.njit(nogil=True, cache=True)
def _bit_of_pair(left: Any, right: Any) -> Any:
    return (((left << _21) | right) * _MIX) >> _SHIFT


@nb.njit(nogil=True, cache=True)
def _bit_of_part(last_byte: Any, right: Any) -> Any:
    return ((_PART | (last_byte << _21) | right) * _MIX) >> _SHIFT


@nb.njit(nogil=True, cache=True)
def _set_bits(joins: Any, whole: bool, lefts: Any, rights: Any) -> None:
    for k in range(lefts.size):
        bit = _bit_of_pair(lefts[k], rights[k]) if whole else _bit_of_part(lefts[k], rights[k])
        joins[bit >> _6] |= _1 << (bit & _63)


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
            last_byte = left if left < _ASCII else _CONTINUES | (left & _LOW_6)
            if not _is_set(joins_at, _bit_of_part(last_byte, right)):
                return i
        left = right
        i += n_bytes(right)
    return end


def joined_characters(tokens: list[bytes]) -> NDArray[np.uint64]:
    """A set of hashes of two characters that stand beside each other in a token: uint64 (1 << 15,), used as bits.

    A token may begin or end within a character. If it ends so, all characters with these first bytes count. If it
    begins so, the pair of its last byte before the second character and that character counts.
    """
    pairs: set[tuple[int, int]] = set()
    parts: set[tuple[int, int]] = set()
    for token in tokens:
        if not token.isascii():
            _add_joined(token, pairs, parts)
    joins = np.zeros(1 << (_BITS - 6), np.uint64)
    for whole, found in ((True, pairs), (False, parts)):
        columns = np.array(sorted(found), np.uint64).reshape(-1, 2)
        _set_bits(joins, whole, columns[:, 0].copy(), columns[:, 1].copy())
    return joins


def _add_joined(token: bytes, pairs: set[tuple[int, int]], parts: set[tuple[int, int]]) -> None:
    starts = [k for k, byte in enumerate(token) if byte & 0xC0 != 0x80]
    for k, start in enumerate(starts):
        if start == 0:
            continue
        rights = _characters(token[start : starts[k + 1] if k + 1 < len(starts) else len(token)])
        if k == 0:
            parts.update((token[start - 1], right) for right in rights)
        else:
            left = token[starts[k - 1] : start].decode("utf-8", "replace")
            pairs.update((ord(left), right) for right in rights if len(left) == 1)


def _characters(begin: bytes) -> range:
    """The code points whose UTF-8 begins with some bytes of one character."""
    missing = (1 + (begin[0] >= 0xC0) + (begin[0] >= 0xE0) + (begin[0] >= 0xF0)) - len(begin)
    first = begin[0] & (0x7F, 0x1F, 0x0F, 0x07)[missing + len(begin) - 1]
    for byte in begin[1:]:
        first = first << 6 | byte & 0x3F
    first <<= 6 * max(missing, 0)
    return range(first, first + (1 << 6 * max(missing, 0)))
