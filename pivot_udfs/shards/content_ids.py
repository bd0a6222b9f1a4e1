"""Identifies shards by the SHA-256 of their content: one that was only touched is not read again."""

import hashlib
from collections.abc import Iterator, Sequence

import pyarrow as pa

from pivot_udfs.shards.open_shard import open_shard
from pivot_udfs.storage.typed_columns import pylist, required

CONTENT_IDS = pa.schema([required("shard", pa.string()), required("content_id", pa.string())])


def content_id(path: str) -> str:
    """SHA-256 (hex) of a file as stored; raises StoreError where it cannot be read."""
    with open_shard(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


def content_ids(batches: Iterator[pa.RecordBatch], tasks: Sequence[Sequence[str]]) -> Iterator[pa.RecordBatch]:
    """A batch in CONTENT_IDS for each batch of numbers of ``tasks``, each the paths of shards."""
    for batch in batches:
        rows = [{"shard": path, "content_id": content_id(path)} for n in pylist(batch.column(0)) for path in tasks[n]]
        yield pa.RecordBatch.from_pylist(rows, schema=CONTENT_IDS)
