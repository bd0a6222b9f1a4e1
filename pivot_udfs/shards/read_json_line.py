"""The fields of a record in a line of JSON.

Lines of usual size are parsed whole. Of longer ones ``msgspec`` gives the stored bytes of the wanted values alone and
checks the rest, so that the memory for a line is a small multiple of its length, whatever it holds.
"""

import codecs
import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import orjson

from pivot_udfs.settings import CorpusFields
from pivot_udfs.shards.quarantine_reasons import MAX_KEY_BYTES, RecordError
from pivot_udfs.shards.validate_record import Fields, Unsupported, check_surrogates

_WHOLE_BYTES = 1 << 20
"""Longest line that is parsed whole, which may need 50 times its length."""
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|-?Infinity|NaN', re.DOTALL)
"""A string, or what Python writes for floats that JSON does not have."""
_HEX = rb"[\da-fA-F]{2}"
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB]%b\\u[dD][c-fC-F]%b|(u)(?=[dD][89a-fA-F]%b)|.)" % (_HEX, _HEX, _HEX), re.DOTALL
)
r"""An escape or a surrogate pair in a string; of a lone surrogate the ``\u``, whose ``u`` is a group."""
_KEY = rb'("(?:[^"\\]++|\\.)*+"|-?\d+(?![\d.eE]))'
"""A string or an integer."""
_RAW = msgspec.json.Decoder(msgspec.Raw)
_TOO_DEEP = "depth limit exceeded"
_MAX_LABEL_BYTES = 1 << 20
_NUMBER = Unsupported("number")
_TYPES = {dict: "object", list: "array", bool: "boolean", float: "number", str: "string", type(None): "null"}


def read_json_line(line: bytes, names: CorpusFields) -> Fields:
    """The values of the wanted fields; raises RecordError where the line is no JSON object or a field is malformed.

    A byte order mark before the object is skipped: it begins every file of a concatenation.
    """
    line = line.removeprefix(codecs.BOM_UTF8)
    if len(line) > _WHOLE_BYTES:
        line = _shortened(line, names)
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


def search_fields(line: bytes, names: CorpusFields) -> Fields:
    """Id and source that are the first values under their names in a line that is no JSON, or was cut."""
    return Fields(id=_search(line, names.id), source=_search(line, names.source))


def _search(line: bytes, path: str) -> str | int | None:
    name = json.dumps(path.rpartition(".")[2], ensure_ascii=False).encode()
    found = re.search(re.escape(name) + rb"\s*:\s*" + _KEY, line) if path else None
    try:
        return orjson.loads(found[1]) if found else None
    except orjson.JSONDecodeError:
        return None


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
    text = _decoded(line)
    try:
        return json.loads(text, parse_int=_integer)
    except (ValueError, RecursionError):
        raise RecordError("not_json", fault) from None


def _integer(digits: str) -> float:
    """Python limits the digits that it converts; longer integers are only named."""
    return int(digits) if len(digits) <= MAX_KEY_BYTES else float(digits)


def _shortened(line: bytes, names: CorpusFields) -> bytes:
    """A record of the wanted values of a long line alone, each under its path; it is judged as the line would be."""
    if line.isspace():
        raise RecordError("blank_line", f"line of {len(line)} white space bytes")
    _decoded(line)
    paths = [path for path in dict.fromkeys((names.id, names.text, names.source, names.lang)) if path]
    try:
        values = _stored_values(line, paths)
    except (msgspec.DecodeError, RecursionError) as error:
        try:
            values = _stored_values(_substituted(_TOKEN, _marked, line), paths)
        except (msgspec.DecodeError, RecursionError):
            raise RecordError("not_json", str(error)) from None
        values = [_substituted(_ESCAPE, _restored, value) for value in values]
    kept = [
        b"%s:%s" % (json.dumps(path).encode(), _emptied(value, _MAX_LABEL_BYTES if path == names.lang else 0))
        for path, value in zip(paths, values, strict=True)
        if value
    ]
    return b"{%s}" % b",".join(kept)


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise RecordError("invalid_utf8", str(error)) from None


def _substituted(pattern: re.Pattern[bytes], replaced: Callable[[re.Match[bytes]], bytes], data: bytes) -> bytes:
    """What ``pattern.sub`` gives, which holds an object for each match and for what is between them."""
    found, end = bytearray(), 0
    for match in pattern.finditer(data):
        found += data[end : match.start()]
        found += replaced(match)
        end = match.end()
    found += data[end:]
    return bytes(found)


def _marked(token: re.Match[bytes]) -> bytes:
    r"""JSON for a token that only Python accepts: ``\/`` stands for the ``\u`` of a lone surrogate and nothing else."""
    return _substituted(_ESCAPE, _mark, token[0]) if token[0].startswith(b'"') else b" 0.0 "


def _mark(escape: re.Match[bytes]) -> bytes:
    if escape[1]:
        return rb"\/"
    return b"/" if escape[0] == rb"\/" else escape[0]


def _restored(escape: re.Match[bytes]) -> bytes:
    return rb"\u" if escape[0] == rb"\/" else escape[0]


def _emptied(value: bytes, max_bytes: int) -> bytes:
    """A longer object or array without its content."""
    if len(value) <= max_bytes or value[:1] not in (b"{", b"["):
        return value
    return value[:1] + value[-1:]


def _stored_values(line: bytes, paths: list[str]) -> list[bytes]:
    try:
        return [_stored(line, path) for path in paths]
    except msgspec.ValidationError as error:
        _RAW.decode(line)
        raise RecordError("not_an_object", str(error)) from None


def _stored(line: bytes, path: str) -> bytes:
    """The stored bytes at a path, empty where there is none."""
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
