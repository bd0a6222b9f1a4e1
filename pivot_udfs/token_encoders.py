"""Each tokenizer library's batch encoding in one form: all ids in a row, and where each text's begin.

Special tokens are neither added nor recognised; everything runs in the calling thread.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from pivot_udfs.cut_texts import cut_texts

Encoded = tuple[NDArray[np.int32], NDArray[np.int64]]
"""Token ids, int32, and offsets o, int64 (n_texts + 1,): text k has ids[o[k]:o[k + 1]]."""
_BATCH = 32


class FastokensEncoder:
    """Through fastokens, whose answer is two flat buffers, with no object a token.

    It refuses a text with a byte that the vocabulary lacks, where the reference drops the byte. Such texts,
    and those with a disputed character, go to the reference.
    """

    def __init__(self, tokenizer: Any, reference: "TokenizersEncoder", cuts: bool) -> None:
        """``cuts``: the tokenizer is one of ``plain_byte_level``, and takes texts in parts."""
        self._tokenizer = tokenizer
        self._reference = reference
        self._cuts = cuts

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Flat ids and offsets."""
        parts, firsts, disputed = cut_texts(texts, self._cuts)
        if not disputed.any():
            with suppress(ValueError):
                return self._encode_parts(parts, firsts)
        return _flat(
            self._encode_one(parts[firsts[k] : firsts[k + 1]], text, bool(disputed[k])) for k, text in enumerate(texts)
        )

    def _encode_parts(self, parts: list[str], firsts: NDArray[np.int64]) -> Encoded:
        ids, offsets = self._tokenizer.encode_batch_flat(parts, add_special_tokens=False, split_special_tokens=True)
        return np.frombuffer(ids, "<i4"), np.frombuffer(offsets, "<i8")[firsts]

    def _encode_one(self, parts: list[str], text: str, disputed: bool) -> NDArray[np.int32]:
        if not disputed:
            with suppress(ValueError):
                return self._encode_parts(parts, np.zeros(1, np.int64))[0]
        return self._reference.encode([text])[0]


class TokenizersEncoder:
    """Through the reference library, in small batches: its encodings weigh a hundred bytes a token."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Flat ids and offsets."""
        batches = (list(texts[k : k + _BATCH]) for k in range(0, len(texts), _BATCH))
        encode = self._tokenizer.encode_batch_fast
        return _flat(np.array(e.ids, np.int32) for batch in batches for e in encode(batch, add_special_tokens=False))


class SentencePieceEncoder:
    """Through SentencePiece."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Flat ids and offsets."""
        return _flat(self._processor.encode(list(texts), return_type="numpy", num_threads=1))


def _flat(documents: Iterable[NDArray[np.int32]]) -> Encoded:
    rows = [np.zeros(0, np.int32), *documents]
    offsets = np.cumsum([len(row) for row in rows], dtype=np.int64)
    return np.concatenate(rows).astype(np.int32, copy=False), offsets
