"""Opens shards, so that a fault of the store is never taken for damage."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from pivot_udfs.errors import StoreError
from pivot_udfs.storage.redact import printable, reason
from pivot_udfs.storage.stores import STORE_ERRORS, resolve

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
