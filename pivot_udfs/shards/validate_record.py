"""What a document must be, decided in one place for every file format, on plain Python values.

A record becomes a ``Document`` or a ``Rejected`` with its reason; there is no third way, so that records in =
documents + quarantine. The values come straight from JSON or Parquet and may be of any type.
"""

import re
import reprlib
from dataclasses import dataclass
from typing import Any, NamedTuple

from pivot_udfs.shards.shard_streams import RAW_BYTES
from pivot_udfs.text.language_tags import language_of

REASONS: dict[str, str] = {
    "unreadable_shard": "the file cannot be opened: gone, or no permission",
    "empty_shard": "the file holds no record",
    "corrupt_stream": "the file is cut or damaged; what comes after the damage is not read",
    "missing_columns": "the Parquet file lacks the column id or text; none of its rows is read",
    "record_too_large": "the line, or a field other than text, is longer than corpus.max_record_bytes",
    "blank_line": "the line is empty",
    "invalid_utf8": "the bytes are not UTF-8",
    "not_json": "the line is not JSON",
    "not_an_object": "the line is JSON but not an object",
    "lone_surrogate": "a field holds half of a surrogate pair, which no UTF-8 can write",
    "missing_text": "there is no text, or it is null",
    "text_not_string": "the text is not a string",
    "blank_text": "the text is empty or white space",
    "document_too_large": "the text is longer than corpus.max_document_bytes",
    "missing_id": "there is no id, or it is null or empty",
    "id_not_string": "the id is not a string",
    "source_not_string": "the source is not a string",
    "lang_not_string": "the lang is not a string",
    "nul_character": "a field holds the character U+0000",
}
"""What each reason of a ``Rejected`` means."""

FIELDS = ("id", "text", "source", "lang")
"""The fields of a record that are read."""

_SURROGATE = re.compile("[\ud800-\udfff]")


class Document(NamedTuple):
    """A record that can be used: four clean Unicode strings, without U+0000 or lone surrogates."""

    record: int  # number within the shard, from 0, rejected ones counted
    source: str  # the record's, else the shard's file name without its extension
    doc_id: str
    lang: str | None  # see language_of: ISO 639-1 where there is such a code; None where missing or no tag
    text: str


class Rejected(NamedTuple):
    """A record, or a whole shard (``record`` None), that cannot be used."""

    record: int | None
    reason: str  # a key of REASONS
    detail: str  # what was got
    raw: bytes | None  # the first bytes, at most 1,024


@dataclass(frozen=True)
class ReadLimits:
    """What is too large to be read.

    Attributes:
        max_document_bytes: of a document's text in UTF-8.
        max_record_bytes: of a line, or of a Parquet value other than the text.
    """

    max_document_bytes: int
    max_record_bytes: int


class Oversized(NamedTuple):
    """Stands for a value that was too long to be fetched."""

    n_bytes: int


class RecordError(Exception):
    """Why a record is refused: ``reason`` is a key of REASONS, ``detail`` what was got."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def check_record(record: int, fields: dict[str, Any], default_source: str, limits: ReadLimits) -> Document:
    """The document in a record's fields.

    Args:
        record: its number within the shard.
        fields: ``id``, ``text``, ``source`` and ``lang``, of any type or missing; others are not looked at.
        default_source: the source where the record gives none.
        limits: of ``text``.

    Raises:
        RecordError: with the first reason found, in the order text, id, source, lang.
    """
    text, doc_id = fields.get("text"), fields.get("id")
    source, lang = fields.get("source"), fields.get("lang")
    if type(text) is not str:
        raise _not_a_text(text, limits)
    if not text or text.isspace():
        raise RecordError("blank_text", f"text of {len(text)} white space characters")
    if len(text) * 4 > limits.max_document_bytes and (n_bytes := len(text.encode())) > limits.max_document_bytes:
        raise _too_large(n_bytes, limits)
    if type(doc_id) is not str or not doc_id:
        raise _not_an_id(doc_id, limits)
    source = source if type(source) is str else _optional("source", source, limits)
    lang = lang if type(lang) is str else _optional("lang", lang, limits)
    if "\0" in text or "\0" in doc_id or "\0" in source or "\0" in lang:
        raise _nul(fields)
    return Document(record, source or default_source, doc_id, language_of(lang), text)


def refuse_surrogates(fields: dict[str, Any]) -> None:
    """Checks the fields that are read for lone surrogates, which only Python's own JSON reader lets through.

    Raises:
        RecordError: naming the field and the code unit.
    """
    for name in FIELDS:
        value = fields.get(name)
        if isinstance(value, str) and (found := _SURROGATE.search(value)):
            unit = f"U+{ord(found.group()):04X}"
            raise RecordError("lone_surrogate", f"{name} holds {unit} at character {found.start()}")


def reject(record: int | None, error: RecordError, raw: bytes | None) -> Rejected:
    """The quarantine row of a refused record; ``raw`` is cut to 1,024 bytes."""
    return Rejected(record, error.reason, error.detail, raw[:RAW_BYTES] if raw else None)


def _not_a_text(text: object, limits: ReadLimits) -> RecordError:
    if isinstance(text, Oversized):
        return _too_large(text.n_bytes, limits)
    if text is None:
        return RecordError("missing_text", "text is missing or null; expected a string")
    return _wrong_type("text", text, limits)


def _not_an_id(doc_id: object, limits: ReadLimits) -> RecordError:
    if doc_id is None:
        return RecordError("missing_id", "id is missing or null; expected a string")
    if doc_id == "":
        return RecordError("missing_id", "id is empty")
    return _wrong_type("id", doc_id, limits)


def _optional(name: str, value: object, limits: ReadLimits) -> str:
    if value is None:
        return ""
    raise _wrong_type(name, value, limits)


def _wrong_type(name: str, value: object, limits: ReadLimits) -> RecordError:
    if isinstance(value, Oversized):
        return RecordError(
            "record_too_large",
            f"{name} has {value.n_bytes} bytes, at most {limits.max_record_bytes} are read",
        )
    if isinstance(value, bytes):
        return RecordError("invalid_utf8", f"{name} is not UTF-8")
    shown = f"{reprlib.repr(value)} ({type(value).__name__})"
    return RecordError(f"{name}_not_string", f"{name} is {shown}; expected a string")


def _too_large(n_bytes: int, limits: ReadLimits) -> RecordError:
    return RecordError(
        "document_too_large", f"text has {n_bytes} bytes, at most {limits.max_document_bytes} are allowed"
    )


def _nul(fields: dict[str, Any]) -> RecordError:
    name, at = next((name, at) for name in FIELDS if (at := (fields.get(name) or "").find("\0")) >= 0)
    return RecordError("nul_character", f"{name} holds U+0000 at character {at}")
