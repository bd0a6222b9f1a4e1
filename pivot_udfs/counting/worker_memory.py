"""A worker's memory between steps: Spark gives the same Python process to one stage after the other."""

import ctypes
import gc
from contextlib import suppress

import pyarrow as pa

from pivot_udfs.text.identify_language import language_model
from pivot_udfs.tokenization.backends import forget_encoders


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
