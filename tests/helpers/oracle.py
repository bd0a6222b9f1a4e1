"""The counts again, by brute force: plain Python that follows the definitions word by word and shares no code.

No automaton, no sorting, no arrays: every position of the text is tried, every pair of hits and every pair of a
hit and a token is looked at. Works in characters where the product works in bytes.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

WHOLE = "document"
_UNSPACED_NAMES = (
    "CJK UNIFIED",
    "CJK COMPATIBILITY IDEOGRAPH",
    "HIRAGANA",
    "KATAKANA",
    "THAI ",
    "LAO ",
    "KHMER ",
    "MYANMAR ",
)


class Hit(NamedTuple):
    """One occurrence of a word: characters [start, end)."""

    lang: str
    word: str
    start: int
    end: int


class Token(NamedTuple):
    """One token: the characters [start, end) that it covers wholly or in part."""

    token_id: int
    start: int
    end: int


@dataclass
class Tables:
    """Every count by key: [occurrences, documents]."""

    token_totals: dict[int, list[int]] = field(default_factory=dict)
    token_sources: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    word_totals: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    word_cooccurrence: dict[tuple[str, str, str, str], list[int]] = field(default_factory=dict)
    token_cooccurrence: dict[tuple[str, str, int], list[int]] = field(default_factory=dict)


def folded(text: str) -> str:
    """Lower case, character by character, where that stays one character."""
    return "".join(char.lower() if len(char.lower()) == 1 else char for char in text)


def is_spaced(char: str) -> bool:
    """Whether a character is of a script that is written with spaces, by its Unicode name."""
    name = unicodedata.name(char, "")
    return char not in "々ー㌔㍿" and not any(part in name for part in _UNSPACED_NAMES)


def is_word_character(char: str) -> bool:
    """Letter, mark, number or underscore."""
    return unicodedata.category(char)[0] in "LMN" or char == "_"


def forms_of(words: Iterable[str]) -> dict[str, str]:
    """Every folded spelling (NFC, NFD) of one language's words, with the word it stands for."""
    found: dict[str, str] = {}
    for word in words:
        forms = [folded(unicodedata.normalize(kind, word)) for kind in ("NFC", "NFD")]
        name = next((found[form] for form in forms if form in found), word)
        found.update({form: found.get(form, name) for form in forms})
    return found


def _stands_alone(text: str, start: int, end: int) -> bool:
    for edge, neighbour in ((start, start - 1), (end - 1, end)):
        pair = [text[edge], text[neighbour]] if 0 <= neighbour < len(text) else []
        if pair and all(map(is_spaced, pair)) and is_word_character(pair[1]):
            return False
    return True


def _longest_at(text: str, start: int, forms: Mapping[str, str], lengths: Collection[int]) -> int:
    """Characters of the longest word at a place that may stand there, of these lengths; 0 where there is none."""
    ends = [start + n for n in lengths if start + n <= len(text)]
    fitting = [end for end in ends if folded(text[start:end]) in forms and _stands_alone(text, start, end)]
    return max(fitting, default=start) - start


def find_hits(text: str, lang: str, lexicon: Mapping[str, dict[str, str]], shared: str) -> list[Hit]:
    """All hits of a document, by language and then by place."""
    hits = []
    for language, forms in lexicon.items():
        at, lengths = 0, {len(form) for form in forms}
        while at < len(text):
            length = _longest_at(text, at, forms, lengths)
            surface = folded(text[at : at + length])
            sharers = [other for other in lexicon if surface in lexicon[other]]
            if length and (shared == "all" or lang not in sharers or lang == language):
                hits.append(Hit(language, forms[surface], at, at + length))
            at += max(length, 1)
    return hits


def token_span(hit: Hit, tokens: Sequence[Token]) -> tuple[int, int]:
    """First token of a hit's first character, and one past the last token of its last character."""
    first = [k for k, token in enumerate(tokens) if token.start <= hit.start < token.end]
    last = [k for k, token in enumerate(tokens) if token.start <= hit.end - 1 < token.end]
    return first[0], last[-1] + 1


def _add(table: dict[Any, list[int]], counts: Counter[Any]) -> None:
    for key, count in counts.items():
        cell = table.setdefault(key, [0, 0])
        cell[0] += count
        cell[1] += 1


