"""The reader: each bad input gives its own reason, and records in are documents and rejections."""

import gzip
import io
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shard_files import (
    BAD_LINES,
    GOOD_LINES,
    LIMITS,
    LINE,
    PACK,
    line_of,
    many_lines,
    read,
    reasons_of,
    with_limits,
    write,
)

from pivot_udfs.errors import CorpusError, StoreError
from pivot_udfs.shards import read_json_line
from pivot_udfs.shards.quarantine_reasons import REASONS, SHARD_REASONS, RecordError, Rejected
from pivot_udfs.shards.validate_record import Document, ShardName, check_record
from pivot_udfs.storage.location import Location


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_bad_line_is_one_rejection_between_its_neighbours(tmp_path: Path, line: bytes, reason: str) -> None:
    found = read(write(tmp_path, line_of(id="0") + b"\n" + line + b"\n" + line_of(id="2")))
    assert reasons_of(found) == [None, reason, None]
    assert [item.record for item in found] == [0, 1, 2]
    rejected = found[1]
    assert isinstance(rejected, Rejected)
    assert rejected.detail
    assert rejected.raw == (line[:1024] or None)


@pytest.mark.parametrize(("line", "expected"), GOOD_LINES)
def test_a_good_line_is_a_document(tmp_path: Path, line: bytes, expected: tuple[str, str, str | None, str]) -> None:
    source, doc_id, lang, text = expected
    assert read(write(tmp_path, line)) == [Document(0, source, doc_id, lang, text)]


def test_every_reason_is_known_and_seen() -> None:
    assert {reason for _, reason in BAD_LINES} | SHARD_REASONS == REASONS.keys()


@pytest.mark.parametrize("ending", PACK)
def test_records_in_are_documents_and_rejections(tmp_path: Path, ending: str) -> None:
    lines = [line for line, _ in BAD_LINES] + [line for line, _ in GOOD_LINES]
    data = b"\n".join(lines) + b"\n"
    found = read(write(tmp_path, PACK[ending](data), "x" + ending))
    assert [item.record for item in found] == list(range(data.count(b"\n")))
    assert reasons_of(found) == [reason for _, reason in BAD_LINES] + [None] * len(GOOD_LINES)


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("packed", PACK)
def test_compression_is_that_of_the_content_whatever_the_name(tmp_path: Path, packed: str, ending: str) -> None:
    path = write(tmp_path, PACK[packed](b"\n" + line_of() + b"\n" + line_of()), "x" + ending)
    assert reasons_of(read(path)) == ["blank_line", None, None]


def test_an_unknown_source_is_the_name_of_the_shard(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress(b'{"id": "1", "text": "b"}'), "wiki.v2-0001.JSONL.GZ")
    assert read(path) == [Document(0, "wiki.v2-0001", "1", None, "b")]


@pytest.mark.parametrize("ending", PACK)
def test_a_byte_order_mark_is_dropped(tmp_path: Path, ending: str) -> None:
    """Each file of a concatenation may begin with one."""
    file = PACK[ending](b"\xef\xbb\xbf" + line_of() + b"\n" + line_of(text="\ufeff") + b"\n")
    assert reasons_of(read(write(tmp_path, file + file, "x" + ending))) == [None] * 4


@pytest.mark.parametrize("ending", PACK)
def test_a_shard_without_content_is_empty(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path, PACK[ending](b""), "x" + ending)
    assert read(path) == [Rejected(None, "empty_shard", "the file holds no record", None)]


@pytest.mark.parametrize("ending", [*PACK, ".parquet"])
def test_a_file_of_no_bytes_is_empty(tmp_path: Path, ending: str) -> None:
    assert reasons_of(read(write(tmp_path, b"", "x" + ending))) == ["empty_shard"]


def test_a_path_of_unknown_extension_is_an_error() -> None:
    with pytest.raises(CorpusError, match=r"shard /x\.txt has no known extension"):
        read(Path("/x.txt"))


