r"""Where the pre-tokens of GPT-2's pattern end (GPT-2, GPT-NeoX; with single digits SmolLM, StarCoder), compiled.

The pattern::

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

with the step "Digits" before it: each numeral is a pre-token, and ends what precedes it as the end of a text does.
"""

from typing import Any

import numba as nb
import numpy as np

from pivot_udfs.runtime.intrinsics import load_byte, load_word
from pivot_udfs.tokenization.character_classes import ALONE, LETTER, OTHER, SPACE
from pivot_udfs.tokenization.utf8_kernel import ascii_run, code_point

_OTHER, _LETTER, _SPACE, _ALONE = (np.uint64(k) for k in (OTHER, LETTER, SPACE, ALONE))
_NONE, _0, _1, _2, _3, _8, _16 = (np.uint64(k) for k in (0, 0, 1, 2, 3, 8, 16))
_BLANK, _APOSTROPHE, _ASCII, _BYTE = (np.uint64(k) for k in (0x20, 0x27, 0x80, 0xFF))
_D, _E, _L, _M, _R, _S, _T, _V = (np.uint64(ord(c)) for c in "delmrstv")


@nb.njit(nogil=True, cache=True)
def split_gpt2(text_at: Any, first: Any, end: Any, classes_at: Any, ends: Any) -> Any:
    """Splits one text, run by run of characters of one class.

    Args:
        text_at, first, end: uint64, an address, and where from it the text begins and ends; 8 bytes more can be read.
        classes_at: address of uint8 (0x110000,), the class of each code point.
        ends: uint32, at least as long as the text has bytes; filled from its beginning.

    Returns:
        the number of pre-tokens.
    """
    n = _0
    i = start = last = first
    run = _NONE
    while i < end:
        word = load_word(text_at + i)
        point, width = code_point(word)
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
                    run = _NONE
        if kind == _SPACE:
            last = i
        i += width
        if run == _LETTER and point < _ASCII:
            while i < end:
                letters = ascii_run(load_word(text_at + i), False)
                i += letters
                if letters < _8:
                    break
            i = min(i, end)
    if start < end:
        ends[n] = end
        n += _1
    return n


@nb.njit(nogil=True, cache=True)
def _contraction_bytes(word: Any, most: Any) -> Any:
    """Bytes of ``'s|'t|'re|'ve|'m|'ll|'d`` at an apostrophe, 1 where it does not match, of ``most`` bytes."""
    one, two = (word >> _8) & _BYTE, (word >> _16) & _BYTE
    if most > _1 and (one in (_S, _T, _M, _D)):
        return _2
    if most > _2 and (((one in (_R, _V)) and two == _E) or (one == _L and two == _L)):
        return _3
    return _1
