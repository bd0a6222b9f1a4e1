"""The scoring step: how many of a document's tokens are pivots.

``pivot_density`` is n_pivot_tokens / n_tokens (0 for a document without tokens). Documents are ranked by the shrunken
density instead, see ``jobs.selection.shrunken_density``.
"""

from collections.abc import Collection, Iterator

import numba as nb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pivot_udfs.matching.locate_hits import tokens_of
from pivot_udfs.schemas import DOCUMENT_SCORES, DOCUMENTS
from pivot_udfs.storage.read_parquet import read_listed

_KEPT = ("source", "doc_id", "lang", "n_tokens", "shard", "record")
_READ = pa.schema([DOCUMENTS.field(name) for name in (*_KEPT, "token_ids")])


def pivot_numbers(pivot_ids: list[int], vocabulary_size: int) -> npt.NDArray[np.int32]:
    """The index of each token id among the pivots, -1 for other tokens: int32 (vocabulary_size,)."""
    numbers = np.full(vocabulary_size, -1, np.int32)
    numbers[pivot_ids] = np.arange(len(pivot_ids), dtype=np.int32)
    return numbers


def score_files(
    batches: Iterator[pa.RecordBatch], folder: str, numbers: npt.NDArray[np.int32], shards: Collection[str] | None
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Scores the documents in files, of which it does not read the texts; a ``TableStep``.

    Args:
        batches: one string column, files of ``documents``.
        folder: URI of that table.
        numbers: from ``pivot_numbers``.
        shards: only documents of these; None: all.

    Yields:
        as ``score_documents``.
    """
    return score_documents(read_listed(batches, folder, _READ, shards), numbers)


def score_documents(
    batches: Iterator[pa.RecordBatch], numbers: npt.NDArray[np.int32]
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Scores documents (with the columns that it keeps and token_ids); a ``TableStep``.

    Yields ("document_scores", batch in DOCUMENT_SCORES), one row for each document; ``numbers``: see ``pivot_numbers``.
    """
    for batch in batches:
        tokens = tokens_of(batch.column("token_ids"), len(numbers))
        n_pivots, n_distinct = count_pivots(tokens.ids, tokens.doc_starts, numbers)
        n_tokens = np.diff(tokens.doc_starts)
        columns = {name: batch.column(name) for name in _KEPT}
        columns |= {
            "n_pivot_tokens": pa.array(n_pivots),
            "n_distinct_pivots": pa.array(n_distinct),
            "pivot_density": pa.array(n_pivots / np.maximum(n_tokens, 1)),
        }
        rows = [columns[name] for name in DOCUMENT_SCORES.names]
        yield "document_scores", pa.RecordBatch.from_arrays(rows, schema=DOCUMENT_SCORES)


@nb.njit(nogil=True, cache=True)
def count_pivots(
    ids: npt.NDArray[np.int32], doc_starts: npt.NDArray[np.int64], numbers: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pivot tokens and distinct pivots of each document, each int64 (D,); ``numbers`` (V,) are ``pivot_numbers``.

    ``ids`` (T,) are those of all documents, document d has ids[doc_starts[d]:doc_starts[d + 1]].
    """
    n_docs = doc_starts.size - 1
    n_pivots, n_distinct = np.zeros(n_docs, np.int64), np.zeros(n_docs, np.int64)
    last_doc = np.full(numbers.max() + 2, -1, np.int64)
    for doc in range(n_docs):
        for k in range(doc_starts[doc], doc_starts[doc + 1]):
            pivot = numbers[ids[k]]
            if pivot >= 0:
                n_pivots[doc] += 1
                if last_doc[pivot] != doc:
                    last_doc[pivot] = doc
                    n_distinct[doc] += 1
    return n_pivots, n_distinct
