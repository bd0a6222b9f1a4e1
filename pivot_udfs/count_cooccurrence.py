"""The first counting step: documents in, partial rows of counts out, within a memory budget.

Whole documents are collected into a block; when the block has reached its share of the budget, the kernels count it
row by row and emit its cells in batches. A document is never cut, so a cell's counts add up over blocks, workers and
rebuilds: the result does not depend on the budget, the batches or the partitions. A block emits 0.3 cells a token;
emitting every pair would be 20. ``sum_counts`` adds the rows of all blocks up.
"""

import ctypes
import gc
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pivot_udfs.counting.context_kernel import Events, Tokens, count_contexts
from pivot_udfs.counting.dense_row import WHOLE_DOCUMENT, Cells, count_items, new_cells, order_by_row
from pivot_udfs.counting.partial_rows import Kind, packed_rows
from pivot_udfs.counting.whole_words import count_words, word_shapes
from pivot_udfs.counting.word_pair_kernel import PlacedHits, count_word_pairs
from pivot_udfs.matching.lexicon import Lexicon
from pivot_udfs.matching.locate_hits import locate_hits, tokens_of
from pivot_udfs.matching.match_words import word_matcher
from pivot_udfs.schemas import DOCUMENTS, N_SOURCE_GROUPS
from pivot_udfs.storage.typed_columns import pylist, typed_column
from pivot_udfs.text.identify_language import language_model
from pivot_udfs.tokenization.backends import TokenizerSpec, forget_encoders
from pivot_udfs.tokenization.vocabulary import vocabulary

COUNTED = pa.schema([DOCUMENTS.field(name) for name in ("source", "lang", "text", "token_ids")])
"""What is read of documents."""
_FIXED_BYTES = 560 << 20
"""Memory of a worker before it holds a document: interpreter, compiled kernels, the trie, one batch."""
_SLICE_BYTES = 2 << 20
_OUT_CELLS = 1 << 17


@dataclass(frozen=True)
class CountPlan:
    """All that a worker needs to count; travels in the step's closure."""

    lexicon: Lexicon
    tokenizer: TokenizerSpec
    window: int
    """In tokens; WHOLE_DOCUMENT for the whole document."""
    shared_surfaces: str
    memory_budget_mb: int

    @property
    def block_bytes(self) -> int:
        """Bytes of tokens and hits at which a block is counted; at its peak, counting holds about four times that."""
        return max(16 << 20, ((self.memory_budget_mb << 20) - _FIXED_BYTES) // 5)


def window_in_tokens(window: int | str) -> int:
    """The configured window as a number."""
    return WHOLE_DOCUMENT if window == "document" else int(window)


def count_cooccurrence(batches: Iterator[pa.RecordBatch], plan: CountPlan) -> Iterator[pa.RecordBatch]:
    """Counts whole documents (batches in COUNTED).

    Yields batches in PARTIAL_ROWS; a row may come more than once, its counts are to be summed.
    """
    release_memory()
    block = _Block(plan)
    for batch in batches:
        for part in _slices(batch):
            if block.n_bytes and block.n_bytes + part.nbytes > plan.block_bytes:
                yield from block.drain()
            block.add(part)
    yield from block.drain()


def release_memory() -> None:
    """Frees what earlier steps in this process left: encoders with their caches, freed blocks, Arrow's pool.

    After tokenizing that is some 150 MB, which the next step's memory budget does not include.
    """
    forget_encoders()
    language_model.cache_clear()
    gc.collect()
    pa.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)


