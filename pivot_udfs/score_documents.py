"""The scoring step: how many of a document's tokens are pivots, and how many are words of the lexicon.

``pivot_density`` is n_pivot_tokens / n_tokens (0 for a document without tokens). Documents are ranked by the shrunken
density instead, see ``jobs.selection.shrunken_density``.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pivot_udfs.counting.lexicon_words import count_lexicon_words, foreign_kinds, word_kinds
from pivot_udfs.counting.whole_words import word_shapes
from pivot_udfs.matching.lexicon import Lexicon
from pivot_udfs.matching.locate_hits import tokens_of
from pivot_udfs.schemas import DOCUMENT_SCORES, DOCUMENTS
from pivot_udfs.storage.read_parquet import read_listed
from pivot_udfs.storage.typed_columns import pylist
from pivot_udfs.tokenization.backends import TokenizerSpec

_KEPT = ("source", "doc_id", "lang", "n_tokens", "shard", "record")
_READ = pa.schema([DOCUMENTS.field(name) for name in (*_KEPT, "token_ids")])


@dataclass(frozen=True)
class ScorePlan:
    """All that a worker needs to score documents; travels in the step's closure."""

    numbers: npt.NDArray[np.int32]
    """(vocabulary size,): the index of each token id among the pivots, -1 for other tokens."""
    balances: npt.NDArray[np.float64]
    """(pivots,): their ``half_balance``, each in [-1, 1]."""
    lexicon: Lexicon
    kinds: npt.NDArray[np.uint8]
    """(vocabulary size,): of ``word_kinds``."""
    shapes: npt.NDArray[np.uint8]
    """(vocabulary size,): of ``word_shapes``."""


def score_plan(balances: Mapping[int, float], tokenizer: TokenizerSpec, lexicon: Lexicon) -> ScorePlan:
    """The plan for pivots, given as ``half_balance`` by token id, a tokenizer and a lexicon."""
    shapes = word_shapes(tokenizer)
    numbers = np.full(len(shapes), -1, np.int32)
    numbers[list(balances)] = np.arange(len(balances), dtype=np.int32)
    of_pivots = np.fromiter(balances.values(), np.float64)
    return ScorePlan(numbers, of_pivots, lexicon, word_kinds(tokenizer, lexicon), shapes)


def score_files(
    batches: Iterator[pa.RecordBatch], folder: str, plan: ScorePlan, shards: Collection[str] | None
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Scores the documents in files, without their texts, of all shards or these, as ``score_documents``."""
    return score_documents(read_listed(batches, folder, _READ, shards), plan)


def score_documents(batches: Iterator[pa.RecordBatch], plan: ScorePlan) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Scores documents (with the columns that it keeps and token_ids); a ``TableStep``.

    Yields ("document_scores", batch in DOCUMENT_SCORES), one row for each document.
    """
    for batch in batches:
        tokens = tokens_of(batch, len(plan.numbers))
        n_pivots, n_distinct, balance = count_pivots(tokens.ids, tokens.doc_starts, plan.numbers, plan.balances)
        foreign = foreign_kinds(plan.lexicon, pylist(batch.column("lang")))
        n_words, n_foreign = count_lexicon_words(tokens.ids, tokens.doc_starts, foreign, plan.kinds, plan.shapes)
        n_tokens = np.maximum(np.diff(tokens.doc_starts), 1)
        columns = {name: batch.column(name) for name in _KEPT}
        columns |= {
            "n_pivot_tokens": pa.array(n_pivots),
            "n_distinct_pivots": pa.array(n_distinct),
            "pivot_density": pa.array(n_pivots / n_tokens),
            "half_balance": pa.array(balance / n_tokens),
            "word_share": pa.array(n_words / n_tokens),
            "foreign_share": pa.array(n_foreign / n_tokens),
        }
        rows = [columns[name] for name in DOCUMENT_SCORES.names]
        yield "document_scores", pa.RecordBatch.from_arrays(rows, schema=DOCUMENT_SCORES)


@nb.njit(nogil=True, cache=True)
def count_pivots(
    ids: npt.NDArray[np.int32],
    doc_starts: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.int32],
    balances: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Pivot tokens, distinct pivots, and the sum of the pivot tokens' balances of each document, each (D,).

    ``ids`` (T,) are those of all documents, document d has ids[doc_starts[d]:doc_starts[d + 1]]; ``numbers`` and
    ``balances`` are those of a ``ScorePlan``.
    """
    n_docs = doc_starts.size - 1
    n_pivots, n_distinct, balance = np.zeros(n_docs, np.int64), np.zeros(n_docs, np.int64), np.zeros(n_docs)
    last_doc = np.full(balances.size, -1, np.int64)
    for doc in range(n_docs):
        for k in range(doc_starts[doc], doc_starts[doc + 1]):
            pivot = numbers[ids[k]]
            if pivot >= 0:
                n_pivots[doc] += 1
                balance[doc] += balances[pivot]
                if last_doc[pivot] != doc:
                    last_doc[pivot] = doc
                    n_distinct[doc] += 1
    return n_pivots, n_distinct, balance
