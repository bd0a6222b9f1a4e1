"""The fields of a record in a line of JSON.

Lines of usual size are parsed whole. Of longer ones ``msgspec`` gives the stored bytes of the wanted values alone and
checks the rest, so that the memory for a line is a small multiple of its length, whatever it holds.
"""

import json
import re
from functools import cache
from typing import Any

import msgspec
import orjson

from pivot_udfs.settings import CorpusFields
from pivot_udfs.shards.quarantine_reasons import MAX_KEY_BYTES, RecordError
from pivot_udfs.shards.validate_record import Fields, Unsupported, check_surrogates

_WHOLE_BYTES = 1 << 20
"""Longest line that is parsed whole, which may need 50 times its length."""
_NOT_A_NUMBER = re.compile(rb'("(?:[^"\\]++|\\.)*+")|-?Infinity|NaN', re.DOTALL)
"""A string, or what Python writes for floats that JSON does not have."""
_TOO_DEEP = "depth limit exceeded"
_MAX_LABEL_BYTES = 64 << 10
_NUMBER = Unsupported("number")
_TYPES = {dict: "object", list: "array", bool: "boolean", float: "number", str: "string", type(None): "null"}


def read_json_line(line: bytes, names: CorpusFields) -> Fields:
    """The values of the wanted fields; raises RecordError where the line is no JSON object or a field is malformed."""
    if len(line) > _WHOLE_BYTES:
        return _read_long(line, names)
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        record = _read_leniently(line, str(error))
        if type(record) is dict:
            check_surrogates(_fields(record, names), names)
    if type(record) is not dict:
        raise RecordError("not_an_object", f"a JSON {_TYPES.get(type(record), 'number')}; expected an object")
    fields = _fields(record, names)
    if _NUMBER in (fields.id, fields.source):  # an integer above 64 bits is a float so far
        fields = _fields(_read_leniently(line, "an integer has too many digits"), names)
    return fields


def _fields(record: dict[str, Any], names: CorpusFields) -> Fields:
    doc_id, text, source = (_plain(_walk(record, path)) for path in (names.id, names.text, names.source))
    return Fields(doc_id, text, source, _walk(record, names.lang))


def _walk(record: dict[str, Any], path: str) -> Any:
    """The value at a path; a key that is the whole path is preferred to the path through objects."""
    if path in record:
        return record[path] if path else None
    head, _, rest = path.partition(".")
    inner = record.get(head) if rest else None
    return _walk(inner, rest) if isinstance(inner, dict) else None


def _plain(value: Any) -> Any:
    if value is None or type(value) in (str, int):
        return value
    return Unsupported(_TYPES[type(value)])


def _read_leniently(line: bytes, fault: str) -> Any:
    """A second look by Python's own reader, which distinguishes what is wrong, and accepts NaN and lone surrogates.

    Its messages differ between releases of Python, so that ``fault`` is the detail of a line that is not JSON.
    """
    if not line.strip():
        raise RecordError("blank_line", f"line of {len(line)} white space bytes")
    if fault.startswith(_TOO_DEEP):  # where Python gives up depends on its release
        raise RecordError("not_json", fault)
    try:
        return json.loads(line.decode(), parse_int=_integer)
    except UnicodeDecodeError as error:
        raise RecordError("invalid_utf8", str(error)) from None
    except (ValueError, RecursionError):
        raise RecordError("not_json", fault) from None


def _integer(digits: str) -> float:
    """Python limits the digits that it converts; longer integers are only named."""
    return int(digits) if len(digits) <= MAX_KEY_BYTES else float(digits)


def _read_long(line: bytes, names: CorpusFields) -> Fields:
    try:
        doc_id, text, source = (_decoded(_stored(line, path)) for path in (names.id, names.text, names.source))
        lang = _stored(line, names.lang)
        label = msgspec.json.decode(lang) if 0 < len(lang) <= _MAX_LABEL_BYTES else None
        return Fields(doc_id, text, source, label)
    except UnicodeDecodeError as error:
        raise RecordError("invalid_utf8", str(error)) from None
    except msgspec.ValidationError as error:
        raise RecordError("not_an_object", str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        if (as_numbers := _NOT_A_NUMBER.sub(lambda found: found[1] or b"0.0", line)) != line:
            return _read_long(as_numbers, names)
        raise RecordError("not_json" if line.strip() else "blank_line", str(error)) from None


def _stored(line: bytes, path: str) -> bytes:
    """The stored bytes at a path, empty where there is none."""
    if not path:
        return b""
    head, _, rest = path.partition(".")
    keys = (path, head) if rest else (path,)
    whole, *parent = (bytes(value) for value in msgspec.structs.astuple(_decoder(keys).decode(line)))
    return whole or (_stored(parent[0], rest) if rest and parent[0].startswith(b"{") else b"")


@cache
def _decoder(keys: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Reads an object into the raw values of these keys."""
    names = [f"key_{number}" for number in range(len(keys))]
    columns = [(name, msgspec.Raw, msgspec.Raw(b"")) for name in names]
    return msgspec.json.Decoder(msgspec.defstruct("Keys", columns, rename=dict(zip(names, keys, strict=True))))


def _decoded(stored: bytes) -> Any:
    """A text or number; of other values only the type."""
    if stored[:1] in (b"{", b"["):
        return Unsupported("object" if stored[:1] == b"{" else "array")
    try:
        return _plain(msgspec.json.decode(stored)) if stored else None
    except msgspec.ValidationError:  # an integer with too many digits
        return _NUMBER