def _slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch in slices of about _SLICE_BYTES of text, at least one document each."""
    if not batch.num_rows:
        return
    sizes = pc.binary_length(typed_column(batch, "text", pa.StringArray)).to_numpy(zero_copy_only=False)
    groups = np.cumsum(sizes) // _SLICE_BYTES
    starts = np.flatnonzero(np.diff(groups, prepend=-1)).tolist()
    for start, stop in zip(starts, [*starts[1:], batch.num_rows], strict=True):
        yield batch.slice(start, stop - start)


@dataclass
class _Block:
    plan: CountPlan
    n_bytes: int = 0
    n_docs: int = 0
    n_tokens: int = 0
    parts: list[dict[str, npt.NDArray[Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.n_columns = vocabulary(self.plan.tokenizer).size
        self.token_type = np.uint16 if self.n_columns <= 1 << 16 else np.uint32
        self.matcher = word_matcher(self.plan.lexicon, self.plan.shared_surfaces)
        self.shapes = word_shapes(self.plan.tokenizer)
        self.word_languages = np.array(self.plan.lexicon.word_languages(), np.int32)

    def add(self, batch: pa.RecordBatch) -> None:
        texts = typed_column(batch, "text", pa.StringArray)
        tokens = tokens_of(batch, self.n_columns)
        hits = self.matcher.find(texts, batch.column("lang").to_pylist())
        firsts, ends = locate_hits(self.plan.tokenizer, texts, hits, tokens)
        base = self.n_tokens + tokens.doc_starts[hits.docs]
        part = {
            "ids": tokens.ids.astype(self.token_type),
            "doc_starts": (tokens.doc_starts[:-1] + self.n_tokens),
            "words": hits.words,
            "firsts": (firsts + base).astype(np.uint32),
            "ends": (ends + base).astype(np.uint32),
            "groups": _source_groups(batch.column("source")),
            "docs": (hits.docs + self.n_docs).astype(np.int32),
            "char_starts": hits.byte_starts.astype(np.int32),
            "char_ends": hits.byte_ends.astype(np.int32),
        }
        self.parts.append(part)
        self.n_bytes += sum(array.nbytes for array in part.values())
        self.n_docs += batch.num_rows
        self.n_tokens += len(tokens.ids)

    def drain(self) -> Iterator[pa.RecordBatch]:
        """The cells of all documents added; the block is empty afterwards."""
        if not self.parts:
            return
        block = {name: np.concatenate([part.pop(name) for part in self.parts]) for name in list(self.parts[0])}
        block["doc_starts"] = np.append(block["doc_starts"], self.n_tokens)
        self.parts.clear()
        yield from self._count(block)
        self.n_bytes = self.n_docs = self.n_tokens = 0

    def _count(self, block: dict[str, npt.NDArray[Any]]) -> Iterator[pa.RecordBatch]:
        words, docs = block["words"], block["docs"]
        doc_hits = np.searchsorted(docs, np.arange(self.n_docs + 1)).astype(np.int64)
        yield _totals(Kind.WORD_TOTALS, *count_items(words, doc_hits, len(self.word_languages)))
        yield _totals(Kind.TOKEN_TOTALS, *count_items(block["ids"], block["doc_starts"], self.n_columns))
        for group in np.unique(block["groups"]):
            of_group = np.flatnonzero(block["groups"] == group)
            counts = count_words(block["ids"], block["doc_starts"], of_group, self.shapes)
            yield _totals(Kind.TOKEN_SOURCES, *counts, row=group)
        window, n_words = self.plan.window, len(self.word_languages)
        order, row_starts = order_by_row(words, n_words)
        places = (block["firsts"], block["char_starts"], block["char_ends"])
        hits = PlacedHits(words, *places, docs, doc_hits, order, row_starts)
        longest = int(np.max(block["char_ends"] - block["char_starts"], initial=0))

        def pairs(row: int, out: Cells) -> tuple[int, int]:
            return count_word_pairs(hits, self.word_languages, row, window, longest, out)

        yield from _emit(Kind.WORD_COOCCURRENCE, pairs, n_words, n_words)
        tokens = Tokens(block["ids"], block["doc_starts"])
        events = Events(block["firsts"][order], block["ends"][order], docs[order], row_starts)

        def contexts(row: int, out: Cells) -> tuple[int, int]:
            return count_contexts(tokens, events, row, window, window, self.n_columns, out)

        yield from _emit(Kind.TOKEN_COOCCURRENCE, contexts, n_words, self.n_columns)


def _emit(
    kind: Kind, count: Callable[[int, Cells], tuple[int, int]], n_rows: int, n_columns: int
) -> Iterator[pa.RecordBatch]:
    """Counts from a row on until all rows are done, a batch of cells each time the output is full."""
    out, row = new_cells(max(_OUT_CELLS, 4 * n_columns)), 0
    while row < n_rows:
        n_cells, row = count(row, out)
        yield packed_rows(kind, *(column[:n_cells] for column in out))


def _source_groups(sources: "pa.Array[pa.StringScalar]") -> npt.NDArray[np.uint8]:
    """The group of each source, from the CRC-32 of its UTF-8 bytes."""
    names = sources.dictionary_encode()
    groups = [crc32(name.encode()) % N_SOURCE_GROUPS for name in pylist(names.dictionary)]
    found: npt.NDArray[np.uint8] = np.array(groups, np.uint8)[names.indices.to_numpy()]
    return found


def _totals(kind: Kind, counts: Any, docs: Any, row: int = 0) -> pa.RecordBatch:
    items = np.flatnonzero(docs).astype(np.int32)
    return packed_rows(kind, np.full_like(items, row), items, counts[items], docs[items])
