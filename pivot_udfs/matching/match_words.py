"""Finds the lexicon's words in texts: one automaton a language, leftmost-longest and non-overlapping.

A whole batch of texts is scanned as one buffer of folded UTF-8 with a byte between texts that occurs in no
text, so that no match crosses from one to the next and the library is called once per megabyte, not per document.
Matches are then checked against the word boundary and the rule for shared surfaces in a compiled loop.

Most of the time is the automata's, then the making of an array from their matches.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba as nb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

from pivot_udfs.matching.lexicon import Lexicon, surface_forms
from pivot_udfs.text.script_tables import byte_places, fold, fold_table, spaced_table, spaced_word_table, widest_bytes

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

_SEPARATOR = 0xFF
_PIECE_BYTES = 1 << 20
_TABLE_BYTES = 1 << 16
"""Of surfaces, up to which an automaton is a table: a fifth to a quarter faster, but up to 1 KB a byte."""


class Hits(NamedTuple):
    """Occurrences of lexicon words, in order of place; each array (H,).

    Byte places count in the scanned buffer: text *d* begins at ``doc_starts[d]`` there.
    """

    docs: Int32
    words: Int32
    byte_starts: Int64
    byte_ends: Int64


class ScannedTexts(NamedTuple):
    """The hits of a batch and where each text lies in the scanned buffer."""

    hits: Hits
    doc_starts: Int64
    """int64 (D + 1,): text d is [doc_starts[d], doc_starts[d + 1] - 1), then comes the separator."""


@dataclass(frozen=True)
class _Language:
    automaton: Any
    pattern_words: Int32
    starts_spaced: npt.NDArray[np.bool_]
    ends_spaced: npt.NDArray[np.bool_]
    sharers: npt.NDArray[np.uint64]
    number: int


class WordMatcher:
    """The automata of a lexicon and the tables they need; built once a process, by ``word_matcher``.

    Args:
        lexicon: whose words are looked for.
        shared_surfaces: ``"document_language"``: a surface of several languages is a hit of the document's language
            if that is one of them, else of each; ``"all"``: always of each.
    """

    def __init__(self, lexicon: Lexicon, shared_surfaces: str) -> None:
        self._language_number = {language: index for index, language in enumerate(lexicon.languages)}
        self._only_document_language = shared_surfaces == "document_language"
        patterns = _patterns(lexicon)
        sharers = _sharers(patterns)
        self._languages = [_compile(number, surfaces, sharers) for number, surfaces in enumerate(patterns) if surfaces]
        self.longest = max(widest_bytes(surface) for surfaces in patterns for surface in surfaces)
        """UTF-8 bytes of the longest hit, folded or not."""
        self._fold = fold_table()
        self._spaced_word = spaced_word_table()

    def find(self, texts: pa.StringArray, languages: Sequence[str | None]) -> ScannedTexts:
        """The hits in texts.

        Args:
            texts: (D,) without nulls.
            languages: the documents' languages, for shared surfaces.
        """
        data, offsets = _utf8(texts)
        folded, doc_starts, uneven = _fold_joined(data, offsets, self._fold)
        numbers = [self._language_number.get(language or "", -1) for language in languages]
        doc_languages = np.array(numbers, np.int32)
        if not self._only_document_language:
            doc_languages[:] = -1
        found = [self._find_one(language, folded, doc_starts, uneven, doc_languages) for language in self._languages]
        return ScannedTexts(_merge(found), doc_starts)

    def _find_one(self, language: _Language, folded: Any, doc_starts: Int64, uneven: Any, doc_languages: Int32) -> Hits:
        matches = np.concatenate(list(_scan(language.automaton, folded, self.longest)))
        if uneven.any():
            matches = _rescan_uneven(matches, language.automaton, folded, doc_starts, uneven)
        return Hits(
            *_keep_hits( matches, folded, doc_starts, doc_languages, language.number,
            language.pattern_words, language.starts_spaced, language.ends_spaced, language.sharers,
            self._spaced_word, ),
        )  # fmt: skip


_MATCHERS: dict[tuple[str, tuple[str, ...], str], WordMatcher] = {}


def word_matcher(lexicon: Lexicon, shared_surfaces: str) -> WordMatcher:
    """The matcher of a lexicon, built once a process."""
    key = (lexicon.sha256, lexicon.languages, shared_surfaces)
    if key not in _MATCHERS:
        _MATCHERS[key] = WordMatcher(lexicon, shared_surfaces)
    return _MATCHERS[key]


def _patterns(lexicon: Lexicon) -> list[dict[str, int]]:
    """For each language, word id by surface."""
    patterns: list[dict[str, int]] = [{} for _ in lexicon.languages]
    for word_id, number in enumerate(lexicon.word_languages()):
        for surface in surface_forms(lexicon.words[word_id][1]):
            patterns[number].setdefault(surface, word_id)
    return patterns


def _sharers(patterns: list[dict[str, int]]) -> dict[str, int]:
    """For each surface, the languages that have it, as a bit mask of their numbers."""
    sharers: dict[str, int] = {}
    for number, surfaces in enumerate(patterns):
        for surface in surfaces:
            sharers[surface] = sharers.get(surface, 0) | 1 << number
    return sharers


def _compile(number: int, surfaces: dict[str, int], sharers: dict[str, int]) -> _Language:
    spaced = spaced_table()
    return _Language(
        automaton=_automaton([surface.encode() for surface in surfaces]),
        pattern_words=np.array(list(surfaces.values()), np.int32),
        starts_spaced=np.array([spaced[ord(surface[0])] for surface in surfaces], np.bool_),
        ends_spaced=np.array([spaced[ord(surface[-1])] for surface in surfaces], np.bool_),
        sharers=np.array([sharers[surface] for surface in surfaces], np.uint64),
        number=number,
    )


def _automaton(surfaces: list[bytes]) -> Any:
    table = Implementation.DFA if sum(map(len, surfaces)) <= _TABLE_BYTES else None
    return BytesAhoCorasick(surfaces, matchkind=MatchKind.LeftmostLongest, implementation=table)


def _utf8(texts: pa.StringArray) -> tuple[npt.NDArray[np.uint8], Int64]:
    _, offsets, data = texts.buffers()
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    places = np.frombuffer(offsets, width)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    return np.frombuffer(data if data is not None else b"", np.uint8), places


def _scan(automaton: Any, buffer: Any, longest: int) -> Iterator[Int64]:
    """Matches as int64 (n, 3) of (pattern, start, end), found piece by piece.

    A piece sees ``longest`` bytes beyond its end, so a match that starts in it is seen whole; the next piece
    begins where its last match ends. That is the same as one scan, with the memory of one piece.
    """
    start, view = 0, memoryview(buffer)
    yield np.empty((0, 3), np.int64)
    while start < len(buffer):
        stop = min(start + _PIECE_BYTES, len(buffer))
        found = automaton.find_matches_as_indexes(view[start : stop + longest])
        flat = np.fromiter(itertools.chain.from_iterable(found), np.int64, 3 * len(found)).reshape(-1, 3)
        flat[:, 1:] += start
        flat = flat[flat[:, 1] < stop]
        yield flat
        start = max(stop, int(flat[-1, 2])) if len(flat) else stop


def _rescan_uneven(matches: Int64, automaton: Any, buffer: Any, doc_starts: Int64, uneven: Any) -> Int64:
    """Replaces the matches of texts in which folding changes a character's length, scanned one by one."""
    docs = np.searchsorted(doc_starts, matches[:, 1], side="right") - 1
    kept = [matches[~uneven[docs]]]
    for doc in np.flatnonzero(uneven):
        text = bytes(buffer[doc_starts[doc] : doc_starts[doc + 1] - 1]).decode()
        folded = fold(text)
        found = np.array(automaton.find_matches_as_indexes(folded.encode()), np.int64).reshape(-1, 3)
        characters = np.searchsorted(byte_places(folded), found[:, 1:])
        kept.append(np.column_stack([found[:, 0], byte_places(text)[characters] + doc_starts[doc]]))
    merged = np.concatenate(kept)
    return merged[np.argsort(merged[:, 1], kind="stable")]