@given(st.lists(LINE, min_size=1, max_size=8))
def test_any_lines_are_counted_alike_in_every_codec(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    data = b"\n".join(lines) + b"\n"
    folder = tmp_path_factory.mktemp("any")
    plain, zipped, zstd = (read(write(folder, pack(data), "x" + ending)) for ending, pack in PACK.items())
    assert plain == zipped == zstd
    assert len(plain) == data.count(b"\n")
    assert all(item.reason in REASONS for item in plain if isinstance(item, Rejected))


def _parquet_bytes() -> bytes:
    buffer = io.BytesIO()
    rows = [{"id": str(number), "text": f"{number * number} eau"} for number in range(300)]
    pq.write_table(pa.Table.from_pylist(rows), buffer, row_group_size=120)
    return buffer.getvalue()


@pytest.mark.parametrize("ending", [*PACK, ".parquet"])
def test_no_damage_raises_or_breaks_the_numbering(tmp_path: Path, ending: str) -> None:
    whole = _parquet_bytes() if ending == ".parquet" else PACK[ending](many_lines(300))
    draw = random.Random(20)  # noqa: S311
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(draw.choice([1, 3, 20])):
            data[draw.randrange(len(data))] = draw.randrange(256)
        found = read(write(tmp_path, bytes(data), "x" + ending))
        records = [item.record for item in found]
        assert records in (list(range(len(found))), [None])


class _Failing(io.BytesIO):
    """A store that answers some reads and then fails."""

    def __init__(self, data: bytes, answers: int, error: Exception) -> None:
        super().__init__(data)
        self.answers, self.error = answers, error

    def read(self, size: int | None = -1) -> bytes:
        self.answers -= 1
        if self.answers < 0:
            raise self.error
        return super().read(size)


@pytest.mark.parametrize(
    "error", [OSError("AWS Error NETWORK_CONNECTION"), pa.ArrowException("NETWORK_CONNECTION")], ids=repr
)
@pytest.mark.parametrize("ending", [*PACK, ".parquet"])
def test_a_store_that_fails_at_any_read_is_an_error_and_no_damage(
    monkeypatch: pytest.MonkeyPatch, ending: str, error: Exception
) -> None:
    data = _parquet_bytes() if ending == ".parquet" else PACK[ending](many_lines(9))
    stream = _Failing(data, 100, error)
    monkeypatch.setattr(Location, "open_input", lambda self, seekable: stream)
    whole = read(Path(f"/x{ending}"))
    assert reasons_of(whole) == [None] * len(whole)
    n_reads = 100 - stream.answers
    assert n_reads > 1
    for answers in range(n_reads):
        stream = _Failing(data, answers, error)
        with pytest.raises(StoreError, match=rf"shard /x{ending} cannot be read: .*NETWORK_CONNECTION"):
            read(Path(f"/x{ending}"))


ODD_VALUES = [
    *(
        b'"eau"',
        b'"a\\/b"',
        b'"\\ud83d\\ude00"',
        b'"\\ud800"',
        b'"\\ude00\\ud83d\\ud83d\\ude00"',
        b'"\\/d800"',
        b'"\\\\ud800"',
    ),
    *(b'"NaN \\" \\ud800"', b'"\\\\"', b'"\xff"', b'"\\q"', b'"\\ud8"', b'"\x01"', b'"', b"'a'"),
    *(b"NaN", b"-Infinity", b"-NaN", b"1NaN", b"NaN1", b"NaN NaN", b"1e999", b"-0", b"01", b"9" * 25, b"9" * 5_000),
    *(
        b'[NaN, "\\ud800", "fr"]',
        b'{"x": 1e999}',
        b"[1,]",
        b"[",
        b"{NaN: 1}",
        b'{"\\ud800": "fr"}',
        b'["\\u0066r", "\\ud800"]',
        b"tru",
        b"null",
    ),
]
ODD_LINES = [b'{"id": 1, "text": "b", %s: %s}' % (key, value) for key in (b'"lang"', b'"x"') for value in ODD_VALUES]
ODD_LINES += [b'{"id": 1, "te\\u0078t": "b\\u00e9", "l\\u0061ng": "fr", "x": %s}' % value for value in ODD_VALUES]
ODD_LINES += [b'{"id": %s, "text": "b"}' % value for value in ODD_VALUES]
ODD_LINES += [b'{"id": 1, "text": %s}' % value for value in ODD_VALUES] + ODD_VALUES


@pytest.mark.parametrize("line", [line for line, _ in BAD_LINES + GOOD_LINES] + ODD_LINES)
def test_a_long_line_is_judged_as_a_short_one(tmp_path: Path, line: bytes) -> None:
    shards = (write(tmp_path, content + b"\n") for content in (line, line + b" " * (1 << 20)))
    limits = with_limits(max_record_bytes=2 << 20)
    short, long = ([getattr(item, "reason", item) for item in read(path, limits)] for path in shards)
    assert long == short


@given(st.lists(st.sampled_from(ODD_VALUES), min_size=4, max_size=4))
def test_a_long_line_of_any_values_is_judged_as_a_short_one(values: list[bytes]) -> None:
    line = b'{"id": %s, "text": %s, "lang": [%s], "x": {"y": %s}}' % tuple(values)
    outcomes: list[Document | str] = []
    for whole_bytes in (1 << 20, -1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(read_json_line, "_WHOLE_BYTES", whole_bytes)
            try:
                values_read = read_json_line.read_json_line(line, LIMITS.fields)
                outcomes.append(check_record(0, values_read, ShardName("x.jsonl", "x"), LIMITS))
            except RecordError as error:
                outcomes.append(error.reason)
    assert outcomes[0] == outcomes[1]
