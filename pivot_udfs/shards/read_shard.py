"""The one reader by which documents enter: any shard to documents and rejected records, in order.

Nothing in a shard's content raises: every record gives one ``Document`` or one ``Rejected``, and what
cannot be told apart into records (a damaged rest, a whole file) gives one ``Rejected`` that says so. Only a
store that fails to answer raises ``OSError``: Spark then tries the task again, and half a shard is not taken
for a whole one. A shard is read from its start to its end by one task, whatever its size.
"""

import errno
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from pivot_udfs.errors import CorpusError
from pivot_udfs.shards.list_shards import EXTENSIONS, ShardFormat, open_shard, shard_format
from pivot_udfs.shards.read_parquet_rows import read_parquet_rows
from pivot_udfs.shards.shard_streams import LineSplitter, StreamDamageError, read_blocks
from pivot_udfs.shards.validate_record import (
    REASONS,
    Document,
    ReadLimits,
    RecordError,
    Rejected,
    check_record,
    refuse_surrogates,
    reject,
)

__all__ = ["REASONS", "Document", "ReadLimits", "Rejected", "read_shard"]

_REFUSALS = frozenset({errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR})
_REFUSAL_WORDS = ("ACCESS_DENIED", "PERMISSION_DENIED", "is a directory")  # of errors that carry no code


def read_shard(path: str, limits: ReadLimits) -> Iterator[Document | Rejected]:
    """Every record of a shard, in order, as a document or a rejection.

    Args:
        path: ``Shard.path``; its ending says the format.
        limits: larger documents and lines are rejected without being held.

    Yields:
        Records numbered from 0 over all of the shard. ``record`` None stands for the whole shard. After a
        ``corrupt_stream``, whose number is that of the first record lost, nothing follows.

    Raises:
        OSError: the store did not answer, or failed while the file was opened or read (too many open files, a
            stale handle, a time-out, ...); the shard is not at fault.
    """
    form = shard_format(path)
    if form is None:
        yield Rejected(None, "unreadable_shard", f"unknown extension; known are {', '.join(EXTENSIONS)}", None)
        return
    try:
        stream = open_shard(path, seekable=form.kind == "parquet")
    except (OSError, CorpusError) as error:
        if isinstance(error, OSError) and not _is_refusal(error):
            raise
        yield Rejected(None, "unreadable_shard", str(error), None)
        return
    with stream:
        read = _read_parquet if form.kind == "parquet" else _read_lines
        found = None
        for found in read(stream, form, limits):
            yield found
    if found is None:
        yield Rejected(None, "empty_shard", "the file holds no record", None)


def _is_refusal(error: OSError) -> bool:
    """Whether opening again would fail again, by the operating system's code or the file system's word."""
    return error.errno in _REFUSALS or any(word in str(error) for word in _REFUSAL_WORDS)


def _read_lines(stream: BinaryIO, form: ShardFormat, limits: ReadLimits) -> Iterator[Document | Rejected]:
    splitter = LineSplitter(limits.max_record_bytes)
    record, n_bytes_read = 0, 0
    try:
        for block in read_blocks(stream, form.codec):
            n_bytes_read += len(block)
            for line, n_bytes in splitter.feed(block):
                yield _read_line(record, line, n_bytes, form.stem, limits)
                record += 1
    except StreamDamageError as damage:
        detail = f"{damage}; {n_bytes_read} bytes of content, {record} records were read before"
        yield reject(record, RecordError("corrupt_stream", detail), splitter.take()[0])
        return
    if splitter.pending_bytes:
        yield _read_line(record, *splitter.take(), form.stem, limits)


def _read_line(record: int, line: bytes, n_bytes: int, stem: str, limits: ReadLimits) -> Document | Rejected:
    try:
        if n_bytes > limits.max_record_bytes:
            detail = f"line of {n_bytes} bytes, at most {limits.max_record_bytes} are read"
            raise RecordError("record_too_large", detail)
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError:
            fields = _read_refused_json(line)
        if type(fields) is not dict:
            raise RecordError("not_an_object", f"a JSON {type(fields).__name__}; expected an object")
        return check_record(record, fields, stem, limits)
    except RecordError as error:
        return reject(record, error, line)


def _read_refused_json(line: bytes) -> Any:
    """A second look with the slower, more lenient reader, which tells apart what is wrong.

    It also takes what is wrong only in fields that are not used, such as NaN.
    """
    if not line.strip():
        raise RecordError("blank_line", f"line of {len(line)} white space bytes")
    try:
        fields = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise RecordError("invalid_utf8", str(error)) from None
    except RecursionError:
        raise RecordError("not_json", "nested too deeply") from None
    except ValueError as error:
        raise RecordError("not_json", str(error)) from None
    if isinstance(fields, dict):
        refuse_surrogates(fields)
    return fields


def _read_parquet(file: BinaryIO, form: ShardFormat, limits: ReadLimits) -> Iterator[Document | Rejected]:
    if not file.seek(0, 2):
        return
    record = 0
    try:
        for fields in read_parquet_rows(file, limits):
            yield _check_row(record, fields, form.stem, limits)
            record += 1
    except StreamDamageError as damage:
        yield Rejected(record, "corrupt_stream", f"{damage}; {record} rows were read before", None)
    except RecordError as error:
        yield reject(None, error, None)


def _check_row(record: int, fields: dict[str, Any], stem: str, limits: ReadLimits) -> Document | Rejected:
    try:
        return check_record(record, fields, stem, limits)
    except RecordError as error:
        return reject(record, error, _raw_text(fields["text"]))


def _raw_text(text: object) -> bytes | None:
    if isinstance(text, str):
        return text[:1024].encode()
    return text if isinstance(text, bytes) else None
