"""Byte-level BPE through compiled loops: which tokenizers they serve, their rules, and the encoder.

They serve the patterns of GPT-2, cl100k and o200k and their kin, as they are or after a normalizer to NFC, with added
tokens. What they need is read from the ``tokenizer.json``. Pre-tokens that they do not take (with a byte that has no
token, or of more than a thousand bytes), and texts whose normal form is disputed, go to the reference.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from pivot_udfs.tokenization.added_tokens import AddedTokens, unsupported
from pivot_udfs.tokenization.character_classes import caseless_classes, character_classes, gpt2_classes
from pivot_udfs.tokenization.cut_kernel import joined_characters
from pivot_udfs.tokenization.encode_kernel import CL100K, GPT2, O200K, Rules, encode_segments
from pivot_udfs.tokenization.encoders import TokenizersEncoder
from pivot_udfs.tokenization.merge_kernel import (
    MOST_IDS,
    NO_MERGE,
    Merges,
    are_merged,
    merge_table,
    whole_token_table,
)
from pivot_udfs.tokenization.nfc import is_nfc, to_nfc
from pivot_udfs.tokenization.pre_token_table import make_room, new_table
from pivot_udfs.tokenization.text_batch import Encoded, TextBatch
from pivot_udfs.tokenization.token_bytes import byte_alphabet, normal_form, pre_tokenizers

_OTHER_BPE = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
Tokens = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int32]]
"""Bytes of tokens in a row, where each begins, and ids."""
_ALPHABET = {byte: char for char, byte in byte_alphabet().items()}
_WRITTEN = frozenset(byte_alphabet())
_TO_LATIN = {ord(char): byte for char, byte in byte_alphabet().items()}
_DIGITS = {"type": "Digits", "individual_digits": True}
_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_CL100K = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _SPACES
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_O200K = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTIONS}?"
    rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
)
_PATTERNS = {
    _CL100K % r"\p{N}{1,3}": (CL100K, 3),
    _CL100K % r"\p{N}": (CL100K, 1),
    _O200K: (O200K, 3),
}
"""Regular expressions of a step "Split", with the splitter and the most numerals of a pre-token."""


def unsupported_by_loops(config: Mapping[str, Any]) -> str | None:
    """Why the loops cannot take a ``tokenizer.json``, None if they can."""
    model = config["model"]
    if model.get("type") != "BPE":
        return f"the model is {model.get('type')}, not BPE"
    if others := [key for key in _OTHER_BPE if model.get(key)]:
        return f"model.{others[0]} is set"
    if config.get("normalizer") and not normal_form(config):
        return "the normalizer is not NFC"
    if _pattern(config) is None:
        return "the pre-tokenizer is not that of GPT-2, cl100k, Qwen or o200k"
    if max(model["vocab"].values(), default=0) >= MOST_IDS or len(model["merges"]) >= NO_MERGE:
        return "the vocabulary is too large"
    if len(set(model["vocab"].values())) < len(model["vocab"]):
        return "two tokens have one id"
    return next(filter(None, map(unsupported, config.get("added_tokens") or [])), None)


def _pattern(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """Splitter and most numerals of a pre-token; 1 and 0 for GPT-2's with and without the step "Digits"."""
    *steps, level = pre_tokenizers(config) or [{}]
    if level.get("type") != "ByteLevel" or level.get("add_prefix_space"):
        return None
    if level.get("use_regex", True):
        return (GPT2, len(steps)) if steps in ([], [_DIGITS]) else None
    if len(steps) != 1 or steps[0]["type"] != "Split":
        return None
    # Every character is in a match, so that removing what is not between matches changes nothing.
    if (steps[0].get("behavior"), steps[0].get("invert", False)) not in (("Isolated", False), ("Removed", True)):
        return None
    return _PATTERNS.get(steps[0]["pattern"].get("Regex", ""))


def read_rules(config: Mapping[str, Any]) -> tuple[Rules, Tokens]:
    """The rules of a ``tokenizer.json`` for which ``unsupported_by_loops`` gives None.

    And the tokens that their own bytes merge to, with which the table of pre-tokens begins.
    """
    ids, alphabet = config["model"]["vocab"], byte_alphabet()
    byte_ids = np.full(256, -1, np.int32)
    for char, byte in alphabet.items():
        byte_ids[byte] = ids.get(char, -1)
    pairs = [tuple(merge.split(" ", 1) if isinstance(merge, str) else merge) for merge in config["model"]["merges"]]
    pair_ids = np.array([(ids[a], ids[b]) for a, b in pairs], np.uint64).reshape(-1, 2)
    merged_ids = np.array([ids[a + b] for a, b in pairs], np.int32)
    merges = Merges(byte_ids, merge_table(pair_ids), merged_ids, _byte_ranks(pair_ids, byte_ids))
    merged = {_bytes_of(a + b) for a, b in pairs}
    own, others = _tokens_by_merging(ids, merges)
    whole = others if config["model"].get("ignore_merges") else {}
    splitter, most_digits = _pattern(config) or (GPT2, 0)
    if splitter == GPT2:
        classes = gpt2_classes(most_digits == 1)
    else:
        classes = character_classes() if splitter == O200K else caseless_classes()
    joins = joined_characters(*_flat([*merged, *whole]))
    return Rules(splitter, most_digits, classes, joins, merges, whole_token_table(*_tokens(whole))), _tokens(own)


