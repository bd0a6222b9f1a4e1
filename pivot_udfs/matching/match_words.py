"""Finds lexicon words in texts: per language, leftmost-longest among the matches that the edge rule allows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pivot_udfs.matching.lexicon import Lexicon, surface_forms
from pivot_udfs.matching.match_kernel import SPACED_WORD, TextTables, build_trie, find_matches
from pivot_udfs.storage.typed_columns import utf8_of
from pivot_udfs.text.script_tables import fold_table, spaced_table, spaced_word_table

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]


class Hits(NamedTuple):
    """Occurrences of lexicon words, by document, start and language; each array (H,)."""

    docs: Int32
    words: Int32
    byte_starts: Int64
    """First byte within the document's text."""
    byte_ends: Int64


class WordMatcher:
    """The trie of a lexicon and the tables it needs; built once a process, by ``word_matcher``.

    With ``shared_surfaces`` ``"document_language"`` a surface of several languages is a hit of the document's language
    if that is one of them, else of each; with ``"all"`` always of each.
    """

    def __init__(self, lexicon: Lexicon, shared_surfaces: str) -> None:
        numbers = {language: number for number, language in enumerate(lexicon.languages)}
        self._language_numbers = numbers if shared_surfaces == "document_language" else {}
        self._n_languages = len(lexicon.languages)
        self._trie = build_trie(_surfaces(lexicon))
        self._tables = TextTables(fold_table(), spaced_table() + np.uint8(SPACED_WORD) * spaced_word_table())

    def find(self, texts: "pa.Array[pa.StringScalar]", languages: Sequence[str | None]) -> Hits:
        """The hits in texts (D,), without nulls; ``languages`` are the documents', for shared surfaces."""
        numbers = np.array([self._language_numbers.get(language or "", -1) for language in languages], np.int32)
        found = find_matches(*utf8_of(texts), numbers, self._n_languages, self._trie, self._tables)
        docs, words, starts, ends = np.ascontiguousarray(found.T)
        return Hits(docs.astype(np.int32), words.astype(np.int32), starts, ends)


_MATCHERS: dict[tuple[str, tuple[str, ...], str], WordMatcher] = {}


def word_matcher(lexicon: Lexicon, shared_surfaces: str) -> WordMatcher:
    """The matcher of a lexicon, built once a process."""
    key = (lexicon.sha256, lexicon.languages, shared_surfaces)
    if key not in _MATCHERS:
        _MATCHERS[key] = WordMatcher(lexicon, shared_surfaces)
    return _MATCHERS[key]


def _surfaces(lexicon: Lexicon) -> list[tuple[int, str, int]]:
    """Language number, surface and word id of every surface; of two words with one surface the smaller id has it."""
    found: dict[tuple[int, str], int] = {}
    for word_id, number in enumerate(lexicon.word_languages()):
        for surface in surface_forms(lexicon.words[word_id][1]):
            found.setdefault((number, surface), word_id)
    return [(number, surface, word_id) for (number, surface), word_id in found.items()]
