"""The first step: shards in, rows of ``documents`` or of ``quarantine`` out.

Documents and quarantine are two passes over the same deterministic reader: a clean corpus is read once, and the
shards with rejected records (the shard counts say which) once more for their quarantine rows.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pivot_udfs.schemas import DOCUMENTS, QUARANTINE
from pivot_udfs.shards.read_shard import Document, ReadLimits, Rejected, read_shard
from pivot_udfs.text.identify_language import identify_languages
from pivot_udfs.tokenization.backends import Encoder, TokenizerSpec, encoder
from pivot_udfs.tokenization.text_batch import TextBatch

BATCH_CHARACTERS = 4 << 20
"""Text of a batch, 4 to 16 MB; a larger document is a batch of its own."""
_BATCH_DOCUMENTS = 4096

ShardCounts = dict[str, tuple[int, int, int]]
"""By shard: documents, rejected records, tokens."""


class ShardCountsMerge:
    """How Spark's accumulator merges shard counts; a retried task reports the same, so nothing is counted twice."""

    def zero(self, value: ShardCounts) -> ShardCounts:
        """No counts."""
        return {}

    def addInPlace(self, left: ShardCounts, right: ShardCounts) -> ShardCounts:  # noqa: N802
        """Both, in ``left``."""
        left.update(right)
        return left


@dataclass(frozen=True)
class TokenizePlan:
    """All that a worker needs to read and tokenize; sent in the step's closure."""

    shards: tuple[tuple[str, ...], ...]
    """The shard paths of each task."""
    limits: ReadLimits
    tokenizer: TokenizerSpec


def tokenize_corpus(
    batches: Iterator[pa.RecordBatch], plan: TokenizePlan, report: Callable[[ShardCounts], None]
) -> Iterator[pa.RecordBatch]:
    """Reads and tokenizes shards.

    Args:
        batches: one int64 column, numbers of tasks in ``plan.shards``.
        plan: what to read and how.
        report: called once a shard with its counts.

    Yields:
        batches in DOCUMENTS.
    """
    return encode_documents(batches, plan, encoder(plan.tokenizer), report)


def encode_documents(
    batches: Iterator[pa.RecordBatch], plan: TokenizePlan, encode: Encoder, report: Callable[[ShardCounts], None]
) -> Iterator[pa.RecordBatch]:
    """``tokenize_corpus`` with a given encoder."""
    for shard in _shards(batches, plan):
        counts: Counter[str] = Counter()
        for documents in _batched(_accepted(read_shard(shard, plan.limits), counts)):
            batch = _documents(documents, shard, encode)
            counts["docs"] += batch.num_rows
            counts["tokens"] += int(pc.sum(batch.column("n_tokens")).as_py())
            yield batch
        report({shard: (counts["docs"], counts["rejected"], counts["tokens"])})


def quarantine_records(batches: Iterator[pa.RecordBatch], plan: TokenizePlan) -> Iterator[pa.RecordBatch]:
    """The rejected records of shards, as batches in QUARANTINE; arguments as for ``tokenize_corpus``."""
    for shard in _shards(batches, plan):
        waiting: list[Rejected] = []
        for record in read_shard(shard, plan.limits):
            if isinstance(record, Rejected):
                waiting.append(record)
            if len(waiting) == _BATCH_DOCUMENTS:
                yield _rejections(waiting, shard)
                waiting = []
        if waiting:
            yield _rejections(waiting, shard)


def _shards(batches: Iterator[pa.RecordBatch], plan: TokenizePlan) -> Iterator[str]:
    tasks = chain.from_iterable(batch.column(0).to_pylist() for batch in batches)
    return chain.from_iterable(plan.shards[task] for task in tasks)


def _accepted(records: Iterable[Document | Rejected], counts: Counter[str]) -> Iterator[Document]:
    """The documents; rejected records are counted."""
    for record in records:
        if isinstance(record, Rejected):
            counts["rejected"] += 1
        else:
            yield record


def _batched(documents: Iterable[Document]) -> Iterator[list[Document]]:
    waiting: list[Document] = []
    n_characters = 0
    for document in documents:
        if waiting and (n_characters + len(document.text) > BATCH_CHARACTERS or len(waiting) == _BATCH_DOCUMENTS):
            yield waiting
            waiting, n_characters = [], 0
        waiting.append(document)
        n_characters += len(document.text)
    if waiting:
        yield waiting


def _documents(documents: list[Document], shard: str, encode: Encoder) -> pa.RecordBatch:
    numbers, sources, ids, languages, strings = zip(*documents, strict=True)
    texts = TextBatch(strings)
    token_ids, offsets = encode.encode(texts)
    columns = {
        "source": pa.array(sources, pa.string()),
        "doc_id": pa.array(ids, pa.string()),
        "lang": pa.array(_languages(languages, texts), pa.string()),
        "text": texts.column,
        "token_ids": pa.ListArray.from_arrays(
            pa.array(offsets.astype(np.int32)), pa.array(token_ids), type=DOCUMENTS.field("token_ids").type
        ),
        "n_tokens": pa.array(np.diff(offsets)),
        "shard": pa.array([shard] * len(texts), pa.string()),
        "record": pa.array(numbers, pa.int64()),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in DOCUMENTS.names], schema=DOCUMENTS)


def _languages(given: Sequence[str | None], texts: Sequence[str]) -> list[str]:
    found = iter(identify_languages([text for lang, text in zip(given, texts, strict=True) if not lang]))
    return [lang or next(found) for lang in given]


def _rejections(rejected: list[Rejected], shard: str) -> pa.RecordBatch:
    rows = [{"shard": shard, **record._asdict()} for record in rejected]
    return pa.RecordBatch.from_pylist(rows, schema=QUARANTINE)
