"""How strongly a token is tied to a word, from document counts; and the step that computes it for a table's rows.

With n documents, of which a word is in w, a token in t, and both within the window in k (design, Pair pivots):

* ``npmi``: ln(p(t, w) / (p(t) p(w))) / -ln p(t, w), in [-1, 1] (Bouma 2009); 1 where all documents have both;
* ``lift_difference``: k / w - t / n, in [-1, 1]: what the authors of the paper released;
* ``llr``: Dunning's (1993) G2 of the 2 x 2 table of documents, 0 where k is no more than chance gives.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Counts = npt.NDArray[np.float64]

_COUNTED = ("doc_count", "word_docs", "token_docs")
_COUNTED = ("doc_count", "word_docs", "token_docs")
ASSOCIATIONS = pa.schema(
    [
        pa.field("lang", pa.string(), nullable=False),
        pa.field("word", pa.string(), nullable=False),
        pa.field("token_id", pa.int32(), nullable=False),
        pa.field("association", pa.float64(), nullable=False),
    ]
)


def associate(kind: str, both: Counts, word: Counts, token: Counts, n_docs: float) -> Counts:
    """The association of tokens with words.

    Args:
        kind: ``npmi``, ``lift_difference`` or ``llr``.
        both: (N,) documents in which they co-occur, at least 1.
        word: (N,) documents with the word.
        token: (N,) documents with the token.
        n_docs: documents in all.

    Returns:
        float64 (N,).
    """
    if kind == "npmi":
        return _npmi(both, word, token, n_docs)
    if kind == "lift_difference":
        return both / word - token / n_docs
    return _llr(both, word, token, n_docs)


def _npmi(both: Counts, word: Counts, token: Counts, n_docs: float) -> Counts:
    surprise = -_log_ratio(both, np.full_like(both, n_docs))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = _log_ratio(both * n_docs, word * token) / surprise
    return np.clip(np.where(surprise > 0, value, 1.0), -1.0, 1.0)


def _log_ratio(above: Counts, below: Counts) -> Counts:
    """ln(above / below), to full precision also where the two are nearly the same."""
    excess = (above - below) / below
    return np.where(np.abs(excess) < 0.5, np.log1p(np.maximum(excess, -0.5)), np.log(above) - np.log(below))


def _llr(both: Counts, word: Counts, token: Counts, n_docs: float) -> Counts:
    cells = np.stack([both, word - both, token - both, n_docs - word - token + both])
    rows = np.stack([word, word, n_docs - word, n_docs - word])
    columns = np.stack([token, n_docs - token, token, n_docs - token])
    expected = rows * columns / n_docs
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(cells > 0, cells * np.log(cells / expected), 0.0)
    return np.where(both > expected[0], 2.0 * np.maximum(terms.sum(axis=0), 0.0), 0.0)


def associate_rows(
    batches: Iterator[pa.RecordBatch], kind: str, n_docs: int, floor: float, usable: npt.NDArray[np.bool_]
) -> Iterator[pa.RecordBatch]:
    """Associations of counted contexts.

    Args:
        batches: columns lang, word, token_id, doc_count (both), word_docs, token_docs.
        kind: the measure.
        n_docs: documents in all.
        floor: associations must exceed it; both sides of a pair must, since the pair's score is the smaller.
        usable: bool (vocabulary size,): tokens that may be pivots.

    Yields:
        batches in ASSOCIATIONS.
    """
    for batch in batches:
        both, word, token = (batch.column(name).to_numpy().astype(np.float64) for name in _COUNTED)
        association = associate(kind, both, word, token, float(n_docs))
        kept = pa.array((association > floor) & usable[batch.column("token_id").to_numpy()])
        columns = [batch.column("lang"), batch.column("word"), batch.column("token_id"), pa.array(association)]
        yield pa.RecordBatch.from_arrays(columns, schema=ASSOCIATIONS).filter(kept)
