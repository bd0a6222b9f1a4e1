"""Byte-level BPE with GPT-2's splitting through compiled loops: which tokenizers they serve, their rules, the encoder.

Pre-tokens that they do not take (with a byte that has no token, or of more than ``LONGEST`` bytes) go to the reference.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from pivot_udfs.tokenization.encode_kernel import Rules, encode_texts
from pivot_udfs.tokenization.merge_kernel import MOST_IDS, NO_MERGE, Merges, merge_table
from pivot_udfs.tokenization.pre_token_table import new_table
from pivot_udfs.tokenization.pretokenize_kernel import ALONE, LETTER, NUMERAL, OTHER, SPACE, joined_characters
from pivot_udfs.tokenization.text_batch import Encoded, TextBatch
from pivot_udfs.tokenization.token_bytes import byte_alphabet, pre_tokenizers

_OTHER_BPE = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges")
_ALPHABET = {byte: char for char, byte in byte_alphabet().items()}
_TO_LATIN = {ord(char): byte for char, byte in byte_alphabet().items()}
_DIGITS = {"type": "Digits", "individual_digits": True}
_CLASSES = {LETTER: r"\p{L}+", NUMERAL: r"\p{N}+", SPACE: r"\s+"}
_PLANES = (range(0xD800), range(0xE000, 0x40000), range(0xE0000, 0xE1000))
"""Where Unicode has characters; all others are OTHER."""
_CHUNK = 2048  # divides the planes


def unsupported_by_loops(config: Mapping[str, Any]) -> str | None:
    """Why the loops cannot take a ``tokenizer.json``, None if they can."""
    model = config["model"]
    if model.get("type") != "BPE":
        return f"the model is {model.get('type')}, not BPE"
    if others := [key for key in _OTHER_BPE if model.get(key)]:
        return f"model.{others[0]} is set"
    if config.get("normalizer"):
        return "it has a normalizer"
    *steps, level = pre_tokenizers(config) or [{}]
    if level.get("type") != "ByteLevel" or level.get("add_prefix_space") or not level.get("use_regex", True):
        return "the pre-tokenizer is not that of GPT-2"
    if steps not in ([], [_DIGITS]):
        return "the pre-tokenizer has other steps than single digits before that of GPT-2"
    if max(model["vocab"].values(), default=0) >= MOST_IDS or len(model["merges"]) >= NO_MERGE:
        return "the vocabulary is too large"
    if len(set(model["vocab"].values())) < len(model["vocab"]):
        return "two tokens have one id"
    plain = [token["content"] for token in config.get("added_tokens") or [] if not token["special"]]
    return f"the added token {plain[0]!r} is not special" if plain else None


def splits_digits(config: Mapping[str, Any]) -> bool:
    """Whether the pre-tokenizer of a ``tokenizer.json`` has a step for digits."""
    return any(step["type"] == "Digits" for step in pre_tokenizers(config))


def read_rules(config: Mapping[str, Any]) -> Rules:
    """The rules of a ``tokenizer.json`` for which ``unsupported_by_loops`` gives None."""
    ids = config["model"]["vocab"]
    byte_ids = np.array([ids.get(_ALPHABET[byte], -1) for byte in range(256)], np.int32)
    pairs = [tuple(merge.split(" ", 1) if isinstance(merge, str) else merge) for merge in config["model"]["merges"]]
    pair_ids = np.array([(ids[a], ids[b]) for a, b in pairs], np.uint64).reshape(-1, 2)
    merged_ids = np.array([ids[a + b] for a, b in pairs], np.int32)
    merges = Merges(byte_ids, merge_table(pair_ids), merged_ids)
    tokens = [(a + b).translate(_TO_LATIN).encode("latin-1") for a, b in pairs]
    starts = np.cumsum([0, *map(len, tokens)], dtype=np.int64)
    joins = joined_characters(np.frombuffer(b"".join([*tokens, bytes(8)]), np.uint8), starts)
    return Rules(_character_classes(splits_digits(config)), joins, merges)


def _character_classes(digits_alone: bool) -> NDArray[np.uint8]:
    """The class of each code point, uint8 (0x110000,), by the reference library, whose Unicode tables are its own."""
    found = np.full(0x110000, OTHER, np.uint8)
    for first in (first for plane in _PLANES for first in plane[::_CHUNK]):
        text = "".join(map(chr, range(first, first + _CHUNK)))
        for kind, pattern in _CLASSES.items():
            split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), behavior="removed", invert=True)
            for _, (start, end) in split.pre_tokenize_str(text):
                found[first + start : first + end] = kind
        if digits_alone:  # runs of digits and of other characters alternate; the first is of others
            digits = tokenizers.pre_tokenizers.Digits(individual_digits=False)
            for _, (start, end) in digits.pre_tokenize_str(f"a{text}")[1::2]:
                found[first + start - 1 : first + end - 1] = ALONE
    return found


class ByteLevelEncoder:
    """Through the compiled loops; one thread at a time. The table of pre-tokens takes 32 MB."""

    def __init__(self, config: Mapping[str, Any], reference: tokenizers.Tokenizer) -> None:
        """``config``: a ``tokenizer.json``; ``reference``: the library's, for what the loops do not take."""
        self._rules, self._model = read_rules(config), reference.model
        self._table, self._lock = new_table(), threading.Lock()

    def __call__(self, texts: Sequence[str]) -> Encoded:
        """Flat ids and offsets; an ``Encoder``."""
        data, offsets = TextBatch.of(texts).buffers
        with self._lock:
            ids, starts, gaps = encode_texts(data, offsets, self._rules, self._table)
        if not len(gaps):
            return ids, starts
        refused = ("".join(_ALPHABET[byte] for byte in data[start:end].tolist()) for _, start, end, _ in gaps.tolist())
        missing = [np.array([token.id for token in self._model.tokenize(text)], np.int32) for text in refused]
        counts = [len(row) for row in missing]
        longer = np.zeros_like(starts)
        np.add.at(longer, gaps[:, 0] + 1, counts)
        return np.insert(ids, np.repeat(gaps[:, 3], counts), np.concatenate(missing)), starts + longer.cumsum()
