"""What each id of a vocabulary stands for, as bytes: pure functions on the parsed ``tokenizer.json``.

Vocabularies write bytes in three ways: byte-level BPE through a table of 256 printable characters, byte
fallback as ``<0xE6>``, and all others as text with a mark for the space. Where tokens carry no space but a mark of how
words are put together (``##`` of WordPiece, ``</w>``), the space that the mark stands for is part of the bytes.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

_BYTE_ENTRY = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_SPACE_MARK = "▁"
_KEEPS_BYTES = {"ByteLevel", "Digits", "Punctuation", "Split", "UnicodeScripts"}


def byte_alphabet() -> dict[str, int]:
    """The character that stands for each byte in byte-level BPE vocabularies, as ``{character: byte}``.

    Source: the encoder of GPT-2: printable Latin-1 stands for itself, the other 68 bytes are U+0100 and up.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + k): byte for k, byte in enumerate(others)}


def pre_tokenizers(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Every pre-tokenizer of a ``tokenizer.json``, sequences flattened, in order."""
    return list(_flatten(config.get("pre_tokenizer"), "pretokenizers"))


def _flatten(node: Any, members: str) -> Iterator[Mapping[str, Any]]:
    if not node:
        return
    if node["type"] == "Sequence":
        for member in node[members]:
            yield from _flatten(member, members)
    else:
        yield node


def is_byte_level(config: Mapping[str, Any]) -> bool:
    """Whether the vocabulary is written in the byte alphabet."""
    nodes = [*pre_tokenizers(config), *_flatten(config.get("decoder"), "decoders")]
    return any(node["type"] == "ByteLevel" for node in nodes)


def covers_every_byte(config: Mapping[str, Any]) -> bool:
    """Whether cumulated byte lengths are positions: byte-level BPE that neither alters nor drops text.

    A normalizer to NFC (GPT-NeoX, OLMo, Qwen) alters nothing in a text that is in NFC already: see ``normal_form``.
    """
    model = config["model"]
    alters = any(
        step["type"] not in _KEEPS_BYTES or step.get("behavior") == "Removed" or step.get("add_prefix_space")
        for step in pre_tokenizers(config)
    )
    marks = model.get("continuing_subword_prefix") or model.get("end_of_word_suffix") or model.get("byte_fallback")
    # An unknown token is not as long as what it stands for; without one, a missing byte is a gap that shows.
    unknown = model.get("unk_token") and any(char not in model["vocab"] for char in byte_alphabet())
    plain = model.get("type", "BPE") == "BPE" and is_byte_level(config)
    return plain and not (alters or marks or unknown or (config.get("normalizer") and not normal_form(config)))


def normal_form(config: Mapping[str, Any]) -> Literal["NFC"] | None:
    """The Unicode normal form that the tokenizer brings texts to, where that is all its normalizer does."""
    steps = list(_flatten(config.get("normalizer"), "normalizers"))
    return "NFC" if steps and all(step == {"type": "NFC"} for step in steps) else None


def token_bytes(config: Mapping[str, Any], vocab: Mapping[str, int], added: Mapping[int, str]) -> list[bytes]:
    """The bytes that each id stands for, spaces as spaces; empty for ids that no token has.

    ``config`` is the parsed ``tokenizer.json``, ``vocab`` has all tokens, ``added`` the plain content of added ones.
    """
    found = [b""] * (max([*vocab.values(), *added], default=-1) + 1)
    model, alphabet = config["model"], byte_alphabet() if is_byte_level(config) else {}
    prefix, suffix = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""
    for token, token_id in vocab.items():
        begins = model.get("type") == "WordLevel" or (prefix and not token.startswith(prefix))
        ends = suffix and token.endswith(suffix)
        bare = token.removeprefix(prefix).removesuffix(suffix)
        if not alphabet:
            raw = entry_bytes(bare, is_byte=bool(model.get("byte_fallback") and _BYTE_ENTRY.fullmatch(token)))
        else:
            raw = bytes(map(alphabet.__getitem__, bare)) if alphabet.keys() >= set(bare) else bare.encode()
        found[token_id] = b" " * bool(begins) + raw + b" " * bool(ends)
    for token_id, content in added.items():
        found[token_id] = content.encode()
    return found


def entry_bytes(entry: str, is_byte: bool) -> bytes:
    """The bytes of a vocabulary entry in SentencePiece's notation: ``<0xE6>``, or text with ▁ for a space."""
    return bytes([int(entry[3:5], 16)]) if is_byte else entry.replace(_SPACE_MARK, " ").encode()
