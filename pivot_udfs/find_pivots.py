"""The steps that find pivots: counted contexts in, associations by concept, the pivots of each word pair, the hubs out.

The files of ``token_cooccurrence`` are read where they are needed. Only associations above the floor are shuffled, a
word's as one packed row, to the tasks of the concepts that have the word. Pair pivots are at most ``pivots_per_pair``
for each word pair, whatever the corpus: the driver holds them all to rank the hubs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pivot_udfs.counting.associations import MEASURES
from pivot_udfs.counting.read_counts import read_counts, word_ids
from pivot_udfs.matching.concept_halves import concept_halves
from pivot_udfs.matching.lexicon import Lexicon, surface_forms
from pivot_udfs.schemas import PAIR_PIVOTS
from pivot_udfs.setting_sections.pivot_and_selection_settings import Pivots
from pivot_udfs.storage.typed_columns import pylist, required
from pivot_udfs.tokenization.backends import TokenizerSpec
from pivot_udfs.tokenization.vocabulary import vocabulary, word_token_ids

ASSOCIATIONS = pa.schema(
    [
        required("concept", pa.int32()),
        required("word", pa.int32()),  # word id
        required("tokens", pa.binary()),  # int32: token ids
        required("associations", pa.binary()),  # float64, one a token
    ]
)
"""A word's associations, for one of its concepts."""


class _Word(NamedTuple):
    """A word of a concept: the tokens associated with it, its own tokens, and its folded forms."""

    tokens: npt.NDArray[np.int32]
    associations: npt.NDArray[np.float64]
    own: list[int]
    forms: frozenset[str]


class TokenFigures(NamedTuple):
    """What the counts say of every token; arrays (vocabulary size,)."""

    doc_count: npt.NDArray[np.int64]
    """Documents with the token."""
    doc_share: npt.NDArray[np.float64]
    """Share of all documents, in [0, 1]."""
    word_share: npt.NDArray[np.float64]
    """Share of its occurrences in which it is a whole word, in [0, 1]."""
    n_sources: npt.NDArray[np.int64]
    """Groups of sources with the token."""
    usable: npt.NDArray[np.bool_]
    """Not special, and with a letter."""


@dataclass(frozen=True)
class PivotPlan:
    """All that a worker needs to find pair pivots; travels in the step's closure."""

    lexicon: Lexicon
    tokenizer: TokenizerSpec
    pivots: Pivots
    n_docs: int
    word_docs: npt.NDArray[np.int64]
    """(words,): documents with each word id."""
    tokens: TokenFigures

    @cached_property
    def concepts_of(self) -> dict[int, list[int]]:
        """The concepts of each word id."""
        found: dict[int, list[int]] = {}
        for concept, cells in enumerate(self.lexicon.concepts):
            for word in set(cells) - {-1}:
                found.setdefault(word, []).append(concept)
        return found


def associate_files(batches: Iterator[pa.RecordBatch], folder: str, plan: PivotPlan) -> Iterator[pa.RecordBatch]:
    """The associations above the floor of words and tokens that are frequent enough, in files of their counts.

    Yields batches in ASSOCIATIONS; a word may come more than once, with other tokens.
    """
    numbers = plan.lexicon.word_numbers()
    for files in batches:
        for batch in read_counts("token_cooccurrence", pylist(files.column(0)), folder, ("pair_count",)):
            words, tokens = word_ids(batch, numbers), batch.column("token_id").to_numpy()
            yield _packed(plan, *_associated(plan, words, tokens, batch.column("doc_count").to_numpy()))


def _associated(plan: PivotPlan, words: Any, tokens: Any, docs: Any) -> tuple[Any, Any, Any]:
    """Words, tokens and associations of the cells that are kept, ordered by word."""
    pivots, usable = plan.pivots, plan.tokens.usable & (plan.tokens.word_share >= plan.pivots.min_word_share)
    kept = (docs >= pivots.min_doc_count) & usable[tokens] & (plan.word_docs[words] >= pivots.min_word_doc_count)
    words, tokens, docs = words[kept], tokens[kept], docs[kept]
    both, of_word, of_token = (
        counts.astype(np.float64) for counts in (docs, plan.word_docs[words], plan.tokens.doc_count[tokens])
    )
    values = MEASURES[pivots.association].associate(both, of_word, of_token, float(plan.n_docs))
    above = np.flatnonzero(values > pivots.score_floor)
    order = above[np.argsort(words[above], kind="stable")]
    return words[order], tokens[order], values[order]


def _packed(plan: PivotPlan, words: Any, tokens: Any, values: Any) -> pa.RecordBatch:
    bounds = [*np.flatnonzero(np.diff(words, prepend=-1)).tolist(), len(words)]
    rows = [
        (concept, words[start], tokens[start:stop].tobytes(), values[start:stop].tobytes())
        for start, stop in pairwise(bounds)
        for concept in plan.concepts_of.get(int(words[start]), ())
    ]
    columns = zip(*rows, strict=True) if rows else [()] * len(ASSOCIATIONS)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, ASSOCIATIONS, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=ASSOCIATIONS)


