"""What matching needs to know of every Unicode character, as tables indexed by code point.

Case is folded character by character: ``c.lower()`` where that is one character, else ``c`` itself. A word character is
a letter, mark or number (L*, M*, N*) or ``_``. Some scripts are written without spaces between words.
"""

import functools
import unicodedata

import numpy as np
import numpy.typing as npt
import regex

N_CODE_POINTS = 0x110000
_SURROGATES = range(0xD800, 0xE000)
_UNSPACED_SCRIPTS = ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar")


def fold(text: str) -> str:
    """The text with case ignored, character by character; same number of characters."""
    return text.lower() if text.isascii() else "".join(map(_fold_character, text))


def _fold_character(character: str) -> str:
    lower = character.lower()
    return lower if len(lower) == 1 else character


@functools.cache
def fold_table() -> npt.NDArray[np.uint32]:
    """Folded code point of every code point, uint32 (0x110000,)."""
    table = np.arange(N_CODE_POINTS, dtype=np.uint32)
    for code_point in _code_points():
        table[code_point] = ord(_fold_character(chr(code_point)))
    return table


@functools.cache
def spaced_table() -> npt.NDArray[np.bool_]:
    """Whether a code point is of a script written with spaces (anything not unspaced), bool (0x110000,)."""
    table = np.ones(N_CODE_POINTS, np.bool_)
    # Script extensions, so that the marks and length signs that only kana use count as kana; but the marks that
    # Thai or kana share with Latin (U+0303 of a decomposed ñ) are of a spaced script.
    scripts = "".join(rf"\p{{scx={script}}}" for script in _UNSPACED_SCRIPTS)
    everything = "".join(map(chr, _code_points()))
    for run in regex.finditer(rf"(?:(?!\p{{scx=Latin}})[{scripts}々ー])+", everything):
        table[[ord(character) for character in run.group()]] = False
    return table


@functools.cache
def spaced_word_table() -> npt.NDArray[np.bool_]:
    """Whether a code point is a word character of a spaced script, bool (0x110000,)."""
    table = np.zeros(N_CODE_POINTS, np.bool_)
    for code_point in _code_points():
        table[code_point] = unicodedata.category(chr(code_point))[0] in "LMN"
    table[ord("_")] = True
    return table & spaced_table()


def _code_points() -> list[int]:
    return [code_point for code_point in range(N_CODE_POINTS) if code_point not in _SURROGATES]


def byte_places(text: str) -> npt.NDArray[np.int64]:
    """The UTF-8 byte at which each character begins, and the length in bytes at the end: int64 (len(text) + 1,)."""
    points = np.frombuffer(text.encode("utf-32-le"), "<u4")
    widths = 1 + (points >= 0x80) + (points >= 0x800) + (points >= 0x10000)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(widths, dtype=np.int64)])
