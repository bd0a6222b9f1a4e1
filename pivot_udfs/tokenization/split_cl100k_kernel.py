r"""Where the pre-tokens of cl100k's pattern end (GPT-4, Llama 3, OLMo 2; with single digits Qwen 2 to 3), compiled.

The pattern, with {1,3} or without::

    (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*
    |\s*[\r\n]+|\s+(?!\S)|\s+
"""

from typing import Any

import numba as nb
import numpy as np

from pivot_udfs.runtime.intrinsics import load_byte, load_word
from pivot_udfs.tokenization.character_classes import LETTER, NEWLINE, NUMERAL, OTHER, SPACE
from pivot_udfs.tokenization.utf8_kernel import class_run_end, code_point, contraction_end, letter_run_end

_OTHER, _LETTER, _NUMERAL = np.uint64(OTHER), np.uint64(LETTER), np.uint64(NUMERAL)
_SPACE, _NEWLINE, _BLANK = np.uint64(SPACE), np.uint64(NEWLINE), np.uint64(0x20)
_0, _1 = np.uint64(0), np.uint64(1)


@nb.njit(nogil=True, cache=True)
def split_cl100k(text_at: Any, first: Any, end: Any, classes_at: Any, most_digits: Any, ends: Any) -> Any:
    """Splits one text.

    Args:
        text_at, first, end: uint64, an address, and where from it the text begins and ends; 8 bytes more can be read.
        classes_at: address of uint8 (0x110000,), the class of each code point.
        most_digits: numerals of a pre-token, 3 or 1.
        ends: uint32, at least as long as the text has bytes; filled from its beginning.

    Returns:
        the number of pre-tokens.
    """
    n, i = _0, first
    while i < end:
        point, width = code_point(load_word(text_at + i))
        kind = load_byte(classes_at + point)
        after = i + width
        if kind == _LETTER:
            i = letter_run_end(text_at, after, end, classes_at, _LETTER, False)
        elif kind == _NUMERAL:
            i = numerals_end(text_at, after, end, classes_at, most_digits)
        else:
            stop = contraction_end(text_at, i, end)
            if stop > i:
                i = stop
            else:
                follows = load_byte(classes_at + code_point(load_word(text_at + after))[0]) if after < end else _0
                if follows == _LETTER and kind != _NEWLINE:
                    i = letter_run_end(text_at, after, end, classes_at, _LETTER, False)
                elif kind == _OTHER or (point == _BLANK and after < end and follows == _OTHER):
                    i = class_run_end(text_at, after, end, classes_at, _OTHER)
                    while i < end and load_byte(classes_at + load_byte(text_at + i)) == _NEWLINE:
                        i += _1
                else:
                    i = white_space_end(text_at, i, end, classes_at)
        ends[n] = i
        n += _1
    return n


@nb.njit(nogil=True, cache=True)
def numerals_end(text_at: Any, i: Any, end: Any, classes_at: Any, most: Any) -> Any:
    """End of a run of numerals of which one is read already, ``most`` of them in all."""
    count = _1
    while i < end and count < most:
        point, width = code_point(load_word(text_at + i))
        if load_byte(classes_at + point) != _NUMERAL:
            break
        i += width
        count += _1
    return i


@nb.njit(nogil=True, cache=True)
def white_space_end(text_at: Any, i: Any, end: Any, classes_at: Any) -> Any:
    r"""End of ``\s*[\r\n]+|\s+(?!\S)|\s+`` at white space."""
    first, last, after_newline = i, i, _0
    while i < end:
        point, width = code_point(load_word(text_at + i))
        kind = load_byte(classes_at + point)
        if kind & (_SPACE | _NEWLINE) == _0:
            break
        last = i
        i += width
        if kind == _NEWLINE:
            after_newline = i
    if after_newline:
        return after_newline
    return i if i == end or last == first else last
