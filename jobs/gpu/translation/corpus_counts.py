"""Counts and pivots of translation pairs in the corpus, looked up by words in either order."""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np

from jobs.gpu.common.read_tables import PinnedTable, read_columns

WordKey = tuple[str, str]
PairKey = tuple[WordKey, WordKey]


def pair_key(a: WordKey, b: WordKey) -> PairKey:
    """Two (language, word) keys in the order of the tables: the smaller first."""
    return (a, b) if a <= b else (b, a)


def sampled_count(key: PairKey, n_pairs: int, occurrences: Mapping[WordKey, int], limit: int) -> int:
    """An estimate of the ``n_pairs`` co-occurrences of two words from at most ``limit`` occurrences of each.

    A pair remains if both of its occurrences are drawn (by the words), each pair by itself; those that remain are
    multiplied up.
    """
    kept = math.prod(min(1.0, limit / max(1, occurrences.get(word, 0))) for word in key)
    names = "\n".join(part for word in key for part in word)
    return round(np.random.default_rng(crc32(names.encode())).binomial(n_pairs, kept) / kept)


def read_pair_counts(table: PinnedTable) -> dict[PairKey, int]:
    """The co-occurrences (``word_cooccurrence.pair_count``) of every pair that has any."""
    la, wa, lb, wb, counts = _columns(table, ["lang_a", "word_a", "lang_b", "word_b", "pair_count"])
    pairs = zip(zip(la, wa, strict=True), zip(lb, wb, strict=True), strict=True)
    return {pair_key(*pair): count for pair, count in zip(pairs, counts, strict=True)}


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
