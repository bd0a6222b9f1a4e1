"""Byte-level BPE behind GPT-2's pre-tokenizer, with or without single digits first (GPT-2, SmolLM, StarCoder).

What the loops of ``piece_kernel`` and ``encode_kernel`` need is read off the ``tokenizer.json``, and what each
character is to the pre-tokenizer is asked of the reference library itself, whose Unicode tables are the ones that
count. Pieces that the loops do not take (with a byte that has no token, or of a thousand bytes and more) go to the
reference.
"""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from pivot_udfs.tokenization.encode_kernel import encode_texts, make_room, piece_table
from pivot_udfs.tokenization.merge_kernel import MOST_IDS, NO_MERGE, Merges, merge_table
from pivot_udfs.tokenization.pretokenize_kernel import ALONE, LETTER, NUMERAL, OTHER, SPACE
from pivot_udfs.tokenization.text_batch import Encoded, TextBatch
from pivot_udfs.tokenization.vocabulary import byte_alphabet

_ROWS = 1 << 19
"""Of the table of pieces; emptied when half full (262,144 pieces, more than 114 MB of four languages have)."""
_PLANES = (range(0x20), range(0x21, 0xD800), range(0xE000, 0x40000), range(0xE0000, 0xE1000))
"""Where Unicode has characters, less the blank; all others are neither letters, numerals nor spaces."""
_OTHER_BPE = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges")
_ALPHABET = {byte: char for char, byte in byte_alphabet().items()}
_DIGITS = {"type": "Digits", "individual_digits": True}


@dataclass(frozen=True, eq=False)
class Rules:
    """A tokenizer as the loops take it; arrays as the kernels document them.

    Attributes:
        kinds: what each code point is.
        joins: which bytes stand beside each other in a token.
        merges: the ids of bytes, and which pairs of ids merge, in which order, and into what.
    """

    kinds: NDArray[np.uint8]
    joins: NDArray[np.uint8]
    merges: Merges


def is_byte_level_bpe(payload: bytes) -> bool:
    """Whether the loops can take a ``tokenizer.json``."""
    config = json.loads(payload)
    model, steps = config["model"], _steps(config)
    if model.get("type") != "BPE" or any(model.get(key) for key in _OTHER_BPE) or config.get("normalizer"):
        return False
    level = steps[-1].get("type") == "ByteLevel" and not steps[-1].get("add_prefix_space")
    splits = level and steps[-1].get("use_regex", True) and steps[:-1] in ([], [_DIGITS])
    all_special = all(token["special"] for token in config.get("added_tokens") or [])
    few = max(model["vocab"].values(), default=0) < MOST_IDS and len(model["merges"]) < NO_MERGE
    different = len(set(model["vocab"].values())) == len(model["vocab"])
    return bool(splits and all_special and few and different)


def _steps(config: dict[str, Any]) -> list[dict[str, Any]]:
    step = config.get("pre_tokenizer") or {}
    return list(step["pretokenizers"]) or [{}] if step.get("type") == "Sequence" else [step]


def read_rules(payload: bytes) -> Rules:
    """The rules of a ``tokenizer.json`` for which ``is_byte_level_bpe`` holds."""
    config = json.loads(payload)
    ids, alphabet = config["model"]["vocab"], byte_alphabet()
    byte_ids = np.full(256, -1, np.int32)
    for char, byte in alphabet.items():
        byte_ids[byte] = ids.get(char, -1)
    merges = config["model"]["merges"]
    pairs = [tuple(merge.split(" ", 1) if isinstance(merge, str) else merge) for merge in merges]
    merged_ids = np.array([ids[a + b] for a, b in pairs], np.int32)
    slots = merge_table(np.array([(ids[a], ids[b]) for a, b in pairs], np.uint64).reshape(-1, 2))
    joins = _joins([bytes(alphabet[char] for char in a + b) for a, b in pairs], byte_ids)
    return Rules(_code_point_kinds(_DIGITS in _steps(config)), joins, (byte_ids, slots, merged_ids))


def _joins(merged: list[bytes], byte_ids: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Which two bytes stand beside each other in what a merge makes.

    A byte without an id counts as joined to all: the reference drops it, and what was on its two sides may merge.
    """
    joins = np.zeros((256, 256), np.uint8)
    for token in merged:
        for pair in pairwise(token):
            joins[pair] = 1
    joins[byte_ids < 0] = 1
    joins[:, byte_ids < 0] = 1
    return joins.reshape(-1)


@lru_cache(maxsize=2)
def _code_point_kinds(digits_alone: bool) -> NDArray[np.uint8]:
    """What each code point is to the reference's pre-tokenizer: uint8 (0x110000,)."""
    everything = [point for plane in _PLANES for point in plane]
    text, points = "".join(map(chr, everything)), np.array(everything)
    level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    kinds = np.full(0x110000, OTHER, np.uint8)
    for _, (start, end) in level.pre_tokenize_str(text):
        kinds[points[start:end]] = _kind(level, text[start])
    kinds[ord(" ")] = SPACE
    if digits_alone:  # what a digit is, this step and the other one do not agree on everywhere
        digits = tokenizers.pre_tokenizers.Digits(individual_digits=False)
        for _, (start, end) in digits.pre_tokenize_str(text):
            if len(digits.pre_tokenize_str(f"a{text[start]}")) == 2:
                kinds[points[start:end]] = ALONE
    return kinds


def _kind(level: tokenizers.pre_tokenizers.PreTokenizer, char: str) -> int:
    """What a character is: it makes one piece with its like."""
    likes = {LETTER: "a", NUMERAL: "1", OTHER: "!"}
    alike = (kind for kind, like in likes.items() if len(level.pre_tokenize_str(f"{like}{char}")) == 1)
    return next(alike, SPACE)


class ByteLevelEncoder:
    """Through the compiled loops; one thread at a time, and 56 MB for the table of pieces met."""

    def __init__(self, rules: Rules, reference: tokenizers.models.Model) -> None:
        """``reference``: the library's model, for the pieces that the loops do not take."""
        self._rules, self._reference = rules, reference
        self._table, self._lock = piece_table(_ROWS), threading.Lock()

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Flat ids and offsets."""
        data, offsets = TextBatch.of(texts).buffers
        rules = self._rules
        with self._lock:
            make_room(self._table)
            ids, starts, gaps = encode_texts(data, offsets, rules.kinds, rules.joins, self._table, rules.merges)
        return self._with_gaps_filled(data, ids, starts, gaps) if len(gaps) else (ids, starts)

    def _with_gaps_filled(
        self, data: NDArray[np.uint8], ids: NDArray[np.int32], starts: NDArray[np.int64], gaps: NDArray[np.int64]
    ) -> Encoded:
        found = [self._by_reference(bytes(data[start:end])) for _, start, end, _ in gaps.tolist()]
        counts = [len(piece) for piece in found]
        longer = np.zeros_like(starts)
        np.add.at(longer, gaps[:, 0] + 1, counts)
        every = np.insert(ids, np.repeat(gaps[:, 3], counts), np.concatenate(found))
        return every, starts + longer.cumsum()

    def _by_reference(self, piece: bytes) -> NDArray[np.int32]:
        text = "".join(_ALPHABET[byte] for byte in piece)
        return np.array([token.id for token in self._reference.tokenize(text)], np.int32)
