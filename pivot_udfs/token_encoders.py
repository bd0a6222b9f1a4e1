"""Each tokenizer library's batch encoding in one form: all ids in a row, and where each text's begin.

Special tokens are neither added nor recognised; everything runs in the calling thread.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from pivot_udfs.cut_at_numerals import cut_at_numerals

Encoded = tuple[NDArray[np.int32], NDArray[np.int64]]
"""Token ids, int32, and offsets o, int64 (n_texts + 1,): text k has ids[o[k]:o[k + 1]]."""
_BATCH = 32
_DISPUTED = "\u180e" + "".join(map(chr, [*range(0x11DE0, 0x11DEA), *range(0x16FF4, 0x16FF7)]))
"""Characters that are white space or digits to one library and not to the other, since their Unicode tables
differ by years; found by encoding each code point below U+33500 with both (fastokens 0.3.5, tokenizers 0.23.3)."""


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
        with suppress(ValueError):
            if not any(map(_is_disputed, texts)):
                return self._encode_batch(list(texts))
        return _flat(self._encode_one(text) for text in texts)

    def _encode_batch(self, texts: list[str]) -> Encoded:
        parts, firsts = cut_at_numerals(texts) if self._cuts else (texts, None)
        ids, offsets = self._tokenizer.encode_batch_flat(parts, add_special_tokens=False, split_special_tokens=True)
        places = np.frombuffer(offsets, "<u8").astype(np.int64)
        return np.frombuffer(ids, "<u4").astype(np.int32), places if firsts is None else places[firsts]

    def _encode_one(self, text: str) -> NDArray[np.int32]:
        with suppress(ValueError):
            if not _is_disputed(text):
                return self._encode_batch([text])[0]
        return self._reference.encode([text])[0]


def _is_disputed(text: str) -> bool:
    return any(char in text for char in _DISPUTED)


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
