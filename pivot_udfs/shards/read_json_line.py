"""The fields of a record in a line of JSON; the rest of the line is checked but never made into objects.

``msgspec`` gives the stored bytes of the wanted values alone, so that the memory for a line is a small multiple of its
length, whatever it holds.
"""

import json
import re
from functools import cache
from typing import Any

import msgspec

from pivot_udfs.shards.validate_record import (
    MAX_KEY_BYTES,
    Fields,
    Oversized,
    ReadLimits,
    RecordError,
    Unsupported,
    check_surrogates,
)

_LENIENT_BYTES = 4 << 20
"""Longest line that Python's own reader is given, which may need 40 times its length."""
_MAX_LABEL_BYTES = 64 << 10
_ESCAPE_BYTES = 6
"""Stored bytes of an escaped character, the most for one byte of UTF-8."""
_INTEGER = re.compile(rb"-?[0-9]{1,1000}")
_TYPES = {b"{": "object", b"[": "array", b'"': "string", b"t": "boolean", b"f": "boolean", b"n": "null"}


def read_json_line(line: bytes, limits: ReadLimits) -> Fields:
    """The values of the wanted fields.

    Args:
        line: one record.
        limits: where the fields are, and how long a text may be.

    Raises:
        RecordError: the line is blank, not UTF-8, not JSON or no object, or a field holds a lone surrogate.
    """
    names = limits.fields
    try:
        found = _find(line, (names.id, names.text, names.source, names.lang))
        return Fields(
            id=_value(found.get(names.id), MAX_KEY_BYTES),
            text=_value(found.get(names.text), limits.max_document_bytes),
            source=_value(found.get(names.source), MAX_KEY_BYTES),
            lang=_label(found.get(names.lang)),
        )
    except RecursionError:
        raise RecordError("not_json", "nested too deeply") from None
    except msgspec.DecodeError as error:
        return _read_leniently(line, limits, error)


def _find(line: bytes, paths: tuple[str, ...]) -> dict[str, bytes]:
    """The stored value of each path; a key that is the whole path is preferred to the path through objects."""
    keys = tuple(sorted({key for path in paths if path for key in (path, path.partition(".")[0])}))
    values = _decoder(keys).decode(line)
    pairs = zip(keys, msgspec.structs.astuple(values), strict=True)
    stored = {key: bytes(value) for key, value in pairs if value is not msgspec.UNSET}
    found = {path: stored[path] for path in paths if path in stored}
    for path in paths:
        head, _, rest = path.partition(".")
        if path not in found and rest and stored.get(head, b"").startswith(b"{"):
            found[path] = _find(stored[head], (rest,)).get(rest, b"null")
    return found


@cache
def _decoder(keys: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Reads an object into the raw values of these keys."""
    names = [f"key_{number}" for number in range(len(keys))]
    columns = [(name, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for name in names]
    return msgspec.json.Decoder(msgspec.defstruct("Keys", columns, rename=dict(zip(names, keys, strict=True))))


def _value(stored: bytes | None, max_bytes: int) -> Any:
    """A value as ``Fields`` has it; a string that is surely longer than ``max_bytes`` is not decoded."""
    if stored is None or stored == b"null":
        return None
    if _INTEGER.fullmatch(stored):
        return int(stored)
    if not stored.startswith(b'"'):
        return Unsupported(_type_name(stored))
    if len(stored) - 2 > max_bytes * (_ESCAPE_BYTES if b"\\" in stored else 1):
        return Oversized(len(stored) - 2)
    try:
        return msgspec.json.decode(stored, type=str) if b"\\" in stored else stored[1:-1].decode()
    except UnicodeDecodeError:
        return stored[1:-1]


def _label(stored: bytes | None) -> Any:
    if stored is None or len(stored) > _MAX_LABEL_BYTES:
        return None
    try:
        return msgspec.json.decode(stored)
    except UnicodeDecodeError:
        return None


def _read_leniently(line: bytes, limits: ReadLimits, problem: msgspec.DecodeError) -> Fields:
    """A second look by Python's own reader, which distinguishes what is wrong.

    It also accepts what is wrong only in fields that are not used: NaN, lone surrogates.
    """
    if not line.strip():
        raise RecordError("blank_line", f"line of {len(line)} white space bytes")
    try:
        text = line.decode()
        if len(line) > _LENIENT_BYTES:
            is_json = isinstance(problem, msgspec.ValidationError)
            raise RecordError("not_an_object" if is_json else "not_json", str(problem))
        record = json.loads(text)
    except UnicodeDecodeError as error:
        raise RecordError("invalid_utf8", str(error)) from None
    except RecursionError:
        raise RecordError("not_json", "nested too deeply") from None
    except ValueError as error:
        raise RecordError("not_json", str(error)) from None
    if not isinstance(record, dict):
        raise RecordError("not_an_object", f"a JSON {_type_name(line.lstrip())}; expected an object")
    names = limits.fields
    doc_id, text, source = (_plain(_walk(record, path)) for path in (names.id, names.text, names.source))
    fields = Fields(doc_id, text, source, _walk(record, names.lang))
    check_surrogates(fields, names)
    return fields


def _walk(record: dict[str, Any], path: str) -> Any:
    if path and path in record:
        return record[path]
    head, _, rest = path.partition(".")
    inner = record.get(head)
    return _walk(inner, rest) if rest and isinstance(inner, dict) else None


def _plain(value: Any) -> Any:
    if value is None or type(value) in (str, int):
        return value
    names = {dict: "object", list: "array", bool: "boolean"}
    return Unsupported(names.get(type(value), "number"))


def _type_name(stored: bytes) -> str:
    return _TYPES.get(stored[:1], "number")
