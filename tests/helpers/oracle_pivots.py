"""Pivots again, by brute force: one cell at a time with ``math``, every concept against every token."""

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from itertools import combinations
from typing import Any, NamedTuple, TypeVar

import oracle

K = TypeVar("K")


class PairPivot(NamedTuple):
    """A row of ``pair_pivots``, but for its rank and text."""

    concept: int
    lang_a: str
    word_a: str
    lang_b: str
    word_b: str
    token_id: int
    score: float


def npmi(both: int, word: int, token: int, n_docs: int) -> float:
    """Normalized pointwise mutual information (Bouma 2009); 1 where every document has both."""
    if both == n_docs:
        return 1.0
    joint, p_word, p_token = Fraction(both, n_docs), Fraction(word, n_docs), Fraction(token, n_docs)
    return _log(joint / (p_word * p_token)) / -_log(joint)


def _log(ratio: Fraction) -> float:
    """Of an exact ratio; near 1 by log1p, since a double cannot hold how near."""
    near = abs(ratio - 1) < Fraction(1, 4)
    return math.log1p(float(ratio - 1)) if near else math.log(ratio.numerator) - math.log(ratio.denominator)


def lift_difference(both: int, word: int, token: int, n_docs: int) -> float:
    """p(token | word) - p(token)."""
    return both / word - token / n_docs


def llr(both: int, word: int, token: int, n_docs: int) -> float:
    """Dunning's G2 from entropies to 60 digits, 0 where the association is not positive."""

    def entropy(*counts: int) -> Decimal:
        return -sum((count * (Decimal(count) / sum(counts)).ln() for count in counts if count), Decimal(0))

    if both * n_docs <= word * token:
        return 0.0
    cells = [both, word - both, token - both, n_docs - word - token + both]
    with localcontext(Context(prec=60)):
        return float(2 * (entropy(word, n_docs - word) + entropy(token, n_docs - token) - entropy(*cells)))


MEASURES: dict[str, Callable[[int, int, int, int], float]] = {
    "npmi": npmi,
    "lift_difference": lift_difference,
    "llr": llr,
}


def pair_pivots(
    tables: oracle.Tables,
    concepts: Sequence[Mapping[str, str]],
    n_docs: int,
    unusable: frozenset[int],
    own_tokens: Callable[[str], frozenset[int]],
    measure: str = "npmi",
    floor: float = 0.15,
    min_doc_count: int = 5,
    min_word_doc_count: int = 10,
    per_pair: int = 50,
) -> list[PairPivot]:
    """All pair pivots, best first within each pair."""
    associate, found = MEASURES[measure], []
    for concept, words in enumerate(concepts):
        for a, b in combinations(sorted(words.items()), 2):
            same = oracle.forms_of([a[1]]).keys() & oracle.forms_of([b[1]]).keys()
            frequent = all(tables.word_totals.get(word, [0, 0])[1] >= min_word_doc_count for word in (a, b))
            if same or not frequent:
                continue
            excluded = unusable | own_tokens(a[1]) | own_tokens(b[1])
            rows = []
            for token, (_, token_docs) in tables.token_totals.items():
                counts = [tables.token_cooccurrence.get((*word, token), [0, 0])[1] for word in (a, b)]
                if token in excluded or min(counts) < min_doc_count:
                    continue
                sides = (
                    associate(n, tables.word_totals[w][1], token_docs, n_docs)
                    for n, w in zip(counts, (a, b), strict=True)
                )
                rows.append(PairPivot(concept, *a, *b, token, min(sides)))
            best = sorted((row for row in rows if row.score > floor), key=lambda row: (-row.score, row.token_id))
            found += best[:per_pair]
    return found


def word_share(tables: oracle.Tables, token: int) -> float:
    """Share of a token's occurrences in which it is a whole word."""
    words = sum(counts[0] for (_, token_id), counts in tables.token_sources.items() if token_id == token)
    return words / tables.token_totals[token][0]


def pivots(
    pairs: Sequence[PairPivot],
    tables: oracle.Tables,
    n_docs: int,
    n_pivots: int,
    max_doc_share: float,
    min_concepts: int = 1,
) -> list[tuple[int, float, int, int]]:
    """(token_id, score, n_concepts, n_language_pairs), best first."""
    rows = []
    for token in {pair.token_id for pair in pairs}:
        of_token = [pair for pair in pairs if pair.token_id == token]
        n_concepts = len({pair.concept for pair in of_token})
        if tables.token_totals[token][1] / n_docs <= max_doc_share and n_concepts >= min_concepts:
            languages = {(pair.lang_a, pair.lang_b) for pair in of_token}
            score = math.fsum(pair.score for pair in of_token)
            rows.append((token, score, n_concepts, len(languages)))
    return sorted(rows, key=lambda row: (-row[1], row[0]))[:n_pivots]


def shrunken_densities(scores: Mapping[K, Mapping[str, Any]], k: int) -> dict[K, float]:
    """(n_pivot_tokens + k m) / (n_tokens + k) of rows of ``document_scores``, m being the language's density."""
    found = {}
    for key, row in scores.items():
        same = [other for other in scores.values() if other["lang"] == row["lang"]]
        mean = Fraction(sum(r["n_pivot_tokens"] for r in same), max(1, sum(r["n_tokens"] for r in same)))
        found[key] = float((row["n_pivot_tokens"] + k * mean) / (row["n_tokens"] + k))
    return found
