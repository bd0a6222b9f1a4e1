"""Opens shards, so that a fault of the store is never taken for damage, and identifies them by their content."""

import errno
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import pyarrow as pa

from pivot_udfs.errors import StoreError
from pivot_udfs.storage.redact import printable, reason
from pivot_udfs.storage.stores import STORE_ERRORS, resolve

CONTENT_IDS = pa.schema([pa.field("shard", pa.string(), False), pa.field("content_id", pa.string(), False)])
_OPEN_FILES = (errno.EMFILE, errno.ENFILE)


@contextmanager
def open_shard(path: str, *, seekable: bool = False) -> Iterator[BinaryIO]:
    """The bytes of a shard as stored, for a ``with`` block; ``seekable`` as in ``Location.open_input``.

    Raises StoreError, also within the block, where it cannot be read; OSError where too many files are open.
    """
    try:
        with resolve(path).open_input(seekable=seekable) as stream:
            yield stream
    except STORE_ERRORS as error:
        if isinstance(error, OSError) and error.errno in _OPEN_FILES:
            raise
        raise StoreError(
            f"shard {printable(path)} cannot be read: {reason(error)}; check that it exists, that the workers may read"
            " it and that its store answers, then run again"
        ) from error


def content_id(path: str) -> str:
    """SHA-256 (hex) of a file as stored; raises StoreError where it cannot be read."""
    with open_shard(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


def content_ids(batches: Iterator[pa.RecordBatch], tasks: Sequence[Sequence[str]]) -> Iterator[pa.RecordBatch]:
    """A batch in CONTENT_IDS for each batch of numbers of ``tasks``, each the paths of shards."""
    for batch in batches:
        rows = [
            {"shard": path, "content_id": content_id(path)} for n in batch.column(0).to_pylist() for path in tasks[n]
        ]
        yield pa.RecordBatch.from_pylist(rows, schema=CONTENT_IDS)
