"""The batch encoding of each tokenizer library in one form: flat ids, and where those of each text begin.

Special tokens are neither added nor recognised; everything runs in the calling thread.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import tokenizers

from pivot_udfs.tokenization.text_batch import Encoded, Encoder, joined_rows

_BATCH = 32
_DISPUTED = "".join(map(chr, (0x17F, 0x180E, 0x212A, *range(0x11DE0, 0x11DEA), *range(0x16FF4, 0x16FF7))))
"""Characters that the two libraries take differently (fastokens 0.3.5, tokenizers 0.23.3): white space or digits to one
only, since their Unicode tables differ by years (found by encoding each code point below U+33500 with both), and
U+017F and U+212A, which match "s" and "k" in the reference's patterns where case is ignored."""


def fastokens_encoder(tokenizer: Any, reference: Encoder) -> Encoder:
    """Through fastokens, which returns two flat buffers, with no object for each token.

    Texts with a byte that the vocabulary lacks, which it refuses, or a disputed character go to the reference.
    """

    def encode(texts: Sequence[str]) -> Encoded:
        if not any(char in text for text in texts for char in _DISPUTED):
            with suppress(ValueError):
                flat = tokenizer.encode_batch_flat(list(texts), add_special_tokens=False, split_special_tokens=True)
                return np.frombuffer(flat[0], "<i4"), np.frombuffer(flat[1], "<i8")
        return joined_rows(encode([text])[0] for text in texts) if len(texts) > 1 else reference(texts)

    return encode


def tokenizers_encoder(tokenizer: tokenizers.Tokenizer) -> Encoder:
    """Through the reference library, in small batches: its encodings take a hundred bytes of memory for each token."""

    def encode(texts: Sequence[str]) -> Encoded:
        batches = (list(texts[k : k + _BATCH]) for k in range(0, len(texts), _BATCH))
        found = (e for batch in batches for e in tokenizer.encode_batch_fast(batch, add_special_tokens=False))
        return joined_rows(np.array(e.ids, np.int32) for e in found)

    return encode


def sentencepiece_encoder(processor: Any) -> Encoder:
    """Through SentencePiece."""
    return lambda texts: joined_rows(processor.encode(list(texts), return_type="numpy", num_threads=1))