def _merge(found: list[Hits]) -> Hits:
    joined = [np.concatenate(column) for column in zip(*found, strict=True)]
    order = np.argsort(joined[2], kind="stable")
    return Hits(*(column[order] for column in joined))


@nb.njit(nogil=True, cache=True)
def _fold_joined(data: Any, offsets: Any, folding: Any) -> Any:
    """Folded UTF-8 of all texts with a separator after each; a character whose length would change stays as it is.

    Returns:
        (buffer uint8 (bytes + D,), doc_starts int64 (D + 1,), uneven bool (D,): texts with such a character).
    """
    n_docs = offsets.size - 1
    out = np.empty(offsets[-1] - offsets[0] + n_docs, np.uint8)
    doc_starts = np.zeros(n_docs + 1, np.int64)
    uneven = np.zeros(n_docs, np.bool_)
    at = 0
    for doc in range(n_docs):
        i, end = offsets[doc], offsets[doc + 1]
        while i < end:
            byte = data[i]
            if byte < 0x80:
                out[at] = byte + 32 if 65 <= byte <= 90 else byte
                i, at = i + 1, at + 1
                continue
            width = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            point = _decode(data, i, width)
            folded = folding[point]
            folded_width = 1 if folded < 0x80 else 2 if folded < 0x800 else 3 if folded < 0x10000 else 4
            if folded_width != width:
                uneven[doc] = True
                folded = nb.uint32(point)
            _encode(out, at, folded, width)
            i, at = i + width, at + width
        out[at] = _SEPARATOR
        at += 1
        doc_starts[doc + 1] = at
    return out, doc_starts, uneven


