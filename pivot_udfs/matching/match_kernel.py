"""The compiled loop that finds a lexicon's surfaces in texts by the edge rule, and the trie that it walks.

One trie serves all languages. Edges are kept in one open-addressing hash table keyed by (node, code point), at most 24
bytes a node. A text is read once, in place: its characters are folded while the trie is walked, and no walk begins
where the edge rule forbids every match (inside a word of a spaced script), which is most of a Latin text.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numba as nb
import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]
UInt32 = npt.NDArray[np.uint32]
UInt64 = npt.NDArray[np.uint64]

SPACED = 1
"""Bit of ``TextTables.classes``: the character is of a script written with spaces."""
SPACED_WORD = 2
"""Bit of ``TextTables.classes``: the character is a word character of such a script."""
_ROOT = 1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_U = nb.uint64


class SurfaceTrie(NamedTuple):
    """Surfaces and the words that they stand for; E surfaces in all languages, N nodes, node 1 is the root."""

    keys: UInt64
    """(C,), C a power of two: node << 21 | code point of the edge in each slot, 0 where the slot is free."""
    children: Int32
    """(C,): the node that the edge leads to."""
    entry_starts: Int32
    """(N + 2,): node n ends the surfaces ``entry_starts[n]`` to ``entry_starts[n + 1]``."""
    languages: Int32
    """(E,): language number of each surface; those of one node ascend and differ."""
    words: Int32
    """(E,): word id of each surface."""


class TextTables(NamedTuple):
    """What the loop looks up by code point."""

    folded: UInt32
    """(0x110000,): the code point with case ignored."""
    classes: UInt8
    """(0x110000,): SPACED | SPACED_WORD."""


def build_trie(surfaces: Sequence[tuple[int, str, int]]) -> SurfaceTrie:
    """The trie of (language number, folded surface, word id), each language and surface once; no surface is empty."""
    texts = [surface for _, surface, _ in surfaces]
    points = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(text) for text in texts], dtype=np.int64)])
    capacity = 1 << max(4, (2 * len(points)).bit_length())
    keys, children = np.zeros(capacity, np.uint64), np.zeros(capacity, np.int32)
    nodes, n_nodes = _insert(points, starts, keys, children)
    languages = np.array([language for language, _, _ in surfaces], np.int32)
    order = np.lexsort((languages, nodes))
    entry_starts = np.searchsorted(nodes[order], np.arange(n_nodes + 2)).astype(np.int32)
    words = np.array([word for _, _, word in surfaces], np.int32)
    return SurfaceTrie(keys, children, entry_starts, languages[order], words[order])


@nb.njit(nogil=True, cache=True)
def _insert(points: UInt32, starts: Int64, keys: UInt64, children: Int32) -> tuple[Int32, int]:
    """Fills the hash table; returns the last node of each surface, int32 (E,), and the largest node."""
    nodes = np.empty(starts.size - 1, np.int32)
    newest = _ROOT
    for surface in range(nodes.size):
        node = _ROOT
        for k in range(starts[surface], starts[surface + 1]):
            slot = _slot(keys, node, points[k])
            if keys[slot] == _U(0):
                newest += 1
                keys[slot] = _U(node) << _U(21) | _U(points[k])
                children[slot] = newest
            node = children[slot]
        nodes[surface] = node
    return nodes, newest


@nb.njit(nogil=True, inline="always")
def _slot(keys: Any, node: Any, point: Any) -> Any:
    """Where the edge is, or the free slot where it would be."""
    key = _U(node) << _U(21) | _U(point)
    mask = _U(keys.size - 1)
    slot = (key * _GOLDEN >> _U(32)) & mask
    while keys[slot] != _U(0) and keys[slot] != key:
        slot = (slot + _U(1)) & mask
    return slot


@nb.njit(nogil=True, inline="always")
def _width(byte: Any) -> Any:
    """Bytes of the UTF-8 character that begins with this byte."""
    return 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4


@nb.njit(nogil=True, inline="always")
def _decode(data: Any, i: Any, width: Any) -> Any:
    """The code point of the character at byte i."""
    if width == 1:
        return _U(data[i])
    point = _U(data[i]) & _U(0x7F >> width)
    for k in range(1, width):
        point = point << _U(6) | (_U(data[i + k]) & _U(0x3F))
    return point


@nb.njit(nogil=True, cache=True)
def find_matches(
    data: UInt8, offsets: Int64, doc_languages: Int32, n_languages: int, trie: SurfaceTrie, tables: TextTables
) -> Int64:
    """All hits, by document, start and language, int64 (H, 4): document, word id, first byte, end byte within the text.

    For each language: at each place that no earlier match of the language covers, the longest match that satisfies the
    edge rule. A match is no hit, though it covers its span, where its surface is also one of the document's language
    and that is another. Texts are UTF-8 in a row, each beginning at ``offsets`` (D + 1,); ``doc_languages`` (D,) are
    language numbers, -1 lets every language count.

    The walk is written out here: as a function of its own, inlined or not, it takes four times as long, for the arrays'
    reference counts go up and down at every character.
    """
    keys, children, entry_starts, languages, words = trie
    folded, classes = tables
    # The last match of each language: bytes [starts, ends) of data, and the entry and node of its surface.
    starts, ends = np.full(n_languages, -1, np.int64), np.zeros(n_languages, np.int64)
    entries, nodes = np.zeros(n_languages, np.int64), np.zeros(n_languages, np.int64)
    hits, n_hits = np.empty((1024 + n_languages, 4), np.int64), 0
    for doc in range(offsets.size - 1):
        begin, end = offsets[doc], offsets[doc + 1]
        before, i = 0, begin
        while i < end:
            width = _width(data[i])
            point = _decode(data, i, width)
            here = classes[point]
            if here & SPACED and before & SPACED_WORD:
                before, i = here, i + width
                continue
            node, j, last, found = _ROOT, i + width, here, False
            while True:
                slot = _slot(keys, node, folded[point])
                if keys[slot] == _U(0):
                    break
                node, after_width, after = children[slot], 0, 0
                if j < end:
                    after_width = _width(data[j])
                    point = _decode(data, j, after_width)
                    after = classes[point]
                if not (last & SPACED and after & SPACED_WORD):
                    for entry in range(entry_starts[node], entry_starts[node + 1]):
                        language = languages[entry]
                        if ends[language] <= i or starts[language] == i:
                            starts[language], ends[language] = i, j
                            entries[language], nodes[language] = entry, node
                            found = True
                if j == end:
                    break
                last, j = after, j + after_width
            if found:
                if hits.shape[0] - n_hits < n_languages:
                    hits = np.concatenate((hits, np.empty_like(hits)))
                for language in range(n_languages):
                    counts = starts[language] == i
                    for entry in range(entry_starts[nodes[language]], entry_starts[nodes[language] + 1]):
                        counts &= languages[entry] != doc_languages[doc] or language == doc_languages[doc]
                    if counts:
                        hits[n_hits, 0], hits[n_hits, 1] = doc, words[entries[language]]
                        hits[n_hits, 2], hits[n_hits, 3] = i - begin, ends[language] - begin
                        n_hits += 1
            before, i = here, i + width
    return hits[:n_hits]
