"""Whole words: which tokens can be one, and how often each is: " rain", but not the " Pel" of " Pellets"."""

import re
import unicodedata
from functools import lru_cache
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

from pivot_udfs.counting.dense_row import Int64
from pivot_udfs.text.script_tables import spaced_word_table
from pivot_udfs.tokenization.backends import TokenizerSpec
from pivot_udfs.tokenization.vocabulary import vocabulary

IS_WORD, CONTINUES, IS_CONTINUED = 1, 2, 4
"""Bits of a token's shape: ``bare``, it is letters, marks, numbers and underscores, with a letter; it begins with a
word character of a script written with spaces; it ends with one."""
_U = nb.uint64
_BYTE = re.compile(r"\\x[0-9a-f]{2}")


@lru_cache(maxsize=8)
def word_shapes(spec: TokenizerSpec) -> npt.NDArray[np.uint8]:
    """The shape of every token, uint8 (vocabulary size,)."""
    is_word_character = spaced_word_table()
    return np.array([_shape(text, is_word_character) for text in vocabulary(spec).texts], np.uint8)


def bare(text: str) -> str:
    """The text of a token without one space before and after."""
    return text.removeprefix(" ").removesuffix(" ")


def _shape(text: str, is_word_character: npt.NDArray[np.bool_]) -> int:
    if not text:
        return 0
    kinds = {unicodedata.category(character)[0] for character in bare(text) if character != "_"}
    first, last = (_joins(text, end, is_word_character) for end in (0, -1))
    return IS_WORD * ("L" in kinds and kinds <= set("LMN")) + CONTINUES * first + IS_CONTINUED * last


def _joins(text: str, end: int, is_word_character: npt.NDArray[np.bool_]) -> bool:
    """Whether the first or last character joins a neighbouring one; a part of a character joins none."""
    part = text[:4] if end == 0 else text[-4:]
    return not _BYTE.fullmatch(part) and bool(is_word_character[ord(text[end])])


@nb.njit(nogil=True, cache=True)
def is_whole(shape: Any, open_word: Any, following: Any) -> Any:
    """Whether a token is a whole word, by its shape, whether a word is open before it, and the next token's shape."""
    joined = (open_word and shape & CONTINUES) or (shape & IS_CONTINUED and following & CONTINUES)
    return bool(shape & IS_WORD) and not joined


@nb.njit(nogil=True, cache=True)
def count_words(
    items: npt.NDArray[Any], doc_starts: Int64, docs: Int64, shapes: npt.NDArray[np.uint8]
) -> tuple[Int64, Int64]:
    """How often each token is a whole word in the documents ``docs``, and in how many of them it occurs.

    Document d has the tokens items[doc_starts[d]:doc_starts[d + 1]], unsigned; ``shapes`` are of ``word_shapes``.
    Returns two arrays int64 (len(shapes),).
    """
    words, n_docs = np.zeros(shapes.size, np.int64), np.zeros(shapes.size, np.int64)
    last_doc = np.full(shapes.size, -1, np.int64)
    for doc in docs:
        open_word = False
        for index in range(doc_starts[doc], doc_starts[doc + 1]):
            item = _U(items[index])
            shape = shapes[item]
            if last_doc[item] != doc:
                last_doc[item] = doc
                n_docs[item] += 1
            following = shapes[_U(items[index + 1])] if index + 1 < doc_starts[doc + 1] else np.uint8(0)
            if is_whole(shape, open_word, following):
                words[item] += 1
            open_word = bool(shape & IS_CONTINUED)
    return words, n_docs
