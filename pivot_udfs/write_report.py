"""The executor step of the report, the association of word pairs, and the marking of pivots in a text.

Marks are located in bytes, where token boundaries are exact, and then extended to whole characters.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pivot_udfs.counting.associations import npmi
from pivot_udfs.schemas import WORD_COOCCURRENCE

WORD_ASSOCIATIONS = pa.schema(
    [*WORD_COOCCURRENCE, ("docs_a", pa.int64()), ("docs_b", pa.int64()), ("npmi", pa.float64())]
)
"""``docs_a`` and ``docs_b`` are the documents with each word."""


@dataclass(frozen=True)
class Passage:
    """A part of a text."""

    segments: tuple[tuple[str, bool], ...]
    """(text, whether it is a pivot); joined they are the part exactly."""
    cut_before: bool
    cut_after: bool


def associate_word_pairs(batches: Iterator[pa.RecordBatch], n_docs: int) -> Iterator[pa.RecordBatch]:
    """Adds npmi, in [-1, 1], to counted word pairs in a corpus of ``n_docs`` documents.

    ``batches`` have the columns of WORD_ASSOCIATIONS except npmi; yields batches in WORD_ASSOCIATIONS.
    """
    for batch in batches:
        both, docs_a, docs_b = (
            batch.column(name).to_numpy().astype(np.float64) for name in ("doc_count", "docs_a", "docs_b")
        )
        values = pa.array(npmi(both, docs_a, docs_b, float(n_docs)))
        columns = [batch.column(name) for name in WORD_ASSOCIATIONS.names[:-1]]
        yield pa.RecordBatch.from_arrays([*columns, values], schema=WORD_ASSOCIATIONS)


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
