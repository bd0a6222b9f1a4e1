"""What a document must be, for every file format: a record becomes a ``Document`` or raises ``RecordError``."""

import re
from typing import Any, NamedTuple

from pivot_udfs.settings import Corpus, CorpusFields
from pivot_udfs.shards.quarantine_reasons import MAX_KEY_BYTES, RecordError
from pivot_udfs.text.language_tags import usable_language

_SURROGATE = re.compile("[\ud800-\udfff]")


class Document(NamedTuple):
    """A record that can be used: clean Unicode strings, without U+0000 or lone surrogates."""

    record: int  # number within the shard, from 0, rejected ones counted
    source: str  # the record's, else the shard's file name without its extension
    doc_id: str
    lang: str | None  # see language_of: ISO 639-1 where there is such a code; None where no label is usable
    text: str


class Oversized(NamedTuple):
    """Stands for a value that is too long to be converted."""

    n_bytes: int


class Unsupported(NamedTuple):
    """Stands for a value of a type that no field may have."""

    type_name: str


class Fields(NamedTuple):
    """The values of one record: str without lone surrogates, int, ``bytes`` (no UTF-8), None, Oversized or Unsupported.

    ``lang`` may also be a list.
    """

    id: Any = None
    text: Any = None
    source: Any = None
    lang: Any = None


class ShardName(NamedTuple):
    """What stands for the keys that records do not have."""

    path: str
    stem: str  # the file name without its extension


def check_record(record: int, values: Fields, shard: ShardName, corpus: Corpus) -> Document:
    """The document in a record's values; raises RecordError with the first fault, in the order text, id, source."""
    text, fields = values.text, corpus.fields
    if type(text) is not str:
        raise _not_a_text(text, corpus)
    if not text or text.isspace():
        raise RecordError("blank_text", f"{fields.text} has {len(text)} white space characters")
    if len(text) * 4 > corpus.max_document_bytes and (n_bytes := len(text.encode())) > corpus.max_document_bytes:
        raise _too_large(n_bytes, corpus)
    doc_id = _key("id", fields.id, values.id) if fields.id else f"{shard.path}:{record}"
    if not doc_id:
        raise RecordError("missing_id", f"{fields.id} is missing, null or empty; expected a string or an integer")
    source = _key("source", fields.source, values.source) or shard.stem
    for name, value in ((fields.text, text), (fields.id, doc_id), (fields.source, source)):
        if "\0" in value:
            raise RecordError("nul_character", f"{name} holds U+0000 at character {value.index(chr(0))}")
    return Document(record, source, doc_id, usable_language(values.lang), text)


def known_key(record: int, values: Fields, shard: ShardName, fields: CorpusFields) -> tuple[str | None, str | None]:
    """Source and id that a rejected record would have as a document; None for each that no document can have."""
    found: list[str | None] = []
    for role, name, value in (("source", fields.source, values.source), ("id", fields.id, values.id)):
        try:
            found.append(_key(role, name, value))
        except RecordError:
            found.append(None)
    source, doc_id = found
    numbered = None if fields.id else f"{shard.path}:{record}"
    return shard.stem if source == "" else source, doc_id or numbered


def check_surrogates(values: Fields, fields: CorpusFields) -> None:
    """Raises RecordError for a lone surrogate in text, id or source: Python's own JSON reader lets them through."""
    for name, value in ((fields.id, values.id), (fields.text, values.text), (fields.source, values.source)):
        if isinstance(value, str) and (found := _SURROGATE.search(value)):
            unit = f"U+{ord(found.group()):04X}"
            raise RecordError("lone_surrogate", f"{name} holds {unit} at character {found.start()}")


def _not_a_text(text: object, corpus: Corpus) -> RecordError:
    if isinstance(text, Oversized):
        return _too_large(text.n_bytes, corpus)
    if text is None:
        return RecordError("missing_text", f"{corpus.fields.text} is missing or null; expected a string")
    return _wrong_type("text", corpus.fields.text, text, "a string")


def _key(role: str, name: str, value: object) -> str:
    """An id or source as text; empty where it is missing."""
    if value is None:
        return ""
    if type(value) is int:
        return str(value)
    if isinstance(value, Oversized):
        raise RecordError("key_too_long", f"{name} has {value.n_bytes} bytes; expected at most {MAX_KEY_BYTES}")
    if type(value) is not str:
        raise _wrong_type(role, name, value, "a string or an integer")
    if len(value) * 4 > MAX_KEY_BYTES and (n_bytes := len(value.encode())) > MAX_KEY_BYTES:
        raise RecordError("key_too_long", f"{name} has {n_bytes} bytes; expected at most {MAX_KEY_BYTES}")
    return value


def _wrong_type(role: str, name: str, value: object, expected: str) -> RecordError:
    if isinstance(value, bytes):
        return RecordError("invalid_utf8", f"{name} is not UTF-8")
    type_name = value.type_name if isinstance(value, Unsupported) else type(value).__name__
    return RecordError(f"{role}_not_string", f"{name} is of type {type_name}; expected {expected}")


def _too_large(n_bytes: int, corpus: Corpus) -> RecordError:
    name = corpus.fields.text
    return RecordError(
        "document_too_large", f"{name} has {n_bytes} bytes; expected at most {corpus.max_document_bytes}"
    )