@nb.njit(nogil=True, inline="always")
def _decode(data: Any, i: Any, width: Any) -> Any:
    if width == 1:
        return nb.int64(data[i])
    point = nb.int64(data[i]) & (0x7F >> width)
    for k in range(1, width):
        point = (point << 6) | (nb.int64(data[i + k]) & 0x3F)
    return point


@nb.njit(nogil=True, inline="always")
def _encode(out: Any, at: Any, point: Any, width: Any) -> None:
    for k in range(width - 1, 0, -1):
        out[at + k] = 0x80 | (point & 0x3F)
        point >>= 6
    out[at] = point | (0xF00 >> width & 0xFF)


@nb.njit(nogil=True, cache=True)
def _keep_hits(
    matches: Any, buffer: Any, doc_starts: Any, doc_languages: Any, language: Any, pattern_words: Any,
    starts_spaced: Any, ends_spaced: Any, sharers: Any, spaced_word: Any,
) -> Any:  # fmt: skip
    """The matches that count: at a word boundary, and of a language that the document lets count."""
    n = matches.shape[0]
    docs, words = np.empty(n, np.int32), np.empty(n, np.int32)
    starts, ends = np.empty(n, np.int64), np.empty(n, np.int64)
    kept, doc = 0, 0
    for k in range(n):
        pattern, start, end = matches[k, 0], matches[k, 1], matches[k, 2]
        while doc_starts[doc + 1] <= start:
            doc += 1
        if starts_spaced[pattern] and start > doc_starts[doc] and spaced_word[_before(buffer, start)]:
            continue
        if ends_spaced[pattern] and end < doc_starts[doc + 1] - 1 and spaced_word[_decode_at(buffer, end)]:
            continue
        mine = doc_languages[doc]
        if mine >= 0 and mine != language and (sharers[pattern] >> nb.uint64(mine)) & nb.uint64(1):
            continue
        docs[kept], words[kept], starts[kept], ends[kept] = doc, pattern_words[pattern], start, end
        kept += 1
    return docs[:kept].copy(), words[:kept].copy(), starts[:kept].copy(), ends[:kept].copy()


@nb.njit(nogil=True, inline="always")
def _before(buffer: Any, i: Any) -> Any:
    i -= 1
    while buffer[i] & 0xC0 == 0x80:
        i -= 1
    return _decode_at(buffer, i)


@nb.njit(nogil=True, inline="always")
def _decode_at(buffer: Any, i: Any) -> Any:
    byte = buffer[i]
    width = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
    return _decode(buffer, i, width)
