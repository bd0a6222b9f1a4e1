"""The executor steps of the report, on stored counts, and the marking of pivots in a text.

Marks are located in bytes, where token boundaries are exact, and then extended to whole characters.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pivot_udfs.counting.associations import npmi
from pivot_udfs.counting.read_counts import read_counts, word_ids
from pivot_udfs.schemas import TOKEN_COOCCURRENCE, WORD_COOCCURRENCE
from pivot_udfs.storage.typed_columns import pylist

WORD_ASSOCIATIONS = pa.schema([*WORD_COOCCURRENCE, ("npmi", pa.float64())])
NEAR = pa.schema([TOKEN_COOCCURRENCE.field(name) for name in ("token_id", "doc_count")])


@dataclass(frozen=True)
class Passage:
    """A part of a text."""

    segments: tuple[tuple[str, bool], ...]
    """(text, whether it is a pivot); joined they are the part exactly."""
    cut_before: bool
    cut_after: bool


def strongest_pairs(
    batches: Iterator[pa.RecordBatch], folder: str, words: pa.Table, n_docs: int, min_doc_count: int, n_best: int
) -> Iterator[pa.RecordBatch]:
    """The word pairs in files of ``word_cooccurrence`` with the highest npmi, in [-1, 1], of each two languages.

    ``words`` is ``word_totals`` of ``n_docs`` documents. Word pairs in fewer than ``min_doc_count`` documents, or with
    one surface, are left out. Yields batches in WORD_ASSOCIATIONS.
    """
    names = zip(pylist(words["lang"]), pylist(words["word"]), strict=True)
    numbers = {name: number for number, name in enumerate(names)}
    _, surfaces = np.unique([word.lower() for _, word in numbers], return_inverse=True)
    docs = words.column("doc_count").to_numpy().astype(np.float64)
    for batch in batches:
        for rows in read_counts("word_cooccurrence", pylist(batch.column(0)), folder):
            a, b = (word_ids(rows, numbers, side) for side in ("_a", "_b"))
            both = rows.column("doc_count").to_numpy()
            kept = np.flatnonzero((both >= min_doc_count) & (surfaces[a] != surfaces[b]))
            values = npmi(both[kept].astype(np.float64), docs[a[kept]], docs[b[kept]], float(n_docs))
            pairs = pa.table(rows.take(kept)).append_column("npmi", pa.array(values)).cast(WORD_ASSOCIATIONS)
            yield from best_of_languages(pairs, n_best).to_batches()


def best_of_languages(pairs: pa.Table, n: int) -> pa.Table:
    """The ``n`` strongest word pairs of each two languages, in order, from rows in WORD_ASSOCIATIONS."""
    return first_of_each(pairs, ["lang_a", "lang_b"], ["npmi", "doc_count"], ["word_a", "word_b"], n)


def first_of_each(rows: pa.Table, groups: list[str], largest: list[str], least: list[str], n: int) -> pa.Table:
    """The first ``n`` rows of each combination of values in ``groups``, ordered by ``largest``, then by ``least``."""
    ranked = rows.sort_by(
        [*((x, "ascending") for x in groups), *((x, "descending") for x in largest), *((x, "ascending") for x in least)]
    )
    codes = [ranked[name].combine_chunks().dictionary_encode().indices.to_numpy() for name in groups]
    numbers = np.cumsum(np.any(np.diff(codes, prepend=-1), axis=0))
    return ranked.filter(np.arange(len(numbers)) - np.searchsorted(numbers, numbers) < n)


def counts_near(batches: Iterator[pa.RecordBatch], folder: str, cells: pa.Table) -> Iterator[pa.RecordBatch]:
    """The counts of cells (token_id, lang, word) in files of ``token_cooccurrence``: batches in NEAR."""
    tokens = cells.column("token_id").unique()
    for batch in batches:
        for rows in read_counts("token_cooccurrence", pylist(batch.column(0)), folder, ("pair_count",)):
            of_tokens = pa.table(rows.filter(pc.is_in(rows.column("token_id"), tokens)))
            typed = of_tokens.cast(pa.schema([TOKEN_COOCCURRENCE.field(name) for name in rows.schema.names]))
            near = typed.join(cells, cells.column_names, join_type="inner")
            yield from near.select(NEAR.names).cast(NEAR).to_batches()


def mark_pivots(
    text: str, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], is_pivot: npt.NDArray[np.bool_], width: int
) -> Passage:
    """The passage of a text, ``width`` tokens or the whole text, that has the most pivots, with the pivots marked.

    Tokens (T,) have the bytes [starts, ends) of the text's UTF-8. A character that several tokens share is marked if
    one of them is a pivot; white space at the edges of a mark is excluded from it.
    """
    if not len(starts):
        return Passage(((text, False),) if text else (), False, False)
    begins = np.append(np.frombuffer(text.encode(), np.uint8) & 0xC0 != 0x80, True)  # a character begins at the byte
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(begins)])  # characters that begin before the byte
    is_shown, starts, ends = is_pivot & (ends > starts), before[starts] - ~begins[starts], before[ends]
    first = densest_window(is_pivot, width)
    last = min(first + width, len(starts))
    low = int(starts[first]) if first else 0
    high = int(ends[last - 1]) if last < len(starts) else len(text)
    marks = [(int(starts[k]), int(ends[k])) for k in range(first, last) if is_shown[k]]
    return Passage(_segments(text, low, high, _merged(marks)), low > 0, high < len(text))


def densest_window(is_pivot: npt.NDArray[np.bool_], width: int) -> int:
    """Index of the first token of the ``width`` consecutive tokens with the most pivots (ties: the earlier)."""
    if len(is_pivot) <= width:
        return 0
    upto = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_pivot, dtype=np.int64)])
    return int(np.argmax(upto[width:] - upto[:-width]))


def _merged(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merges spans that overlap; spans that only touch stay separate."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _segments(text: str, low: int, high: int, marks: Sequence[tuple[int, int]]) -> tuple[tuple[str, bool], ...]:
    segments: list[tuple[str, bool]] = []
    place = low
    for start, end in marks:
        marked = text[start:end].strip()
        if marked:
            at = text.index(marked, start)
            segments += [(text[place:at], False), (marked, True)]
            place = at + len(marked)
    segments.append((text[place:high], False))
    return tuple(segment for segment in segments if segment[0])
