r"""Where the pre-tokens of GPT-2's pattern end, and where they can be cut before they are merged; compiled.

The pattern::

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

With the step "Digits" before it, each numeral is a pre-token and ends what precedes it as the end of a text does.

A pre-token is cut between two characters that no token of the vocabulary joins: no merge crosses such a place, so the
cut changes no id. Chinese and Japanese pre-tokens are whole clauses; the slices that remain are mostly words, which
occur again.

Texts are given by address and byte offsets from it, never as arrays: numba counts references to an array at each call.
Up to 8 bytes beyond a text are read.
"""

from typing import Any, NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from pivot_udfs.runtime.intrinsics import load_byte, load_word, trailing_zeros

OTHER, LETTER, NUMERAL, SPACE, ALONE = range(1, 6)
"""Classes of characters; ALONE is a numeral that is a pre-token by itself."""
CUT = 1 << 31
"""Bit of the end of a slice that is not the end of its pre-token."""

_PAIR_BITS = 21  # a set of 256 KB, which stays in a core's own cache
_U = nb.uint64
_LETTER, _SPACE, _ALONE, _CUT = (np.uint64(k) for k in (LETTER, SPACE, ALONE, CUT))
_0, _1, _2, _3, _4, _6, _8, _12, _16, _21, _24, _63 = (np.uint64(k) for k in (0, 1, 2, 3, 4, 6, 8, 12, 16, 21, 24, 63))
_LOW_4, _LOW_5, _LOW_6, _BYTE, _ALL = (np.uint64((1 << k) - 1) for k in (4, 5, 6, 8, 64))
_TWO, _THREE, _FOUR = np.uint64(0x80), np.uint64(0xE0), np.uint64(0xF0)
"""The smallest first byte of characters of two, three and four bytes."""
_HIGH, _CASE = np.uint64(0x8080808080808080), np.uint64(0x2020202020202020)
_TO_A, _OVER_Z = np.uint64(0x1F1F1F1F1F1F1F1F), np.uint64(0x0505050505050505)
_BLANK, _APOSTROPHE, _CONTINUATION = np.uint64(0x20), np.uint64(0x27), np.uint64(0xC0)
_D, _E, _L, _M, _R, _S, _T, _V = (np.uint64(ord(c)) for c in "delmrstv")
_MIX, _PART, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(1 << 42), np.uint64(64 - _PAIR_BITS)


class Joins(NamedTuple):
    """What the tokens of a vocabulary hold side by side, at the edge of two characters."""

    bytes: NDArray[np.uint8]
    """(65536,), at last byte * 256 + first byte: 1 if some token has them."""
    pairs: NDArray[np.uint64]
    """(1 << 15,), bits: a set of hashes of two characters, read where ``bytes`` has 1."""


@nb.njit(nogil=True, cache=True)
def pretokenize(
    text_at: np.uint64,
    start: np.uint64,
    end: np.uint64,
    tables: tuple[np.uint64, np.uint64, np.uint64],
    ends: NDArray[np.uint32],
    cuts: NDArray[np.uint32],
) -> Any:
    """Splits a text into pre-tokens and these into slices; returns the number of slices, uint64.

    The text has the bytes from ``start`` to ``end`` beyond the address ``text_at``; ``tables`` are the addresses of the
    class of each code point, uint8 (0x110000,), and of the arrays of ``Joins``. ``ends`` and ``cuts`` are at least as
    long as the text has bytes: the first is overwritten, the second filled with the ends of slices. CUT is added to
    those that are not the end of a pre-token.
    """
    classes_at, bytes_at, pairs_at = tables
    if _is_ascii(text_at + start, end - start):
        return split(text_at, start, end, classes_at, cuts)
    n_pre_tokens = split(text_at, start, end, classes_at, ends)
    n = _0
    for k in range(n_pre_tokens):
        stop = _U(ends[k])
        if not _is_ascii(text_at + start, stop - start):
            left, width = _code_point(load_word(text_at + start))
            i = start + width
            while i < stop:
                right, width = _code_point(load_word(text_at + i))
                last = load_byte(text_at + i - _1)
                if (last | right) >= _TWO:  # characters of ASCII are never cut from each other
                    joined = load_byte(bytes_at + ((last << _8) | load_byte(text_at + i)))
                    if joined:
                        joined = _is_set(pairs_at, _hash(left, right)) | _is_set(pairs_at, _hash(_PART | last, right))
                    if joined == _0:
                        cuts[n] = i | _CUT
                        n += _1
                left = right
                i += width
        cuts[n] = stop
        n += _1
        start = stop
    return n