def is_whole_word(text: str, tokens: Sequence[Token], k: int) -> bool:
    """Whether token k is a word that neither neighbour continues; a part of a character is no word and joins none."""
    token, before, after = tokens[k], tokens[k - 1] if k else None, tokens[k + 1] if k + 1 < len(tokens) else None
    shared_before = before is not None and before.end > token.start
    shared_after = after is not None and after.start < token.end
    word = text[token.start : token.end].removeprefix(" ")
    if shared_before or shared_after or not all(map(is_word_character, word)):
        return False
    ends_whole = k < 2 or before is None or tokens[k - 2].end <= before.end - 1
    begins_whole = after is None or k + 2 >= len(tokens) or tokens[k + 2].start >= after.start + 1
    joined = [
        text[place - 1 : place + 1] for place, whole in ((token.start, ends_whole), (token.end, begins_whole)) if whole
    ]
    inside = any(len(pair) == 2 and all(is_spaced(c) and is_word_character(c) for c in pair) for pair in joined)
    return not inside and any(unicodedata.category(char)[0] == "L" for char in word)


def source_group(source: str) -> int:
    """The group of a source, by the definition of CRC-32 bit by bit."""
    register = 0xFFFFFFFF
    for byte in source.encode():
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xEDB88320 if register & 1 else 0)
    return (register ^ 0xFFFFFFFF) % 32


def add_document(
    tables: Tables, hits: Sequence[Hit], tokens: Sequence[Token], window: int | str, text: str, source: str
) -> None:
    """Adds one document to the tables."""
    reach = float("inf") if window == WHOLE else float(window)
    spans = [token_span(hit, tokens) for hit in hits]
    pairs: Counter[Any] = Counter()
    contexts: Counter[Any] = Counter()
    for i, a in enumerate(hits):
        for j, b in enumerate(hits):
            apart = a.end <= b.start or b.end <= a.start
            near = abs(spans[i][0] - spans[j][0]) <= reach
            if a.lang < b.lang and apart and near:
                pairs[a.lang, a.word, b.lang, b.word] += 1
        for q, token in enumerate(tokens):
            if not spans[i][0] <= q < spans[i][1] and abs(q - spans[i][0]) <= reach:
                contexts[a.lang, a.word, token.token_id] += 1
    whole = Counter(token.token_id for k, token in enumerate(tokens) if is_whole_word(text, tokens, k))
    for token_id in {token.token_id for token in tokens}:
        cell = tables.token_sources.setdefault((source_group(source), token_id), [0, 0])
        cell[0] += whole[token_id]
        cell[1] += 1
    _add(tables.token_totals, Counter(token.token_id for token in tokens))
    _add(tables.word_totals, Counter((hit.lang, hit.word) for hit in hits))
    _add(tables.word_cooccurrence, pairs)
    _add(tables.token_cooccurrence, contexts)


def byte_alphabet() -> dict[str, int]:
    """The byte behind each character of a byte-level vocabulary (GPT-2's printable alphabet)."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + k): byte for k, byte in enumerate(hidden)}


def byte_level_vocabulary(tokenizer_json: str) -> dict[int, bytes]:
    """The bytes of every id of a byte-level BPE."""
    alphabet, config = byte_alphabet(), json.loads(tokenizer_json)
    raw = {k: bytes(alphabet[char] for char in text) for text, k in config["model"]["vocab"].items()}
    return raw | {added["id"]: added["content"].encode() for added in config["added_tokens"]}


def normalized_tokens(text: str, tokens: Iterable[tuple[int, bytes]]) -> list[Token]:
    """The characters that each token covers, from what each character becomes under NFKC.

    For texts whose characters do not combine with their neighbours. The tokens' bytes must spell the normalized text,
    with or without a space before it; a token that is that space covers nothing.
    """
    char_of = [k for k, char in enumerate(text) for _ in unicodedata.normalize("NFKC", char).encode()]
    spelled = [(token_id, raw.replace("▁".encode(), b" ")) for token_id, raw in tokens]
    at = len(char_of) - sum(len(raw) for _, raw in spelled)
    assert at in (0, -1)
    found = []
    for token_id, raw in spelled:
        covered = char_of[max(at, 0) : at + len(raw)] or [0, -1]
        found.append(Token(token_id, covered[0], covered[-1] + 1))
        at += len(raw)
    return found


def byte_level_tokens(text: str, ids: Iterable[int], vocabulary: Mapping[int, bytes]) -> list[Token]:
    """The characters that each token of a byte-level BPE covers; the tokens' bytes must spell the text."""
    char_of = [k for k, char in enumerate(text) for _ in char.encode()]
    tokens, at = [], 0
    for token_id in ids:
        end = at + len(vocabulary[token_id])
        assert text.encode()[at:end] == vocabulary[token_id]
        tokens.append(Token(token_id, char_of[at], char_of[end - 1] + 1))
        at = end
    assert at == len(char_of)
    return tokens
