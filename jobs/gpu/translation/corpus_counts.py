"""Counts and pivots of translation pairs in the corpus, looked up by words in either order."""

from collections import defaultdict
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from jobs.gpu.common.read_tables import PinnedTable, read_columns

WordKey = tuple[str, str]
PairKey = tuple[WordKey, WordKey]


def pair_key(a: WordKey, b: WordKey) -> PairKey:
    """Two (language, word) keys in the order of the tables: the smaller first."""
    return (a, b) if a <= b else (b, a)


class PairCount(NamedTuple):
    """Co-occurrences of a pair within the window, and the number of documents with any."""

    pairs: int
    docs: int

    def sampled(self, key: PairKey, share: float) -> int:
        """The co-occurrences in a random sample of ``share`` (0..1) of the documents, drawn by the pair's words."""
        words = "\n".join(part for word in key for part in word)
        drawn = np.random.default_rng(crc32(words.encode())).binomial(self.docs, share)
        return round(self.pairs * drawn / self.docs) if drawn else 0


NO_PAIRS = PairCount(0, 0)


def read_pair_counts(table: PinnedTable) -> dict[PairKey, PairCount]:
    """The counts (``word_cooccurrence``) of every pair that has any."""
    la, wa, lb, wb, *counts = _columns(table, ["lang_a", "word_a", "lang_b", "word_b", "pair_count", "doc_count"])
    pairs = zip(zip(la, wa, strict=True), zip(lb, wb, strict=True), strict=True)
    return {pair_key(*pair): PairCount(*count) for pair, count in zip(pairs, zip(*counts, strict=True), strict=True)}


def read_word_counts(table: PinnedTable) -> dict[WordKey, int]:
    """Occurrences (``word_totals.count``) of every word that has any."""
    languages, words, counts = _columns(table, ["lang", "word", "count"])
    return dict(zip(zip(languages, words, strict=True), counts, strict=True))


def read_pair_pivots(pivots: PinnedTable, n_pivots: int) -> dict[PairKey, list[int]]:
    """Token ids of the best ``n_pivots`` pivots of every pair that has any, best first."""
    names = ["rank", "token_id", "lang_a", "word_a", "lang_b", "word_b"]
    ranked: dict[PairKey, dict[int, None]] = defaultdict(dict)
    for _, token, la, wa, lb, wb in sorted(zip(*_columns(pivots, names), strict=True)):
        ranked[pair_key((la, wa), (lb, wb))][token] = None
    return {key: list(tokens)[:n_pivots] for key, tokens in ranked.items()}


def read_concept_pivots(pivots: PinnedTable) -> dict[int, tuple[int, ...]]:
    """Token ids, ascending, of the pivots of any pair of each concept that has any."""
    found: dict[int, set[int]] = defaultdict(set)
    for concept, token in zip(*_columns(pivots, ["concept", "token_id"]), strict=True):
        found[concept].add(token)
    return {concept: tuple(sorted(found[concept])) for concept in sorted(found)}


def _columns(table: PinnedTable, names: list[str]) -> list[list[Any]]:
    return [column.to_pylist() for column in read_columns(table, names).columns]
