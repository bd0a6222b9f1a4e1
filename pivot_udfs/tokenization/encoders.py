"""The batch encoding of each tokenizer library in one form: flat ids, and where those of each text begin.

Special tokens are neither added nor recognised; everything runs in the calling thread.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from pivot_udfs.tokenization.text_batch import Encoded, joined_rows

_BATCH = 32
_DISPUTED = "".join(map(chr, (0x17F, 0x180E, 0x212A, *range(0x11DE0, 0x11DEA), *range(0x16FF4, 0x16FF7))))
"""Characters that the two libraries take differently (fastokens 0.3.5, tokenizers 0.23.3): white space or digits to one
only, since their Unicode tables differ by years (found by encoding each code point below U+33500 with both), and
U+017F and U+212A, which match "s" and "k" in the reference's patterns where case is ignored."""


class FastokensEncoder:
    """Through fastokens, which returns two flat buffers, with no object for each token.

    Texts with a byte that the vocabulary lacks, which it refuses, or a disputed character go to the reference.
    """

    def __init__(self, tokenizer: Any, reference: "TokenizersEncoder") -> None:
        self._tokenizer = tokenizer
        self._reference = reference

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Flat ids and offsets."""
        if not any(_is_disputed(text) for text in texts):
            with suppress(ValueError):
                return self._encode_all(texts)
        return joined_rows(self._encode_one(text) for text in texts)

    def _encode_all(self, texts: Sequence[str]) -> Encoded:
        flat = self._tokenizer.encode_batch_flat(list(texts), add_special_tokens=False, split_special_tokens=True)
        return np.frombuffer(flat[0], "<i4"), np.frombuffer(flat[1], "<i8")

    def _encode_one(self, text: str) -> NDArray[np.int32]:
        if not _is_disputed(text):
            with suppress(ValueError):
                return self._encode_all([text])[0]
        return self._reference.encode([text])[0]


def _is_disputed(text: str) -> bool:
    return any(char in text for char in _DISPUTED)


class TokenizersEncoder:
    """Through the reference library, in small batches: its encodings take a hundred bytes of memory for each token."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Flat ids and offsets."""
        batches = (list(texts[k : k + _BATCH]) for k in range(0, len(texts), _BATCH))
        encode = self._tokenizer.encode_batch_fast
        return joined_rows(
            np.array(e.ids, np.int32) for batch in batches for e in encode(batch, add_special_tokens=False)
        )


class SentencePieceEncoder:
    """Through SentencePiece."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Flat ids and offsets."""
        return joined_rows(self._processor.encode(list(texts), return_type="numpy", num_threads=1))
