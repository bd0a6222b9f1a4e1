"""Which tokens can be words, and where a token continues one: what tells " rain" from the " Pel" of " Pellets"."""

import re
import unicodedata
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pivot_udfs.counting.whole_word_kernel import CONTINUES, IS_CONTINUED, IS_WORD
from pivot_udfs.text.script_tables import spaced_word_table
from pivot_udfs.tokenization.backends import TokenizerSpec
from pivot_udfs.tokenization.vocabulary import vocabulary

_BYTE = re.compile(r"\\x[0-9a-f]{2}")


@lru_cache(maxsize=8)
def word_shapes(spec: TokenizerSpec) -> NDArray[np.uint8]:
    """The shape of every token, uint8 (vocabulary size,)."""
    is_word_character = spaced_word_table()
    return np.array([_shape(text, is_word_character) for text in vocabulary(spec).texts], np.uint8)


def _shape(text: str, is_word_character: NDArray[np.bool_]) -> int:
    if not text:
        return 0
    bare = text.removeprefix(" ")
    kinds = {unicodedata.category(character)[0] for character in bare if character != "_"}
    first, last = (_joins(text, end, is_word_character) for end in (0, -1))
    return IS_WORD * ("L" in kinds and kinds <= set("LMN")) + CONTINUES * first + IS_CONTINUED * last


def _joins(text: str, end: int, is_word_character: NDArray[np.bool_]) -> bool:
    """Whether the first or last character joins a neighbouring one; a part of a character joins none."""
    part = text[:4] if end == 0 else text[-4:]
    return not _BYTE.fullmatch(part) and bool(is_word_character[ord(text[end])])
