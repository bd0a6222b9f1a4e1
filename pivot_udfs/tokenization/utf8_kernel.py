"""Reading UTF-8 in compiled code: characters, runs of ASCII letters, English contractions.

All functions take addresses and byte offsets from them as uint64, never arrays: numba counts references to an array
at each call. They may read up to 8 bytes beyond ``end``.
"""

from typing import Any

import numba as nb
import numpy as np

from pivot_udfs.runtime.intrinsics import load_byte, load_word, trailing_zeros

_U = nb.uint64
_0, _1, _2, _3, _4, _6, _8, _12, _16, _24 = (np.uint64(k) for k in (0, 1, 2, 3, 4, 6, 8, 12, 16, 24))
_TWO, _THREE, _FOUR = np.uint64(0x80), np.uint64(0xE0), np.uint64(0xF0)
"""The smallest first byte of characters of two, three and four bytes."""
_LOW_4, _LOW_5, _LOW_6, _BYTE = (np.uint64((1 << k) - 1) for k in (4, 5, 6, 8))
_HIGH, _CASE = np.uint64(0x8080808080808080), np.uint64(0x2020202020202020)
_TO_A, _OVER_Z = np.uint64(0x1F1F1F1F1F1F1F1F), np.uint64(0x0505050505050505)
_ONE_CASE, _APOSTROPHE = np.uint64(0x20), np.uint64(0x27)
_D, _E, _L, _M, _R, _S, _T, _V = (np.uint64(ord(c)) for c in "delmrstv")
_LONG_S = np.uint64(0xBFC5)  # the UTF-8 of U+017F, whose upper case is S, as a little-endian number
_TWO_BYTES = np.uint64(0xFFFF)


@nb.njit(nogil=True, cache=True)
def code_point(word: Any) -> Any:
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
def ascii_run(word: Any, lower: bool) -> Any:
    """How many of a word's first bytes are ASCII letters (lower-case letters if ``lower``), 0 to 8."""
    low = (word if lower else word | _CASE) & ~_HIGH
    others = ~((low + _TO_A) & ~(low + _OVER_Z) & ~word) & _HIGH
    return trailing_zeros(others) >> _3


@nb.njit(nogil=True, cache=True)
def class_run_end(text_at: Any, i: Any, end: Any, classes_at: Any, wanted: Any) -> Any:
    """End of the run from ``i`` of characters whose class has one of the bits ``wanted``."""
    while i < end:
        point, width = code_point(load_word(text_at + i))
        if load_byte(classes_at + point) & wanted == _0:
            return i
        i += width
    return end


@nb.njit(nogil=True, cache=True)
def letter_run_end(text_at: Any, i: Any, end: Any, classes_at: Any, wanted: Any, lower: bool) -> Any:
    """As ``class_run_end``, for classes that hold ASCII's letters, or if ``lower`` its lower-case ones."""
    while i < end:
        word = load_word(text_at + i)
        if word & _TWO == _0:
            letters = ascii_run(word, lower)
            if letters:
                i += letters
                continue
        point, width = code_point(word)
        if load_byte(classes_at + point) & wanted == _0:
            return i
        i += width
    return end


@nb.njit(nogil=True, cache=True)
def contraction_end(text_at: Any, i: Any, end: Any) -> Any:
    """End of ``(?i:'s|'t|'re|'ve|'m|'ll|'d)`` at ``i``; ``i`` where it does not match.

    U+017F matches ``s``, as it does in the reference's regular expressions.
    """
    word = load_word(text_at + i)
    if word & _BYTE != _APOSTROPHE or i + _1 >= end:
        return i
    one, two = ((word >> _8) | _ONE_CASE) & _BYTE, ((word >> _16) | _ONE_CASE) & _BYTE
    if one in (_S, _T, _M, _D):
        return i + _2
    pair = ((one in (_R, _V)) and two == _E) or (one == _L and two == _L)
    if (pair or (word >> _8) & _TWO_BYTES == _LONG_S) and i + _2 < end:
        return i + _3
    return i
