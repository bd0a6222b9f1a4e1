"""Unicode normal form C as the reference library brings texts to it, without its cost.

Its Unicode tables are years older than Python's: characters added since have no combining class and no composition
there. No other character ever changes, so a text without them has the same normal form in both. A text that is in
normal form by Python's tables is one by the reference's, too.
"""

import re
import unicodedata
from functools import lru_cache

import tokenizers

_MARKS = "\u0334\u0315\u0300\u0345"
"""Of combining classes 1, 232, 230 and 240."""


def is_nfc(text: str) -> bool:
    """Whether the reference leaves a text as it is."""
    return text.isascii() or unicodedata.is_normalized("NFC", text)


def to_nfc(text: str) -> str | None:
    """The text in normal form C; None if the reference's may differ."""
    return None if _disputed().search(text) else unicodedata.normalize("NFC", text)


@lru_cache(maxsize=1)
def _disputed() -> re.Pattern[str]:
    """Any character that composes or moves differently in the reference."""
    reference = tokenizers.normalizers.NFC()
    found = ["\ud800"]
    for char in map(chr, (*range(0x80, 0xD800), *range(0xE000, 0x40000))):
        parts = unicodedata.normalize("NFD", char)
        if parts == char and not unicodedata.combining(char):
            continue
        tried = [parts, *(f"a{mark}{char}{mark}" for mark in _MARKS), f"a{char}{_MARKS}"]
        if any(reference.normalize_str(text) != unicodedata.normalize("NFC", text) for text in tried):
            found += [char, *parts]
    return re.compile(f"[{re.escape(''.join(found))}]")
