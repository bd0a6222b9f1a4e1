"""Language labels reduced to one code, ISO 639-1 where the language has one; the corpus is counted by language."""

import re
from functools import cache, lru_cache
from typing import Any

import langcodes
from langcodes.registry_parser import parse_registry
from langcodes.tag_parser import LanguageTagError

MAX_TAG_CHARS = 35
"""Longer strings are no language tags."""

_TAG = re.compile(r"(?:[a-zA-Z]{2,3}|[iI](?=[-_]))(?:[-_][a-zA-Z0-9]{1,8})*")
_KEPT = {"tl": "tl", "tgl": "tl", "sh": "sh", "hbs": "sh", "tw": "tw", "twi": "tw", "bh": "bh", "bih": "bh"}
"""Codes that have an ISO 639-1 code, but that CLDR replaces by another language's."""
_UNUSABLE = frozenset({"und", "zxx", "mis"})
_NOT_A_NUMBER = "nan"  # written by data frames for a missing label; Min Nan Chinese is `zh-min-nan` or `nan-...`


def usable_language(label: Any) -> str | None:
    """The language that a record's label (any value) names, or None where the language has to be identified.

    Of a list the first usable tag counts. None for ``und``, ``zxx``, ``mis``, a bare ``nan`` and codes that no registry
    has, such as ``un``, ``jp`` and ``cn``: they name no language.
    """
    if isinstance(label, list):
        return next((language for item in label if isinstance(item, str) and (language := usable_language(item))), None)
    if not isinstance(label, str) or label.strip().lower() == _NOT_A_NUMBER:
        return None
    language = language_of(label)
    return None if language is None or language in _UNUSABLE or not is_registered(language) else language


def language_of(tag: str) -> str | None:
    """The language of a BCP 47 tag or similar (``EN``, ``en-US``, ``eng_Latn``, ``cmn``): ISO 639-1, else ISO 639-3.

    None where the string is no tag: longer than 35 characters, a name such as ``English``, or with other characters.
    """
    return _language_of(tag) if len(tag) <= MAX_TAG_CHARS else None


@lru_cache(maxsize=4_096)
def is_registered(language: str) -> bool:
    """Whether a code is in IANA's registry of languages, which has those of ISO 639."""
    return langcodes.tag_is_valid(language)


@cache
def _extended_languages() -> frozenset[str]:
    """Tags such as ``zh-yue`` and ``ar-arz``: a language behind its macrolanguage (RFC 5646, section 2.2.2)."""
    extended = [entry for entry in parse_registry() if entry["Type"] == "extlang"]  # type: ignore[no-untyped-call]
    return frozenset(f"{prefix}-{entry['Subtag']}" for entry in extended for prefix in entry["Prefix"])


@lru_cache(maxsize=4_096)
def _language_of(tag: str) -> str | None:
    if not _TAG.fullmatch(tag.strip()):
        return None
    tag = tag.strip().replace("_", "-").lower()
    first, *others = tag.split("-")
    if others and f"{first}-{others[0]}" in _extended_languages():
        return _language_of(tag.partition("-")[2])
    try:
        standard = langcodes.standardize_tag(tag, macro=True)
    except LanguageTagError:  # subtags in a wrong order or repeated; the language is clear
        if first == "i":
            return None
        standard = langcodes.standardize_tag(first, macro=True)
    return _KEPT.get(first, standard.partition("-")[0])
