"""Byte-level BPE behind GPT-2's pre-tokenizer, with or without single digits first (GPT-2, SmolLM, StarCoder).

What the loops of ``piece_kernel`` and ``merge_kernel`` need is read off the ``tokenizer.json``, and what each character
is to the pre-tokenizer is asked of the reference library itself, whose Unicode tables are the ones that count. Texts
that the loops do not take (a byte without a token, a piece of hundreds of bytes, a character on which the steps
disagree) go to the reference.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import tokenizers
from numpy.typing import NDArray

from pivot_udfs.merge_kernel import MOST_IDS, NO_MERGE, encode_pieces, make_room, merge_table, piece_table
from pivot_udfs.piece_kernel import DISPUTED, LETTER, NUMERAL, OTHER, SPACE, piece_ends
from pivot_udfs.text_batch import Encoded, TextBatch, joined_rows
from pivot_udfs.token_texts import byte_alphabet

_ROWS = 1 << 19
"""Of the table of pieces: 32 MB; emptied when half full (262,144 pieces, more than 114 MB of four languages have)."""
_PLANES = (range(0x20), range(0x21, 0xD800), range(0xE000, 0x40000), range(0xE0000, 0xE1000))
"""Where Unicode has characters, less the blank; all others are neither letters, numerals nor spaces."""
_OTHER_BPE = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges")
_DIGITS = {"type": "Digits", "individual_digits": True}


class Reference(Protocol):
    """What encodes the texts that the loops do not take."""

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Flat ids and offsets."""
        ...


@dataclass(frozen=True, eq=False)
class Rules:
    """A tokenizer as the loops take it; arrays as the kernels document them.

    Attributes:
        kinds: what each code point is.
        numerals_alone: whether each numeral is a piece.
        joins: which bytes stand beside each other in a token.
        byte_ids: the id of each byte.
        merges, merged_ids: which pairs of ids merge, in which order, and into what.
    """

    kinds: NDArray[np.uint8]
    numerals_alone: bool
    joins: NDArray[np.uint8]
    byte_ids: NDArray[np.int32]
    merges: NDArray[np.uint64]
    merged_ids: NDArray[np.int32]


def is_byte_level_bpe(payload: bytes) -> bool:
    """Whether the loops can take a ``tokenizer.json``."""
    config = json.loads(payload)
    model, steps = config["model"], _steps(config)
    if model.get("type") != "BPE" or any(model.get(key) for key in _OTHER_BPE) or config.get("normalizer"):
        return False
    level = steps[-1].get("type") == "ByteLevel" and not steps[-1].get("add_prefix_space")
    splits = level and steps[-1].get("use_regex", True) and steps[:-1] in ([], [_DIGITS])
    all_special = all(token["special"] for token in config.get("added_tokens") or [])
    return splits and all_special and max(model["vocab"].values()) < MOST_IDS and len(model["merges"]) < NO_MERGE


def _steps(config: dict[str, Any]) -> list[dict[str, Any]]:
    step = config.get("pre_tokenizer") or {}
    return list(step["pretokenizers"]) if step.get("type") == "Sequence" else [step]


def read_rules(payload: bytes) -> Rules:
    """The rules of a ``tokenizer.json`` for which ``is_byte_level_bpe`` holds."""
    config = json.loads(payload)
    ids, alphabet = config["model"]["vocab"], byte_alphabet()
    byte_ids = np.full(256, -1, np.int32)
    for char, byte in alphabet.items():
        byte_ids[byte] = ids.get(char, -1)
    numerals_alone = _DIGITS in _steps(config)
    merges = config["model"]["merges"]
    pairs = [tuple(merge.split(" ", 1) if isinstance(merge, str) else merge) for merge in merges]
    merged_ids = np.array([ids[a + b] for a, b in pairs], np.int32)
    table = merge_table(np.array([(ids[a], ids[b]) for a, b in pairs], np.uint64).reshape(-1, 2))
    joins = _joins([bytes(alphabet[char] for char in a + b) for a, b in pairs], byte_ids)
    return Rules(_code_point_kinds(numerals_alone), numerals_alone, joins, byte_ids, table, merged_ids)


def _joins(merged: list[bytes], byte_ids: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Which two bytes stand beside each other in what a merge makes, or may lose what stands between them."""
    joins = np.zeros((256, 256), np.uint8)
    for token in merged:
        for pair in pairwise(token):
            joins[pair] = 1
    joins[byte_ids < 0] = 1
    joins[:, byte_ids < 0] = 1
    return joins.reshape(-1)


@lru_cache(maxsize=2)
def _code_point_kinds(numerals_alone: bool) -> NDArray[np.uint8]:
    """What each code point is to the reference's pre-tokenizer: uint8 (0x110000,)."""
    everything = [point for plane in _PLANES for point in plane]
    text, points = "".join(map(chr, everything)), np.array(everything)
    level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    kinds = np.full(0x110000, OTHER, np.uint8)
    for _, (start, end) in level.pre_tokenize_str(text):
        kinds[points[start:end]] = _kind(level, text[start])
    kinds[ord(" ")] = SPACE
    if numerals_alone:
        digits, alone = tokenizers.pre_tokenizers.Digits(individual_digits=False), np.zeros(0x110000, np.bool_)
        for _, (start, end) in digits.pre_tokenize_str(text):
            alone[points[start:end]] = len(digits.pre_tokenize_str(f"a{text[start]}")) == 2
        kinds[alone != (kinds == NUMERAL)] = DISPUTED
    return kinds


def _kind(level: Any, char: str) -> int:
    """What a character is: it makes one piece with its like."""
    likes = {LETTER: "a", NUMERAL: "1", OTHER: "!"}
    alike = (kind for kind, like in likes.items() if len(level.pre_tokenize_str(f"{like}{char}")) == 1)
    return next(alike, SPACE)


class ByteLevelEncoder:
    """Through the compiled loops; one thread, and a table of 32 MB of pieces met."""

    def __init__(self, rules: Rules, reference: Reference) -> None:
        self._rules, self._reference = rules, reference
        self._table = piece_table(_ROWS)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Flat ids and offsets."""
        batch, rules = TextBatch.of(texts), self._rules
        data, words, offsets = batch.buffers
        ends, firsts, disputed = piece_ends(data, words, offsets, rules.kinds, rules.joins, rules.numerals_alone)
        make_room(self._table)
        ids, starts, refused = encode_pieces(
            data, words, offsets, ends, firsts, *self._table, (rules.byte_ids, rules.merges, rules.merged_ids)
        )
        others = np.flatnonzero(disputed | refused)
        if not others.size:
            return ids, starts
        rows = [ids[a:b] for a, b in pairwise(starts.tolist())]
        for k in others.tolist():
            rows[k] = self._reference.encode([batch[k]])[0]
        return joined_rows(rows)
