r"""Where the pre-tokens of o200k's pattern end (GPT-4o, gpt-oss), compiled.

The pattern, with U for ``[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`` and L for ``[\p{Ll}\p{Lm}\p{Lo}\p{M}]``::

    [^\r\n\p{L}\p{N}]?U*L+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?U+L*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
    |\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
"""

from typing import Any

import numba as nb
import numpy as np

from pivot_udfs.runtime.intrinsics import load_byte, load_word
from pivot_udfs.tokenization.character_classes import LOWER, MARK, NEWLINE, NUMERAL, OTHER, SPACE, UPPER
from pivot_udfs.tokenization.split_cl100k_kernel import numerals_end, white_space_end
from pivot_udfs.tokenization.utf8_kernel import class_run_end, code_point, contraction_end, letter_run_end

_OTHER, _UPPER, _LOWER, _MARK = (np.uint64(k) for k in (OTHER, UPPER, LOWER, MARK))
_NUMERAL, _SPACE, _NEWLINE = (np.uint64(k) for k in (NUMERAL, SPACE, NEWLINE))
_PREFIX = _OTHER | _SPACE
_BLANK, _SLASH, _0, _1 = (np.uint64(k) for k in (0x20, 0x2F, 0, 1))


@nb.njit(nogil=True, cache=True)
def split_o200k(text_at: Any, first: Any, end: Any, classes_at: Any, most_digits: Any, ends: Any) -> Any:
    """Splits one text; arguments and result as for ``split_cl100k``."""
    n, i = _0, first
    while i < end:
        point, width = code_point(load_word(text_at + i))
        kind = load_byte(classes_at + point)
        after = i + width
        if kind == _NUMERAL:
            i = numerals_end(text_at, after, end, classes_at, most_digits)
        else:
            stop = i if kind == _NEWLINE else _word_end(text_at, i, after, end, kind, classes_at)
            if stop > i:
                i = contraction_end(text_at, stop, end) if stop < end else stop
            elif kind & _OTHER or (point == _BLANK and _is_other(text_at, after, end, classes_at)):
                i = class_run_end(text_at, after, end, classes_at, _OTHER)
                while i < end:
                    byte = load_byte(text_at + i)
                    if byte != _SLASH and load_byte(classes_at + byte) != _NEWLINE:
                        break
                    i += _1
            else:
                i = white_space_end(text_at, i, end, classes_at)
        ends[n] = i
        n += _1
    return n


@nb.njit(nogil=True, cache=True)
def _is_other(text_at: Any, i: Any, end: Any, classes_at: Any) -> Any:
    return i < end and load_byte(classes_at + code_point(load_word(text_at + i))[0]) & _OTHER != _0


@nb.njit(nogil=True, cache=True)
def _word_end(text_at: Any, i: Any, after: Any, end: Any, kind: Any, classes_at: Any) -> Any:
    """End of the first two alternatives at ``i``, less the contraction; ``i`` where neither matches.

    U* takes as much as it can, and L+ needs one character: a lower-case letter that follows, or else the last one of
    U* that is in L too (a letter without case, or a mark). A mark can be the first character that precedes the word, or
    begin the word.
    """
    word = after if kind & _PREFIX else i
    upper_end, last_both, follows = word, _0, _0
    while upper_end < end:
        point, width = code_point(load_word(text_at + upper_end))
        follows = load_byte(classes_at + point)
        if follows & _UPPER == _0:
            break
        upper_end += width
        if follows & _LOWER:
            last_both = upper_end
    if upper_end < end and follows & _LOWER:
        return letter_run_end(text_at, upper_end, end, classes_at, _LOWER, True)
    if last_both:
        return last_both
    if kind == _MARK:
        return after
    return upper_end if upper_end > word else i