@nb.njit(nogil=True, cache=True)
def split(text_at: np.uint64, first: np.uint64, end: np.uint64, classes_at: np.uint64, ends: NDArray[np.uint32]) -> Any:
    """Fills ``ends`` with the ends of a text's pre-tokens, run by run of characters of one class; returns how many."""
    n = _0
    i = start = last = first
    run = _0
    while i < end:
        word = load_word(text_at + i)
        point, width = _code_point(word)
        kind = load_byte(classes_at + point)
        if kind != run or kind == _ALONE:
            if run == _SPACE and kind != _ALONE:
                # The last space of a run goes with what follows it, a blank even into the same pre-token.
                if last > start:
                    ends[n] = last
                    n += _1
                    start = last
                if load_byte(text_at + last) != _BLANK:
                    ends[n] = i
                    n += _1
                    start = i
            elif i > start:
                ends[n] = i
                n += _1
                start = i
            contracts = point == _APOSTROPHE and start == i
            run = kind
            if contracts:
                width = _contraction_bytes(word, end - i)
                if width > _1:
                    run = _0
        if kind == _SPACE:
            last = i
        i += width
        if run == _LETTER and point < _TWO:
            while i < end:
                letters = _ascii_letters(load_word(text_at + i))
                i += letters
                if letters < _8:
                    break
            i = min(i, end)
    if start < end:
        ends[n] = end
        n += _1
    return n


@nb.njit(nogil=True, cache=True)
def joined_characters(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Joins:
    """Which characters stand side by side in a token.

    A token may begin or end within a character. If it ends so, all characters with these first bytes count. If it
    begins so, the pair of its last byte before the second character and that character counts. ``data`` has the bytes
    of all tokens in a row, with 8 more behind them; ``offsets`` (tokens + 1,) say where each begins.
    """
    bytes_, pairs = np.zeros(1 << 16, np.uint8), np.zeros(1 << (_PAIR_BITS - 6), np.uint64)
    data_at = _U(data.ctypes.data)
    for token in range(offsets.size - 1):
        start, end = offsets[token], offsets[token + 1]
        before = -1
        for i in range(start, end):
            byte = _U(data[i])
            if byte & _CONTINUATION == _TWO:
                continue
            if i > start:
                width = 1 + int(byte >= 0xC0) + int(byte >= 0xE0) + int(byte >= 0xF0)
                missing = _U(6 * max(i + width - end, 0))
                first = (_code_point(load_word(data_at + _U(i)))[0] >> missing) << missing
                left = _code_point(load_word(data_at + _U(before)))[0] if before >= 0 else _PART | _U(data[i - 1])
                for right in range(first, first + (_1 << missing)):
                    if left >= _TWO or right >= _TWO:
                        bit = _hash(left, right)
                        pairs[bit >> _6] |= _1 << (bit & _63)
                bytes_[(int(data[i - 1]) << 8) | int(byte)] = 1
            before = i
    return Joins(bytes_, pairs)


@nb.njit(nogil=True, cache=True)
def _hash(left: Any, right: Any) -> Any:
    """The bit of two characters in ``Joins.pairs``; ``left`` may be _PART | the last byte of a character."""
    return (((left << _21) | right) * _MIX) >> _SHIFT


@nb.njit(nogil=True, cache=True)
def _is_set(bits_at: np.uint64, bit: np.uint64) -> Any:
    return (load_word(bits_at + ((bit >> _6) << _3)) >> (bit & _63)) & _1


@nb.njit(nogil=True, cache=True)
def _is_ascii(at: Any, size: Any) -> Any:
    while size > _8:
        if load_word(at) & _HIGH:
            return False
        at += _8
        size -= _8
    return load_word(at) & _HIGH & (_ALL >> ((_8 - size) << _3)) == _0


@nb.njit(nogil=True, cache=True)
def _code_point(word: np.uint64) -> Any:
    """The character whose UTF-8 begins at the first byte of a loaded word, and its length in bytes, 1 to 4.

    The length is a constant on each branch: processors then go on to the next character before this one is decoded.
    """
    byte = word & _BYTE
    if byte < _TWO:
        return byte, _1
    second = (word >> _8) & _LOW_6
    if byte < _THREE:
        return ((byte & _LOW_5) << _6) | second, _2
    point = ((byte & _LOW_4) << _12) | (second << _6) | ((word >> _16) & _LOW_6)
    if byte < _FOUR:
        return point, _3
    return (point << _6) | ((word >> _24) & _LOW_6), _4


@nb.njit(nogil=True, cache=True)
def _ascii_letters(word: np.uint64) -> Any:
    """How many of a word's first bytes are ASCII letters, 0 to 8."""
    low = (word | _CASE) & ~_HIGH
    others = ~((low + _TO_A) & ~(low + _OVER_Z) & ~word) & _HIGH
    return trailing_zeros(others) >> _3


@nb.njit(nogil=True, cache=True)
def _contraction_bytes(word: np.uint64, most: np.uint64) -> Any:
    """Bytes of ``'s|'t|'re|'ve|'m|'ll|'d`` at an apostrophe, 1 where it does not match, of ``most`` bytes."""
    one, two = (word >> _8) & _BYTE, (word >> _16) & _BYTE
    if most > _1 and (one in (_S, _T, _M, _D)):
        return _2
    if most > _2 and (((one in (_R, _V)) and two == _E) or (one == _L and two == _L)):
        return _3
    return _1
