"""The first step: shards in, rows of ``documents`` or of ``quarantine`` out.

Documents and quarantine are two passes over the same deterministic reader: a clean corpus is read once, and the
shards with rejected records (the tally says which) once more for their quarantine rows.
"""

from collections.abc import Callable, Iterator, Sequence
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
"""Text a batch, 4 to 16 MB; a larger document is a batch of its own."""
_BATCH_DOCUMENTS = 4096

Tally = dict[str, tuple[int, int, int]]
"""Per shard: documents, rejected records, tokens."""


class TallyMerge:
    """How Spark's accumulator merges tallies; a retried task tells the same again, so nothing is counted twice."""

    def zero(self, value: Tally) -> Tally:
        """The empty tally."""
        return {}

    def addInPlace(self, left: Tally, right: Tally) -> Tally:  # noqa: N802
        """Both tallies, in ``left``."""
        left.update(right)
        return left


@dataclass(frozen=True)
class TokenizePlan:
    """All that a worker needs to read and tokenize; travels in the step's closure."""

    shards: tuple[tuple[str, ...], ...]
    """The shard paths of each task."""
    limits: ReadLimits
    tokenizer: TokenizerSpec | None
    """None: token_ids stay empty (what reading alone costs)."""


def tokenize_corpus(
    batches: Iterator[pa.RecordBatch], plan: TokenizePlan, tell: Callable[[Tally], None]
) -> Iterator[pa.RecordBatch]:
    """Reads and tokenizes shards.

    Args:
        batches: one int64 column, numbers of tasks in ``plan.shards``.
        plan: what to read and how.
        tell: called once a shard with its tally.

    Yields:
        batches in DOCUMENTS.
    """
    encode = encoder(plan.tokenizer) if plan.tokenizer else None
    for shard in _shards(batches, plan):
        n_docs = n_rejected = n_tokens = 0
        waiting: list[Document] = []
        n_characters = 0
        for record in read_shard(shard, plan.limits):
            if isinstance(record, Rejected):
                n_rejected += 1
                continue
            n_docs += 1
            if waiting and (n_characters + len(record.text) > BATCH_CHARACTERS or len(waiting) == _BATCH_DOCUMENTS):
                batch = _documents(waiting, shard, encode)
                n_tokens += _n_tokens(batch)
                yield batch
                waiting, n_characters = [], 0
            waiting.append(record)
            n_characters += len(record.text)
        if waiting:
            batch = _documents(waiting, shard, encode)
            n_tokens += _n_tokens(batch)
            yield batch
        tell({shard: (n_docs, n_rejected, n_tokens)})


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


def _documents(documents: list[Document], shard: str, encode: Encoder | None) -> pa.RecordBatch:
    numbers, sources, ids, languages, strings = zip(*documents, strict=True)
    texts = TextBatch(strings)
    if encode:
        token_ids, offsets = encode.encode(texts)
    else:
        token_ids, offsets = np.zeros(0, np.int32), np.zeros(len(texts) + 1, np.int64)
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


def _n_tokens(batch: pa.RecordBatch) -> int:
    return int(pc.sum(batch.column("n_tokens")).as_py())


def _rejections(rejected: list[Rejected], shard: str) -> pa.RecordBatch:
    rows = [{"shard": shard, **record._asdict()} for record in rejected]
    return pa.RecordBatch.from_pylist(rows, schema=QUARANTINE)
