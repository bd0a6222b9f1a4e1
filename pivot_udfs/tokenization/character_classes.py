"""Classes of characters as the reference library's regular expressions see them, asked of the library itself.

Its Unicode tables are those that count, and differ from Python's.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import tokenizers
from numpy.typing import NDArray

OTHER, UPPER, LOWER, NUMERAL, SPACE, NEWLINE, ALONE = 1, 2, 4, 8, 16, 32, 64
"""Bits of a class; white space is SPACE or NEWLINE, ALONE a numeral that is a pre-token by itself."""
UNCASED = UPPER | LOWER
MARK = OTHER | UPPER | LOWER
LETTER = UPPER
"""Every letter, where a pattern knows no case."""

_PLANES = (range(0xD800), range(0xE000, 0x40000), range(0xE0000, 0xE1000))
"""Where Unicode has characters; all others are OTHER."""
_CHUNK = 4096
_CLASSES = {
    UPPER: r"[\p{Lu}\p{Lt}]",
    LOWER: r"\p{Ll}",
    UNCASED: r"[\p{Lm}\p{Lo}]",
    MARK: r"\p{M}",
    NUMERAL: r"\p{N}",
    SPACE: r"\s",
}


@lru_cache(maxsize=1)
def character_classes() -> NDArray[np.uint8]:
    """The class of each code point, uint8 (0x110000,): OTHER, NEWLINE or a key of ``_CLASSES``."""
    runs = list(_runs("|".join(f"{pattern}+" for pattern in _CLASSES.values())))
    firsts = "".join(chr(start) for start, _ in runs)
    found = np.full(0x110000, OTHER, np.uint8)
    of_first = np.full(len(firsts), OTHER, np.uint8)
    for kind, pattern in reversed(_CLASSES.items()):
        for start, end in _matches(pattern, firsts):
            of_first[start:end] = kind
    for (start, end), kind in zip(runs, of_first.tolist(), strict=True):
        found[start:end] = kind
    found[[ord("\n"), ord("\r")]] = NEWLINE
    return found


@lru_cache(maxsize=1)
def caseless_classes() -> NDArray[np.uint8]:
    """The same with all letters as LETTER, and marks as OTHER."""
    merged = np.arange(256, dtype=np.uint8)
    merged[[LOWER, UNCASED, MARK]] = LETTER, LETTER, OTHER
    return merged[character_classes()]


@lru_cache(maxsize=2)
def gpt2_classes(digits_alone: bool) -> NDArray[np.uint8]:
    """The same with newlines as SPACE; and with ALONE for what the step "Digits" takes for a digit."""
    classes = caseless_classes().copy()
    classes[classes == NEWLINE] = SPACE
    if digits_alone:
        digits = tokenizers.pre_tokenizers.Digits(individual_digits=False)
        for first, text in _chunks():
            for _, (start, end) in digits.pre_tokenize_str(text):
                if len(digits.pre_tokenize_str(f"a{text[start]}")) == 2:
                    classes[first + start : first + end] = ALONE
    return classes


def _runs(pattern: str) -> Iterator[tuple[int, int]]:
    """First code point, and the one after the last, of each match among all characters."""
    for first, text in _chunks():
        for start, end in _matches(pattern, text):
            yield first + start, first + end


def _chunks() -> Iterator[tuple[int, str]]:
    for plane in _PLANES:
        for first in range(plane.start, plane.stop, _CHUNK):
            yield first, "".join(map(chr, range(first, min(first + _CHUNK, plane.stop))))


def _matches(pattern: str, text: str) -> list[tuple[int, int]]:
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), behavior="removed", invert=True)
    return [place for _, place in split.pre_tokenize_str(text)]
