"""What the ids of a tokenizer mean: text, bytes, letters, special tokens."""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pivot_udfs.tokenization.backends import (
    TokenizerSpec,
    encoder,
    piece_bytes,
    reference_tokenizer,
    sentencepiece_processor,
)
from pivot_udfs.tokenization.token_bytes import covers_every_byte, normal_form, token_bytes


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """What the ids, in [0, size), mean."""

    size: int
    texts: list[str]
    r"""Readable text of every id; bytes that are no whole character as ``\xe6``, spaces as spaces."""
    special_ids: frozenset[int]
    """Special, control and unknown tokens."""
    has_letter: NDArray[np.bool_]
    """(size,): the text has a letter (Unicode L*); a part of a character is none."""
    byte_lengths: NDArray[np.int32] | None
    """(size,): UTF-8 bytes that a token covers; None where their running sum does not give positions."""
    known_bytes: NDArray[np.bool_]
    """(256,): the bytes that have a token of their own; the library drops others where no longer token holds them."""
    normal_form: Literal["NFC"] | None
    """The Unicode normal form that texts are brought to; None where they are taken as they are."""


@lru_cache(maxsize=8)
def vocabulary(spec: TokenizerSpec) -> Vocabulary:
    """What the ids of a tokenizer mean, built once a process."""
    return _sentencepiece_vocabulary(spec) if spec.kind == "sentencepiece" else _huggingface_vocabulary(spec)


def _huggingface_vocabulary(spec: TokenizerSpec) -> Vocabulary:
    tokenizer, config = reference_tokenizer(spec), json.loads(spec.payload)
    added = tokenizer.get_added_tokens_decoder()
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    raw = token_bytes(config, vocab, {token_id: token.content for token_id, token in added.items()})
    special = {token_id for token_id, token in added.items() if token.special}
    model = config["model"]
    special |= {vocab.get(model.get("unk_token")), model.get("unk_id")} - {None}  # the latter is Unigram's
    lengths = np.array([len(token) for token in raw], np.int32) if covers_every_byte(config) else None
    return _vocabulary_of(raw, frozenset(special), lengths, normal_form(config))


def _sentencepiece_vocabulary(spec: TokenizerSpec) -> Vocabulary:
    processor = sentencepiece_processor(spec)
    raw = piece_bytes(processor)
    special = frozenset(k for k in range(len(raw)) if processor.is_control(k) or processor.is_unknown(k))
    return _vocabulary_of(raw, special, None, None)


def _vocabulary_of(
    raw: list[bytes], special: frozenset[int], lengths: NDArray[np.int32] | None, form: Literal["NFC"] | None
) -> Vocabulary:
    known = np.isin(np.arange(256), [token[0] for token in raw if len(token) == 1])
    has_letter = np.array([any(map(str.isalpha, token.decode("utf-8", "ignore"))) for token in raw], dtype=bool)
    texts = [token.decode("utf-8", "backslashreplace") for token in raw]
    return Vocabulary(len(raw), texts, special, has_letter, lengths, known, form)


@lru_cache(maxsize=8)
def _ids_by_text(spec: TokenizerSpec) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for token_id, text in enumerate(vocabulary(spec).texts):
        found.setdefault(text, []).append(token_id)
    return found


def word_token_ids(spec: TokenizerSpec, word: str) -> frozenset[int]:
    """Ids of a word's own tokens: those it encodes to, bare and after a space, and those whose text it is."""
    ids, _ = encoder(spec)([word, " " + word])
    same_text = [token_id for text in (word, " " + word) for token_id in _ids_by_text(spec).get(text, [])]
    return frozenset(ids.tolist()) | frozenset(same_text)
