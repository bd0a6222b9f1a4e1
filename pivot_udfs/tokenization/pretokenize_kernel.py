"""Where the pieces of GPT-2's pre-tokenizer end, in one compiled pass over UTF-8.

Pieces are also cut wherever no merge makes a token that holds the two bytes beside each other: no merge ever crosses
such a place, so a cut there changes no id. For a vocabulary with few Chinese words that is between nearly all Chinese
characters, so that a piece is one character rather than a sentence, and is met again.

Indices are unsigned, and no function takes an array in a loop over pieces: numba counts its references at each call.
"""

import numba as nb
import numpy as np
from numpy.typing import NDArray

from pivot_udfs.runtime.intrinsics import load_word, trailing_zeros

OTHER, LETTER, SPACE, NUMERAL, ALONE = range(5)
"""What a code point is to the pre-tokenizer. Others, letters and numerals make a piece with their like; ALONE is a
piece by itself, and ends what is before it as the end of a text does (the step "Digits")."""

_U = nb.uint64
_OTHER, _LETTER, _SPACE, _NUMERAL, _ALONE, _NONE = (np.uint64(k) for k in range(6))
_0, _1, _2, _3, _4, _6, _8, _12 = (np.uint64(k) for k in (0, 1, 2, 3, 4, 6, 8, 12))
_TWO, _THREE, _FOUR = np.uint64(0x80), np.uint64(0xE0), np.uint64(0xF0)
"""The least first byte of characters of two, three and four bytes."""
_LOW_4, _LOW_5, _LOW_6, _LOW_21 = (np.uint64((1 << k) - 1) for k in (4, 5, 6, 21))
_BLANK, _APOSTROPHE = np.uint64(0x20), np.uint64(0x27)
_D, _E, _L, _M, _R, _S, _T, _V = (np.uint8(ord(c)) for c in "delmrstv")
_HIGH, _CASE = np.uint64(0x8080808080808080), np.uint64(0x2020202020202020)
_TO_A, _OVER_Z = np.uint64(0x1F1F1F1F1F1F1F1F), np.uint64(0x0505050505050505)


@nb.njit(nogil=True, cache=True)
def piece_ends(
    data: NDArray[np.uint8],
    first: np.uint64,
    end: np.uint64,
    kinds: NDArray[np.uint8],
    joins: NDArray[np.uint8],
    ends: NDArray[np.uint32],
) -> np.uint64:
    """Where the pieces of a text end.

    Args:
        data: uint8, UTF-8 without lone surrogates; at least 8 bytes more lie behind it.
        first, end: uint64, where in ``data`` the text begins and ends.
        kinds: uint8 (0x110000,), what each code point is.
        joins: uint8 (65536,), at first * 256 + second: whether a token holds these two bytes beside each other.
        ends: uint32, at least as long as the text has bytes; filled from its beginning.

    Returns:
        the number of pieces.
    """
    text_at = _U(data.ctypes.data)
    n = _0
    i = start = last = first
    run, before = _NONE, _0
    while i < end:
        byte = _U(data[i])
        if byte < _TWO:
            kind, width = _U(kinds[byte]), _1
            joined = before < _TWO or joins[(before << _8) | byte] != 0
        else:
            if byte < _THREE:
                width, point = _2, ((byte & _LOW_5) << _6) | (_U(data[i + _1]) & _LOW_6)
            else:
                width = _3 if byte < _FOUR else _4
                point = ((byte & _LOW_4) << _12) | ((_U(data[i + _1]) & _LOW_6) << _6) | (_U(data[i + _2]) & _LOW_6)
                if width == _4:
                    point = ((point << _6) | (_U(data[i + _3]) & _LOW_6)) & _LOW_21
            kind = _U(kinds[point])
            joined = joins[(before << _8) | byte] != 0
        if kind != run or kind == _ALONE or not joined:
            if run == _SPACE and kind != _SPACE and kind != _ALONE:
                # The last space of a run goes with what follows it, a blank even into the same piece.
                if last > start:
                    ends[n] = last
                    n += _1
                    start = last
                if _U(data[last]) != _BLANK or not joined:
                    ends[n] = i
                    n += _1
                    start = i
            elif i > start:
                ends[n] = i
                n += _1
                start = i
            contracts = byte == _APOSTROPHE and run != _OTHER and start == i and i + _1 < end
            run = kind
            if contracts:
                one, two = data[i + _1], data[i + _2] if i + _2 < end else np.uint8(0)
                if one in (_S, _T, _M, _D):
                    width = _2
                elif (one in (_R, _V) and two == _E) or (one == _L and two == _L):
                    width = _3
                if width > _1:
                    run = _NONE
        if kind == _SPACE:
            last = i
        i += width
        if run == _LETTER and byte < _TWO:
            while i < end:  # eight ASCII letters at a time
                word = load_word(text_at + i)
                low = (word | _CASE) & ~_HIGH
                others = ~((low + _TO_A) & ~(low + _OVER_Z) & ~word) & _HIGH
                i += trailing_zeros(others) >> _3
                if others:
                    break
            i = min(i, end)
        before = _U(data[i - _1])
    if start < end:
        ends[n] = end
        n += _1
    return n
