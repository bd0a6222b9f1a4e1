"""From the bytes that hits cover to the tokens that they cover.

For a byte-level BPE the running sum of token lengths gives every position in one compiled pass; documents for which
that sum is not the text's length, and all documents of other tokenizers, use the library's own offsets.
"""

import numba as nb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pivot_udfs.counting.context_kernel import Tokens
from pivot_udfs.errors import WarehouseError
from pivot_udfs.matching.match_words import Hits
from pivot_udfs.storage.typed_columns import pylist, typed_column
from pivot_udfs.tokenization.backends import TokenizerSpec
from pivot_udfs.tokenization.token_offsets import check_ids, positions_exact, taken_as_they_are, token_byte_spans
from pivot_udfs.tokenization.vocabulary import vocabulary

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]


def tokens_of(documents: pa.RecordBatch, vocabulary_size: int) -> Tokens:
    """The flat ids of ``token_ids``; raises WarehouseError where one is outside [0, vocabulary_size)."""
    column = typed_column(documents, "token_ids", pa.ListArray)
    offsets = column.offsets.to_numpy().astype(np.int64)
    ids = column.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]].astype(np.int32, copy=False)
    if len(ids) and not (ids.min() >= 0 and ids.max() < vocabulary_size):
        raise WarehouseError(
            f"documents hold token ids from {ids.min()} to {ids.max()}, expected 0 to {vocabulary_size - 1}: they were "
            "made with another tokenizer; set tokenizer.path to that one or run tokenize_corpus again"
        )
    return Tokens(ids, offsets - offsets[0])


def locate_hits(spec: TokenizerSpec, texts: pa.StringArray, hits: Hits, tokens: Tokens) -> tuple[Int64, Int64]:
    """The token span of every hit, counted from the first token of its document: firsts and ends, each int64 (H,).

    A span goes from the first token that covers the hit's first byte to one past the last token that covers its last
    byte. Raises TokenizerError where a document's ids are not what this tokenizer gives.
    """
    n_bytes = pc.binary_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)
    lengths = vocabulary(spec).byte_lengths
    if lengths is None:
        exact = np.zeros(len(n_bytes), np.bool_)
        firsts, ends = np.zeros(len(hits.docs), np.int64), np.zeros(len(hits.docs), np.int64)
    else:
        exact = positions_exact(lengths, tokens.ids, tokens.doc_starts, n_bytes)
        if vocabulary(spec).normal_form:
            exact &= taken_as_they_are(spec, pylist(texts))
        firsts, ends = _walk(hits.docs, hits.byte_starts, hits.byte_ends, tokens.ids, tokens.doc_starts, lengths, exact)
    for doc in np.unique(hits.docs[~exact[hits.docs]]):
        of_doc = slice(*np.searchsorted(hits.docs, [doc, doc + 1]))
        ids = tokens.ids[tokens.doc_starts[doc] : tokens.doc_starts[doc + 1]]
        firsts[of_doc], ends[of_doc] = _look_up(
            spec, texts[int(doc)].as_py(), ids, hits.byte_starts[of_doc], hits.byte_ends[of_doc]
        )
    return firsts, ends


def _look_up(spec: TokenizerSpec, text: str, ids: Int32, byte_starts: Int64, byte_ends: Int64) -> tuple[Int64, Int64]:
    check_ids(spec, text, ids)
    starts, ends = token_byte_spans(spec, text)
    if not len(ids):
        return np.zeros(len(byte_starts), np.int64), np.zeros(len(byte_starts), np.int64)
    firsts = np.searchsorted(np.maximum.accumulate(ends), byte_starts, side="right")
    lasts = np.searchsorted(np.maximum.accumulate(starts), byte_ends - 1, side="right")
    firsts = np.minimum(firsts, len(ids) - 1)
    return firsts, np.maximum(lasts, firsts + 1)


@nb.njit(nogil=True, cache=True)
def _walk(
    docs: Int32, byte_starts: Int64, byte_ends: Int64, ids: Int32, doc_starts: Int64, lengths: Int32,
    exact: npt.NDArray[np.bool_],
) -> tuple[Int64, Int64]:  # fmt: skip
    firsts, ends = np.zeros(docs.size, np.int64), np.zeros(docs.size, np.int64)
    doc, token, token_end = -1, 0, 0
    for hit in range(docs.size):
        if not exact[docs[hit]]:
            continue
        if docs[hit] != doc:
            doc = docs[hit]
            token = doc_starts[doc]
            token_end = lengths[ids[token]]
        while token_end <= byte_starts[hit]:
            token += 1
            token_end += lengths[ids[token]]
        firsts[hit] = token - doc_starts[doc]
        last, last_end = token, token_end
        while last_end < byte_ends[hit]:
            last += 1
            last_end += lengths[ids[last]]
        ends[hit] = last + 1 - doc_starts[doc]
    return firsts, ends
