"""Counts and pivots of translation pairs in the corpus, looked up by words in either order."""

from collections import defaultdict
from dataclasses import dataclass

from jobs.gpu.common.read_tables import PinnedTable, read_columns

WordKey = tuple[str, str]
PairKey = tuple[WordKey, WordKey]


def pair_key(a: WordKey, b: WordKey) -> PairKey:
    """Two (language, word) keys in the order of the tables: the smaller first."""
    return (a, b) if a <= b else (b, a)


@dataclass(frozen=True)
class CorpusCounts:
    """Counts of a corpus; pairs and words that were never seen have count 0."""

    pairs: dict[PairKey, int]
    words: dict[WordKey, int]

    def pair(self, a: WordKey, b: WordKey) -> int:
        """Number of co-occurrences of the two words within the window."""
        return self.pairs.get(pair_key(a, b), 0)

    def word(self, word: WordKey) -> int:
        """Number of occurrences of the word."""
        return self.words.get(word, 0)


def read_counts(cooccurrence: PinnedTable, totals: PinnedTable) -> CorpusCounts:
    """All of ``word_cooccurrence`` and ``word_totals``."""
    keys = ["lang_a", "word_a", "lang_b", "word_b"]
    pairs = read_columns(cooccurrence, [*keys, "pair_count"]).to_pydict()
    words = read_columns(totals, ["lang", "word", "count"]).to_pydict()
    by_pair: dict[PairKey, int] = defaultdict(int)
    for la, wa, lb, wb, n in zip(*(pairs[k] for k in [*keys, "pair_count"]), strict=True):
        by_pair[pair_key((la, wa), (lb, wb))] += n
    by_word: dict[WordKey, int] = defaultdict(int)
    for lang, word, n in zip(words["lang"], words["word"], words["count"], strict=True):
        by_word[lang, word] += n
    return CorpusCounts(dict(by_pair), dict(by_word))


def read_pair_pivots(pivots: PinnedTable, n_pivots: int) -> dict[PairKey, list[int]]:
    """Token ids of the best ``n_pivots`` pivots of every pair that has any, best first."""
    columns = ["lang_a", "word_a", "lang_b", "word_b", "token_id", "rank"]
    rows = read_columns(pivots, columns).to_pydict()
    ranked: dict[PairKey, dict[int, int]] = defaultdict(dict)
    for la, wa, lb, wb, token, rank in zip(*(rows[k] for k in columns), strict=True):
        place = ranked[pair_key((la, wa), (lb, wb))]
        place[token] = min(rank, place.get(token, rank))
    return {
        key: sorted(ranks, key=lambda token, ranks=ranks: (ranks[token], token))[:n_pivots]  # type: ignore[misc]
        for key, ranks in ranked.items()
    }
