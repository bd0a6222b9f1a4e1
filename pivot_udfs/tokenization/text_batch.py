"""What encoders take and give: texts that also lie in one Arrow buffer, and flat ids with offsets."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivot_udfs.storage.typed_columns import utf8_of

Encoded = tuple[NDArray[np.int32], NDArray[np.int64]]
"""Token ids, int32, and offsets o, int64 (n_texts + 1,): text k has ids[o[k]:o[k + 1]]."""
Encoder = Callable[[Sequence[str]], Encoded]
"""Special tokens are neither added nor recognised in the texts."""
_BEYOND = " " * 32
"""Loops that read eight bytes at a time, from any byte, read beyond the last text."""


class TextBatch(tuple[str, ...]):
    """Texts without lone surrogates, less than 2 GB of UTF-8 together, brought into Arrow once for all who need it."""

    @classmethod
    def of(cls, texts: Sequence[str]) -> "TextBatch":
        """The same texts as a batch."""
        return texts if isinstance(texts, cls) else cls(texts)

    @property
    def column(self) -> pa.StringArray:
        """The texts as an Arrow array of strings."""
        return self._with_more.slice(0, len(self))

    @property
    def buffers(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """UTF-8 of all texts in a row, with some bytes more behind it; where each text begins."""
        data, starts = utf8_of(self.column)
        return data[: starts[-1]], starts

    @cached_property
    def _with_more(self) -> pa.StringArray:
        return pa.array([*self, _BEYOND], pa.string())


def joined_rows(rows: Iterable[NDArray[Any]]) -> Encoded:
    """The ids of each text as flat ids with offsets."""
    found = [np.zeros(0, np.int32), *rows]
    offsets = np.cumsum([len(row) for row in found], dtype=np.int64)
    return np.concatenate(found).astype(np.int32, copy=False), offsets
