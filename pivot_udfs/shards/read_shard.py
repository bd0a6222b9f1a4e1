"""The one reader by which documents enter: any shard to documents and rejected records, in order.

Nothing in a shard's content raises: what cannot be divided into records (a damaged rest, a whole file) gives one
``Rejected``. A fault of the store raises ``StoreError``, so that a shard that was read in part is never taken for a
complete one. A shard is read from its start to its end by one task, whatever its size.
"""

from collections.abc import Generator, Iterator
from typing import BinaryIO

from pivot_udfs.errors import CorpusError
from pivot_udfs.settings import Corpus
from pivot_udfs.shards.decompress_lines import LineSplitter, StreamDamageError, read_blocks
from pivot_udfs.shards.list_shards import EXTENSIONS, ShardFormat, shard_format
from pivot_udfs.shards.open_shard import open_shard
from pivot_udfs.shards.quarantine_reasons import RAW_BYTES, RecordError, Rejected, reject
from pivot_udfs.shards.read_json_line import read_json_line, search_fields
from pivot_udfs.shards.read_parquet_rows import read_parquet_rows
from pivot_udfs.shards.validate_record import Document, ShardName, check_record, known_key
from pivot_udfs.storage.redact import printable


def read_shard(path: str, corpus: Corpus) -> Generator[Document | Rejected]:
    """Every record of a shard (``Shard.path``), in order, as a document or a rejection, numbered from 0.

    ``record`` None stands for the whole shard. After one of SHARD_REASONS, whose number is that of the first record
    lost, nothing follows. Raises CorpusError where the path has no ending of a shard, and what
    ``open_shard`` raises.
    """
    form = shard_format(path)
    if form is None:
        raise CorpusError(f"shard {printable(path)} has no known extension; known are {', '.join(EXTENSIONS)}")
    with open_shard(path, seekable=form.kind == "parquet") as stream:
        read = _read_parquet if form.kind == "parquet" else _read_lines
        found = None
        for found in read(stream, form, ShardName(path, form.stem), corpus):
            yield found
    if found is None:
        yield Rejected(None, "empty_shard", "the file holds no record", None)


def _read_lines(stream: BinaryIO, form: ShardFormat, name: ShardName, corpus: Corpus) -> Iterator[Document | Rejected]:
    splitter = LineSplitter(corpus.max_record_bytes)
    record, n_bytes_read = 0, 0
    try:
        for block in read_blocks(stream, form.codec, corpus.max_zstd_window_mb << 20):
            n_bytes_read += len(block)
            for line, n_bytes in splitter.feed(block):
                yield _read_line(record, line, n_bytes, name, corpus)
                record += 1
    except StreamDamageError as damage:
        detail = f"{damage}; {n_bytes_read} bytes of content, {record} records were read before"
        yield reject(record, RecordError(damage.reason, detail), None)
        return
    if splitter.pending_bytes:
        yield _read_line(record, *splitter.take(), name, corpus)


def _read_line(record: int, line: bytes, n_bytes: int, name: ShardName, corpus: Corpus) -> Document | Rejected:
    values = None
    try:
        if n_bytes > corpus.max_record_bytes:
            detail = f"line of {n_bytes} bytes; expected at most {corpus.max_record_bytes}"
            raise RecordError("record_too_large", detail)
        values = read_json_line(line, corpus.fields)
        return check_record(record, values, name, corpus)
    except RecordError as error:
        values = values or search_fields(line, corpus.fields)
        key = known_key(record, values, name, corpus.fields)
        is_whole = n_bytes == len(line)
        return reject(record, error, line, key if values.source or is_whole else (None, key[1]))


def _read_parquet(file: BinaryIO, form: ShardFormat, name: ShardName, corpus: Corpus) -> Iterator[Document | Rejected]:
    if not file.seek(0, 2):
        return
    record = 0
    try:
        for values in read_parquet_rows(file, corpus):
            try:
                yield check_record(record, values, name, corpus)
            except RecordError as error:
                text = values.text
                raw = text[:RAW_BYTES].encode() if isinstance(text, str) else text
                yield reject(record, error, raw, known_key(record, values, name, corpus.fields))
            record += 1
    except StreamDamageError as damage:
        yield Rejected(record, damage.reason, f"{damage}; {record} rows were read before", None)
    except RecordError as error:
        yield reject(None, error, None)
