"""The step that computes associations: counted contexts in, the associations that exceed a floor out."""

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pivot_udfs.counting.associations import associate

_COUNTED = ("doc_count", "word_docs", "token_docs")
ASSOCIATIONS = pa.schema(
    [
        pa.field("lang", pa.string(), nullable=False),
        pa.field("word", pa.string(), nullable=False),
        pa.field("token_id", pa.int32(), nullable=False),
        pa.field("association", pa.float64(), nullable=False),
    ]
)


def associate_rows(
    batches: Iterator[pa.RecordBatch], measure: str, n_docs: int, floor: float, usable: npt.NDArray[np.bool_]
) -> Iterator[pa.RecordBatch]:
    """Associations of counted contexts.

    Args:
        batches: columns lang, word, token_id, doc_count (both), word_docs, token_docs.
        measure: a key of ``associations.MEASURES``.
        n_docs: documents in all.
        floor: associations must exceed it; both sides of a pair must, since the pair's score is the smaller.
        usable: bool (vocabulary size,): tokens that may be pivots.

    Yields:
        batches in ASSOCIATIONS.
    """
    for batch in batches:
        both, word, token = (batch.column(name).to_numpy().astype(np.float64) for name in _COUNTED)
        association = associate(measure, both, word, token, float(n_docs))
        kept = pa.array((association > floor) & usable[batch.column("token_id").to_numpy()])
        columns = [batch.column("lang"), batch.column("word"), batch.column("token_id"), pa.array(association)]
        yield pa.RecordBatch.from_arrays(columns, schema=ASSOCIATIONS).filter(kept)


def drift_between(pinned: Collection[int], found: Collection[int]) -> float:
    """The share of the larger of two pivot sets (token ids) that the other lacks, in [0, 1]; 0 where both are empty."""
    largest = max(len(pinned), len(found))
    return 1 - len({*pinned} & {*found}) / largest if largest else 0.0