def _byte_ranks(pair_ids: NDArray[np.uint64], byte_ids: NDArray[np.int32]) -> NDArray[np.int32]:
    found = np.full((256, 256), NO_MERGE, np.int32)
    byte_of = {token_id: byte for byte, token_id in enumerate(byte_ids.tolist())}
    for rank, (left, right) in enumerate(pair_ids.tolist()):
        if left in byte_of and right in byte_of:
            found[byte_of[left], byte_of[right]] = rank
    return found.reshape(-1)


def _tokens_by_merging(ids: Mapping[str, int], merges: Merges) -> tuple[dict[bytes, int], dict[bytes, int]]:
    """The tokens that merging their bytes gives, and the others; without those that are not written as bytes."""
    found = {_bytes_of(token): token_id for token, token_id in ids.items() if _WRITTEN.issuperset(token)}
    merged = are_merged(*_tokens(found), merges).tolist()
    pairs = list(zip(found.items(), merged, strict=True))
    return {k: v for (k, v), own in pairs if own}, {k: v for (k, v), own in pairs if not own}


def _tokens(ids: Mapping[bytes, int]) -> Tokens:
    return *_flat(list(ids)), np.array(list(ids.values()), np.int32)


def _bytes_of(token: str) -> bytes:
    return token.translate(_TO_LATIN).encode("latin-1")


def _flat(tokens: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of tokens in a row, with some more behind them, and where each token begins."""
    offsets = np.cumsum([0, *map(len, tokens)], dtype=np.int64)
    return np.frombuffer(b"".join([*tokens, bytes(8)]), np.uint8), offsets


def _n_rows(n_tokens: int) -> int:
    """Rows of the table of pre-tokens, which is emptied when half of them are taken.

    For a vocabulary of up to 131,072 tokens half of them are 262,144, about the distinct pre-tokens of 114 MB of text
    in four languages.
    """
    return max(1 << 19, 1 << (4 * n_tokens - 1).bit_length())


class ByteLevelEncoder:
    """Through the compiled loops; one thread at a time. The table of pre-tokens takes 56 to 112 MB."""

    def __init__(self, config: Mapping[str, Any], reference: tokenizers.Tokenizer) -> None:
        """``config``: a ``tokenizer.json``; ``reference``: the library's, for what the loops do not take."""
        self._rules, self._tokens = read_rules(config)
        self._reference = reference
        self._nfc = normal_form(config) is not None
        self._added = AddedTokens(reference.get_added_tokens_decoder(), self._nfc)
        self._table, self._lock = new_table(_n_rows(len(self._tokens[2]))), threading.Lock()

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Flat ids and offsets."""
        batch, disputed = self._normalized(TextBatch.of(texts)) if self._nfc else (TextBatch.of(texts), [])
        data, offsets = batch.buffers
        segments, firsts = self._added.segments(data, offsets)
        with self._lock:
            make_room(self._table, *self._tokens)
            ids, starts, gaps = encode_segments(data, segments, self._rules, self._table)
        filled = [(k, place, self._merged(bytes(data[start:end]))) for k, start, end, place in gaps.tolist()]
        filled += [(firsts[k], starts[firsts[k]], self._encoded(texts[k])) for k in disputed]
        ids, starts = (
            _with_gaps_filled(ids, starts, sorted(filled, key=lambda gap: gap[0])) if filled else (ids, starts)
        )
        return ids, starts[firsts]

    def _normalized(self, texts: TextBatch) -> tuple[TextBatch, list[int]]:
        """The texts in normal form, and which are left empty since the reference must encode them."""
        altered = {k: text for k, text in enumerate(texts) if not is_nfc(text)}
        if not altered:
            return texts, []
        found = {k: None if self._added.is_in_raw(text) else to_nfc(text) for k, text in altered.items()}
        batch = TextBatch((found[k] or "") if k in found else text for k, text in enumerate(texts))
        return batch, [k for k, text in found.items() if text is None]

    def _merged(self, pre_token: bytes) -> NDArray[np.int32]:
        text = "".join(_ALPHABET[byte] for byte in pre_token)
        return np.array([token.id for token in self._reference.model.tokenize(text)], np.int32)

    def _encoded(self, text: str) -> NDArray[np.int32]:
        return TokenizersEncoder(self._reference).encode([text])[0]


def _with_gaps_filled(
    ids: NDArray[np.int32], starts: NDArray[np.int64], gaps: list[tuple[int, int, NDArray[np.int32]]]
) -> Encoded:
    """Puts the missing ids to their places; ``gaps``: segment, place in ids, and the ids, in order."""
    counts = [len(found) for _, _, found in gaps]
    longer = np.zeros_like(starts)
    np.add.at(longer, np.array([segment for segment, _, _ in gaps]) + 1, counts)
    places = np.repeat([place for _, place, _ in gaps], counts)
    return np.insert(ids, places, np.concatenate([found for _, _, found in gaps])), starts + longer.cumsum()