def find_pair_pivots(batches: Iterator[pa.RecordBatch], plan: PivotPlan) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The best pivots of each word pair of each concept: ("pair_pivots", batch in its schema).

    Takes batches in ASSOCIATIONS, ordered by concept and word, with all words of a concept.
    """
    rows = (row for batch in batches for row in batch.to_pylist())
    for concept, of_concept in groupby(rows, key=lambda row: row["concept"]):
        words = {
            word: _word(plan, word, list(parts)) for word, parts in groupby(of_concept, key=lambda row: row["word"])
        }
        cells = [word for word in plan.lexicon.concepts[concept] if word in words]
        for a, b in combinations(cells, 2):
            if words[a].forms.isdisjoint(words[b].forms):
                yield "pair_pivots", _best(plan, concept, (a, b), (words[a], words[b]))


def pair_pivots(batches: Iterator[pa.RecordBatch], plan: PivotPlan) -> Iterator[pa.RecordBatch]:
    """The rows of ``find_pair_pivots``."""
    return (rows for _, rows in find_pair_pivots(batches, plan))


def best_hubs(pairs: pa.Table, plan: PivotPlan) -> list[dict[str, Any]]:
    """The rows of ``pivots``, best first: the tokens that are pivots of many concepts, from rows of ``pair_pivots``.

    A pair has one vote, of which each of its pivots has its score divided by their number.
    """
    concepts, scores = (pairs.column(name).to_numpy() for name in ("concept", "score"))
    # By the stubs the separator is an array too.
    named = pc.binary_join_element_wise(pairs["lang_a"], pairs["lang_b"], "/")  # type: ignore[call-overload]
    languages = named.combine_chunks().dictionary_encode().indices.to_numpy()
    ids, rows = np.unique(pairs.column("token_id").to_numpy(), return_inverse=True)
    numbers = concepts * (int(languages.max(initial=0)) + 1) + languages
    _, of_pair, n_pivots = np.unique(numbers, return_inverse=True, return_counts=True)
    in_a = concept_halves(range(len(plan.lexicon.concepts)), plan.pivots.half_seed)[concepts]
    a, b = (_sums(rows, np.where(half, np.maximum(scores, 0.0), 0.0)) for half in (in_a, ~in_a))
    figures = {
        "token_id": ids,
        "token": np.array(vocabulary(plan.tokenizer).texts, object)[ids],
        "score": _sums(rows, scores),
        "half_balance": np.divide(a - b, a + b, out=np.zeros(len(ids)), where=a + b != 0),
        "n_concepts": _n_distinct(rows, concepts),
        "n_language_pairs": _n_distinct(rows, languages),
    }
    figures |= {name: getattr(plan.tokens, name)[ids] for name in ("doc_share", "word_share", "n_sources")}
    ranked_by = {"score": figures["score"], "votes": _sums(rows, scores / n_pivots[of_pair])}[plan.pivots.rank_by]
    kept = np.flatnonzero(
        (figures["n_concepts"] >= plan.pivots.min_concepts)
        & (figures["doc_share"] <= plan.pivots.max_doc_share)
        & (figures["n_sources"] >= plan.pivots.min_sources)
    )
    best = kept[np.lexsort((ids[kept], -ranked_by[kept]))][: plan.pivots.n_pivots]
    hubs: list[dict[str, Any]] = pa.table({name: values[best] for name, values in figures.items()}).to_pylist()
    return [hub | {"rank": rank} for rank, hub in enumerate(hubs, 1)]


def _sums(rows: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The sum of each row number's values. A sum of doubles depends on its order; sorted, it is always the same."""
    order = np.lexsort((values, rows))
    return np.bincount(rows[order], values[order]).astype(np.float64, copy=False)


def _n_distinct(rows: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """How many distinct values (integers, 0 or more) each row number has."""
    width = int(values.max(initial=0)) + 1
    return np.bincount(np.unique(rows * width + values) // width)


def _word(plan: PivotPlan, number: int, parts: list[dict[str, Any]]) -> _Word:
    text = plan.lexicon.words[number][1]
    tokens = np.concatenate([np.frombuffer(part["tokens"], np.int32) for part in parts])
    associations = np.concatenate([np.frombuffer(part["associations"]) for part in parts])
    own = list(word_token_ids(plan.tokenizer, text))
    return _Word(tokens, associations, own, frozenset(surface_forms(text)))


def _best(plan: PivotPlan, concept: int, pair: tuple[int, int], sides: tuple[_Word, _Word]) -> pa.RecordBatch:
    a, b = sides
    tokens, at_a, at_b = np.intersect1d(a.tokens, b.tokens, assume_unique=True, return_indices=True)
    associations = a.associations[at_a], b.associations[at_b]
    score = np.minimum(*associations)
    order = np.lexsort((tokens, -score))
    order = order[~np.isin(tokens[order], a.own + b.own)][: plan.pivots.pivots_per_pair]
    texts, n_rows = vocabulary(plan.tokenizer).texts, len(order)
    names = [[name] * n_rows for word in pair for name in plan.lexicon.words[word]]
    ids = tokens[order]
    numbers = [*(values[order] for values in associations), score[order], np.arange(1, n_rows + 1)]
    columns: list[Any] = [[concept] * n_rows, *names, ids, [texts[token] for token in ids.tolist()], *numbers]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, PAIR_PIVOTS, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=PAIR_PIVOTS)
