"""The first step: shards in, rows of ``documents`` and ``quarantine`` out, each shard read once."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pivot_udfs.schemas import DOCUMENTS, QUARANTINE
from pivot_udfs.settings import Corpus
from pivot_udfs.shards.block_list import NOTHING_BLOCKED, BlockList
from pivot_udfs.shards.content_ids import content_id
from pivot_udfs.shards.quarantine_reasons import Rejected
from pivot_udfs.shards.read_shard import read_shard
from pivot_udfs.shards.validate_record import Document
from pivot_udfs.storage.typed_columns import pylist
from pivot_udfs.text.identify_language import identify_languages
from pivot_udfs.tokenization.backends import TokenizerSpec, encoder
from pivot_udfs.tokenization.text_batch import Encoder, TextBatch

BATCH_CHARACTERS = 4 << 20
"""Text of a batch, 4 to 16 MB; a larger document is a batch of its own."""
_BATCH_DOCUMENTS = 4096

_DETAIL_CHARACTERS = 300
_MOST_SHARDS = 3
"""How many shards a sum of rejections names."""


class Rejections(NamedTuple):
    """The records of a shard that were rejected for one reason."""

    reason: str
    n_records: int
    detail: str  # of the first of them
    shards: tuple[str, ...] = ()  # that have them, at most ``_MOST_SHARDS``


class ShardCount(NamedTuple):
    """The counts of one shard."""

    n_docs: int
    n_rejected: int
    n_tokens: int
    rejections: tuple[Rejections, ...] = ()  # one for each reason; n_rejected is their sum
    content_id: str = ""  # SHA-256 (hex) of the file, taken before it is read
    n_blocked: int = 0  # records on the block list


ShardCounts = dict[str, ShardCount]
"""By the shard's path."""


def total(counts: Iterable[ShardCount]) -> ShardCount:
    """The sum of shards; rejections by number, the most frequent first, with the first detail and shards by order."""
    n_docs = n_rejected = n_tokens = n_blocked = 0
    by_reason: dict[str, Rejections] = {}
    for count in counts:
        n_docs, n_rejected, n_tokens = n_docs + count.n_docs, n_rejected + count.n_rejected, n_tokens + count.n_tokens
        n_blocked += count.n_blocked
        for reason, n_records, detail, shards in count.rejections:
            before = by_reason.get(reason, Rejections(reason, 0, detail))
            first = tuple(sorted({*before.shards, *shards})[:_MOST_SHARDS])
            by_reason[reason] = Rejections(reason, before.n_records + n_records, min(before.detail, detail), first)
    frequent_first = sorted(by_reason.values(), key=lambda of: (-of.n_records, of.reason))
    return ShardCount(n_docs, n_rejected, n_tokens, tuple(frequent_first), n_blocked=n_blocked)


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
    corpus: Corpus
    tokenizer: TokenizerSpec
    blocks: BlockList = NOTHING_BLOCKED


def tokenize_corpus(
    batches: Iterator[pa.RecordBatch],
    plan: TokenizePlan,
    report: Callable[[ShardCounts], None],
    encode: Encoder | None = None,
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Reads and tokenizes shards of tasks in ``plan.shards`` (one int64 column); a ``TableStep``.

    Yields batches of "documents" and "quarantine"; ``report`` is called once a shard with its counts.
    """
    encode = encode or encoder(plan.tokenizer)
    tasks = chain.from_iterable(pylist(batch.column(0)) for batch in batches)
    for shard in chain.from_iterable(plan.shards[task] for task in tasks):
        identity, blocks = content_id(shard), plan.blocks
        whole = identity in blocks.content_ids
        n_docs = n_tokens = n_blocked = 0
        rejections: dict[str, Rejections] = {}
        for batched, refused in _batched(read_shard(shard, plan.corpus)):
            documents = [each for each in batched if not (whole or blocks.has_key(each.source, each.doc_id))]
            rejected = [each for each in refused if not (whole or blocks.has_key(each.source, each.doc_id))]
            n_blocked += len(batched) + len(refused) - len(documents) - len(rejected)
            if rejected:
                rows = [{"shard": shard, **record._asdict()} for record in rejected]
                yield "quarantine", pa.RecordBatch.from_pylist(rows, schema=QUARANTINE)
                _count_reasons(shard, rejected, rejections)
            if documents:
                batch = _documents(documents, shard, encode)
                n_docs += batch.num_rows
                n_tokens += int(pc.sum(batch.column("n_tokens")).as_py())
                yield "documents", batch
        by_reason = tuple(rejections.values())
        n_rejected = sum(of.n_records for of in by_reason)
        report({shard: ShardCount(n_docs, n_rejected, n_tokens, by_reason, identity, n_blocked)})


def _batched(records: Iterable[Document | Rejected]) -> Iterator[tuple[list[Document], list[Rejected]]]:
    documents: list[Document] = []
    rejected: list[Rejected] = []
    n_characters = 0
    for record in records:
        if isinstance(record, Rejected):
            rejected.append(record)
            if len(rejected) == _BATCH_DOCUMENTS:
                yield [], rejected
                rejected = []
            continue
        if documents and (n_characters + len(record.text) > BATCH_CHARACTERS or len(documents) == _BATCH_DOCUMENTS):
            yield documents, []
            documents, n_characters = [], 0
        documents.append(record)
        n_characters += len(record.text)
    yield documents, rejected


def _count_reasons(shard: str, rejected: list[Rejected], rejections: dict[str, Rejections]) -> None:
    for record in rejected:
        first = Rejections(record.reason, 0, record.detail[:_DETAIL_CHARACTERS], (shard,))
        before = rejections.get(record.reason, first)
        rejections[record.reason] = before._replace(n_records=before.n_records + 1)


def _documents(documents: list[Document], shard: str, encode: Encoder) -> pa.RecordBatch:
    numbers, sources, ids, languages, strings = zip(*documents, strict=True)
    texts = TextBatch(strings)
    token_ids, offsets = encode(texts)
    unlabelled = [text for lang, text in zip(languages, texts, strict=True) if not lang]
    identified = iter(identify_languages(unlabelled))
    columns = {
        "source": pa.array(sources, pa.string()),
        "doc_id": pa.array(ids, pa.string()),
        "lang": pa.array([lang or next(identified) for lang in languages], pa.string()),
        "text": texts.column,
        "token_ids": pa.ListArray.from_arrays(
            pa.array(offsets, "int32"), pa.array(token_ids, "int32"), type=DOCUMENTS.field("token_ids").type
        ),
        "n_tokens": pa.array(np.diff(offsets)),
        "shard": pa.array([shard] * len(texts), pa.string()),
        "record": pa.array(numbers, pa.int64()),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in DOCUMENTS.names], schema=DOCUMENTS)
