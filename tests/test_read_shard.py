"""The reader against independent oracles: each bad input, any cut into blocks, any truncation, every kind."""

import gzip
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pivot_udfs import read_shard as reader
from pivot_udfs.read_shard import REASONS, Document, ReadLimits, Rejected, read_shard
from pivot_udfs.shard_streams import LineSplitter

LIMITS = ReadLimits(max_document_bytes=1_000, max_record_bytes=5_000)
GOOD = {"id": "a", "text": "l'eau 水 😀", "source": "wiki", "lang": "fr"}


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


PACK: dict[str, Callable[[bytes], bytes]] = {".jsonl": bytes, ".json.gz": gzip.compress, ".ndjson.zst": _zstd}


def _read(path: Path, limits: ReadLimits = LIMITS) -> list[Document | Rejected]:
    return list(read_shard(str(path), limits))


def _write(folder: Path, data: bytes, name: str = "x.jsonl") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _line(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}, ensure_ascii=False).encode()


def _without(name: str) -> dict[str, str]:
    return {key: value for key, value in GOOD.items() if key != name}


def _reasons(found: list[Document | Rejected]) -> list[str | None]:
    return [item.reason if isinstance(item, Rejected) else None for item in found]


BAD_LINES: list[tuple[bytes, str]] = [
    (b"", "blank_line"),
    (b" \t\r", "blank_line"),
    (b"{", "not_json"),
    (b'{"id": "a", "text": "b"} x', "not_json"),
    (b"\0", "not_json"),
    (b"[" * 3_000, "not_json"),
    (b'{"a":' * 900, "not_json"),
    (b"[]", "not_an_object"),
    (b'"text"', "not_an_object"),
    (b"null", "not_an_object"),
    (b"[NaN]", "not_an_object"),
    (b'["\\ud800"]', "not_an_object"),
    (b'{"id": "a", "text": "\xff"}', "invalid_utf8"),
    (b'{"id": "a", "text": "\xed\xa0\x80"}', "invalid_utf8"),
    ('{"id": "a", "text": "é"}'.encode("latin-1"), "invalid_utf8"),
    (b'{"id": "a", "text": "b \\ud800 c"}', "lone_surrogate"),
    (b'{"id": "\\udc00", "text": "b"}', "lone_surrogate"),
    (json.dumps(_without("text")).encode(), "missing_text"),
    (_line(text=None), "missing_text"),
    (_line(text=1.5), "text_not_string"),
    (_line(text=["a"]), "text_not_string"),
    (_line(text=False), "text_not_string"),
    (_line(text=""), "blank_text"),
    (_line(text=" \n\u3000"), "blank_text"),
    (_line(text="a\0b"), "nul_character"),
    (_line(id="a\0"), "nul_character"),
    (_line(source="\0"), "nul_character"),
    (_line(lang="f\0"), "nul_character"),
    (_line(text="水" * 334), "document_too_large"),
    (json.dumps(_without("id")).encode(), "missing_id"),
    (_line(id=None), "missing_id"),
    (_line(id=""), "missing_id"),
    (_line(id=7), "id_not_string"),
    (_line(id={}), "id_not_string"),
    (_line(source=3), "source_not_string"),
    (_line(lang=["fr"]), "lang_not_string"),
    (_line(other="y" * 5_000), "record_too_large"),
]

GOOD_LINES: list[tuple[bytes, tuple[str, str, str | None, str]]] = [
    (_line(), ("wiki", "a", "fr", GOOD["text"])),
    (_line() + b"\r", ("wiki", "a", "fr", GOOD["text"])),
    (_line(source=None, lang=None), ("x", "a", None, GOOD["text"])),
    (_line(source="", lang=""), ("x", "a", None, GOOD["text"])),
    (b'{"text": "b", "id": "1"}', ("x", "1", None, "b")),
    (b'{"text": "b", "id": "0", "id": "1"}', ("x", "1", None, "b")),
    (b'{"text": "b", "id": "1", "score": NaN}', ("x", "1", None, "b")),
    (b'{"text": "b", "id": "1", "score": 1e999}', ("x", "1", None, "b")),
    (b'{"text": "b", "id": "1", "title": "\\ud800"}', ("x", "1", None, "b")),
    (b'{"text": "\\ud83d\\ude00", "id": "1", "score": NaN}', ("x", "1", None, "😀")),
    (_line(text="<|endoftext|> </s>"), ("wiki", "a", "fr", "<|endoftext|> </s>")),
    (_line(text="y" * 1_000), ("wiki", "a", "fr", "y" * 1_000)),
    (_line(text="水" * 333), ("wiki", "a", "fr", "水" * 333)),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_bad_line_is_one_rejection_between_its_neighbours(tmp_path: Path, line: bytes, reason: str) -> None:
    found = _read(_write(tmp_path, _line(id="0") + b"\n" + line + b"\n" + _line(id="2")))
    assert _reasons(found) == [None, reason, None]
    assert [item.record for item in found] == [0, 1, 2]
    rejected = found[1]
    assert isinstance(rejected, Rejected)
    assert rejected.detail
    assert rejected.raw == (line[:1024] or None)


@pytest.mark.parametrize(("line", "expected"), GOOD_LINES)
def test_a_good_line_is_a_document(
    tmp_path: Path, line: bytes, expected: tuple[str, str, str | None, str]
) -> None:
    source, doc_id, lang, text = expected
    assert _read(_write(tmp_path, line)) == [Document(0, source, doc_id, lang, text)]


def test_every_reason_is_known_and_seen() -> None:
    whole_shard = {"unreadable_shard", "empty_shard", "corrupt_stream", "missing_columns"}
    assert {reason for _, reason in BAD_LINES} | whole_shard == REASONS.keys()


@pytest.mark.parametrize("ending", PACK)
def test_records_in_are_documents_and_rejections(tmp_path: Path, ending: str) -> None:
    lines = [line for line, _ in BAD_LINES] + [line for line, _ in GOOD_LINES]
    data = b"\n".join(lines) + b"\n"
    found = _read(_write(tmp_path, PACK[ending](data), "x" + ending))
    assert [item.record for item in found] == list(range(data.count(b"\n")))
    assert _reasons(found) == [reason for _, reason in BAD_LINES] + [None] * len(GOOD_LINES)


def test_an_unknown_source_is_the_name_of_the_shard(tmp_path: Path) -> None:
    path = _write(tmp_path, gzip.compress(b'{"id": "1", "text": "b"}'), "wiki.v2-0001.JSONL.GZ")
    assert _read(path) == [Document(0, "wiki.v2-0001", "1", None, "b")]


@pytest.mark.parametrize("ending", PACK)
def test_a_byte_order_mark_is_dropped(tmp_path: Path, ending: str) -> None:
    path = _write(tmp_path, PACK[ending](b"\xef\xbb\xbf" + _line()), "x" + ending)
    assert _reasons(_read(path)) == [None]


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", PACK)
def test_a_shard_without_content_is_empty(tmp_path: Path, ending: str, content: bytes) -> None:
    path = _write(tmp_path, PACK[ending](content), "x" + ending)
    assert _read(path) == [Rejected(None, "empty_shard", "the file holds no record", None)]


@pytest.mark.parametrize("ending", [*PACK, ".parquet"])
def test_a_file_of_no_bytes_is_empty(tmp_path: Path, ending: str) -> None:
    assert _reasons(_read(_write(tmp_path, b"", "x" + ending))) == ["empty_shard"]


@pytest.mark.parametrize("ending", [*PACK, ".parquet"])
def test_a_shard_that_is_gone_is_unreadable(tmp_path: Path, ending: str) -> None:
    found = _read(tmp_path / f"gone{ending}")
    assert _reasons(found) == ["unreadable_shard"]
    assert found[0].record is None


def test_a_shard_without_permission_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, *, seekable: bool) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(reader, "open_shard", refuse)
    found = _read(Path("/x.jsonl"))
    assert _reasons(found) == ["unreadable_shard"]
    assert "Permission denied" in str(found[0])


LINE = st.one_of(
    st.binary(max_size=30),
    st.sampled_from([line for line, _ in BAD_LINES + GOOD_LINES]),
    st.builds(lambda text: _line(text=text), st.text(st.characters(codec="utf-8"), max_size=40)),
)


def _blocks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def _simple_split(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


@given(st.lists(LINE, max_size=8), st.integers(1, 200), st.integers(1, 3_000), st.booleans())
def test_any_cut_into_blocks_gives_the_same_lines(
    lines: list[bytes], size: int, limit: int, ends: bool
) -> None:
    data = b"\n".join(lines) + (b"\n" if ends else b"")
    splitter = LineSplitter(limit)
    found = [line for block in _blocks(data, size) for line in splitter.feed(block)]
    found += [splitter.take()] if splitter.pending_bytes else []
    assert found == [(line if len(line) <= limit else line[:1024], len(line)) for line in _simple_split(data)]


@settings(deadline=None)
@given(st.lists(LINE, min_size=1, max_size=8))
def test_any_lines_are_counted_alike_in_every_codec(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    data = b"\n".join(lines) + b"\n"
    folder = tmp_path_factory.mktemp("any")
    plain, zipped, zstd = (_read(_write(folder, pack(data), "x" + ending)) for ending, pack in PACK.items())
    assert plain == zipped == zstd
    assert len(plain) == (data.count(b"\n") if data != b"\xef\xbb\xbf\n" else 1)
    assert all(item.reason in REASONS for item in plain if isinstance(item, Rejected))


def _many_lines(count: int) -> bytes:
    return b"".join(
        _line(id=str(number), text=f"{number * 7919 % 10007} eau " * 9) + b"\n" for number in range(count)
    )


def _whole_lines_of(pack: str, cut: bytes) -> int:
    """Lines that an independent decoder gets out of a cut stream, fed byte by byte."""
    if pack == ".ndjson.zst":
        decoder: Any = zstandard.ZstdDecompressor().decompressobj()
    else:
        import zlib

        decoder = zlib.decompressobj(wbits=31)
    return sum(decoder.decompress(cut[at : at + 1]).count(b"\n") for at in range(len(cut)))


@pytest.mark.parametrize("ending", [".json.gz", ".ndjson.zst"])
def test_a_truncated_stream_gives_all_before_and_one_rejection(tmp_path: Path, ending: str) -> None:
    whole = PACK[ending](_many_lines(3_000))
    for n_bytes in [1, 2, 3, 5, 9, 17, *range(100, len(whole), len(whole) // 12), len(whole) - 1]:
        found = _read(_write(tmp_path, whole[:n_bytes], "x" + ending))
        n_whole = _whole_lines_of(ending, whole[:n_bytes])
        assert _reasons(found) == [None] * n_whole + ["corrupt_stream"]
        assert [item.record for item in found] == list(range(n_whole + 1))
    assert n_whole == 3_000


@pytest.mark.parametrize("ending", [".json.gz", ".ndjson.zst"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_damaged_stream_ends_in_one_rejection(tmp_path: Path, ending: str, share: float) -> None:
    data = _many_lines(6_000)
    whole = bytearray(PACK[ending](data))
    at = int(len(whole) * share)
    whole[at : at + 40] = bytes(40)
    found = _read(_write(tmp_path, bytes(whole), "x" + ending))
    assert _reasons(found)[-1] == "corrupt_stream"
    assert _reasons(found).count("corrupt_stream") == 1
    assert [item.record for item in found] == list(range(len(found)))
    good = json.loads(b"[" + b",".join(data.splitlines()[: len(found) // 2]) + b"]")
    assert len(found) > 6_000 * share / 2
    assert [item.text for item in found[: len(good)] if isinstance(item, Document)] == [
        row["text"] for row in good
    ]


@pytest.mark.parametrize("ending", [".json.gz", ".ndjson.zst"])
def test_all_before_foreign_bytes_is_read(tmp_path: Path, ending: str) -> None:
    data = PACK[ending](_many_lines(5)) + PACK[ending](_many_lines(4)) + b"no stream at all"
    found = _read(_write(tmp_path, data, "x" + ending))
    assert _reasons(found) == [None] * 9 + ["corrupt_stream"]


def test_members_frames_and_padding_are_one_stream(tmp_path: Path) -> None:
    cut = [b'{"id": "1", ', b'"text": "b"}\n{"id": "2", "text": "c"}', b"", b"\n"]
    zipped = b"".join(map(gzip.compress, cut)) + bytes(70)
    framed = b"".join(map(_zstd, cut)) + bytes.fromhex("502a4d18 03000000 616263")
    streamed = zstandard.ZstdCompressor().compressobj()
    unsized = streamed.compress(b"".join(cut)) + streamed.flush()
    for name, data in {"a.jsonl.gz": zipped, "a.jsonl.zst": framed, "a.jsonl.zstd": unsized}.items():
        found = _read(_write(tmp_path, data, name))
        assert found == [Document(0, "a", "1", None, "b"), Document(1, "a", "2", None, "c")]


def test_a_huge_line_is_never_held(tmp_path: Path) -> None:
    pieces = [b'{"id": "0", "text": "', *[b"huge " * 200_000] * 64, b'"}\n', _line(id="1")]
    packed = zstandard.ZstdCompressor().compressobj()
    data = b"".join(map(packed.compress, pieces)) + packed.flush()
    path = _write(tmp_path, data, "x.jsonl.zst")
    del pieces
    tracemalloc.start()
    found = _read(path, ReadLimits(1 << 20, 1 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert _reasons(found) == ["record_too_large", None]
    assert "64000023 bytes" in str(found[0])
    assert peak < 16 << 20


COLUMNS: dict[str, pa.DataType] = {
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
}


def _parquet(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    path = folder / "x.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


@pytest.mark.parametrize("kind", COLUMNS)
def test_parquet_rows_meet_the_same_checks_as_lines(tmp_path: Path, kind: str) -> None:
    texts = ["eau 水", None, "", "a\0b", "y" * 1_001, "水" * 333, "<|endoftext|>"]
    cells = [text.encode() if text and "binary" in kind else text for text in texts]
    ids = pa.array([str(number) for number in range(7)])
    found = _read(_parquet(tmp_path, {"id": ids, "text": pa.array(cells).cast(COLUMNS[kind]), "n": ids}))
    reasons = [None, "missing_text", "blank_text", "nul_character", "document_too_large", None, None]
    assert _reasons(found) == reasons
    assert found[0] == Document(0, "x", "0", None, "eau 水")
    assert "1001 bytes" in str(found[4])


def test_parquet_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    offsets = pa.py_buffer(b"".join(at.to_bytes(4, "little") for at in (0, 1, 3)))
    text = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"a\xff\xfe"))
    found = _read(_parquet(tmp_path, {"id": ["0", "1"], "text": text}))
    assert found == [
        Document(0, "x", "0", None, "a"),
        Rejected(1, "invalid_utf8", "text is not UTF-8", b"\xff\xfe"),
    ]


def test_parquet_values_of_other_types(tmp_path: Path) -> None:
    good = pa.array(["a", "b"])
    for name, values in {
        "id": [1, 2],
        "source": [1.5, 2.5],
        "lang": [["fr"], ["en"]],
        "text": [1, 2],
    }.items():
        found = _read(_parquet(tmp_path, {"id": good, "text": good, name: pa.array(values)}))
        assert _reasons(found) == [f"{name}_not_string"] * 2
    long = pa.array(["a", "b" * 5_001])
    assert _reasons(_read(_parquet(tmp_path, {"id": long, "text": good}))) == [None, "record_too_large"]


def test_parquet_without_the_columns_or_rows(tmp_path: Path) -> None:
    found = _read(_parquet(tmp_path, {"doc": ["a"] * 7, "text": ["b"] * 7}))
    assert _reasons(found) == ["missing_columns"]
    assert "no column id among doc, text" in str(found[0])
    assert "7 rows not read" in str(found[0])
    assert _reasons(
        _read(_parquet(tmp_path, {"id": pa.array([], "string"), "text": pa.array([], "string")}))
    ) == ["empty_shard"]


def test_parquet_in_many_row_groups_and_batches(tmp_path: Path) -> None:
    texts = [f"{number} eau" if number % 5 else None for number in range(3_000)]
    columns = {"id": [str(number) for number in range(3_000)], "text": texts, "lang": ["fr"] * 3_000}
    found = _read(_parquet(tmp_path, columns, row_group_size=700))
    assert [item.text if isinstance(item, Document) else None for item in found] == texts
    assert [item.record for item in found] == list(range(3_000))


def test_a_damaged_parquet_is_one_rejection_after_its_good_rows(tmp_path: Path) -> None:
    columns = {"id": [str(number) for number in range(3_000)], "text": [f"{n * n} eau" for n in range(3_000)]}
    path = _parquet(tmp_path, columns, row_group_size=1_000, write_page_checksum=True)
    whole = path.read_bytes()
    start = pq.read_metadata(path).row_group(1).column(1).data_page_offset
    for data, n_good in {
        b"PAR1 and no more": 0,
        whole[: len(whole) // 2]: 0,
        whole[: start + 200] + bytes(50) + whole[start + 250 :]: 1_000,
    }.items():
        found = _read(_write(tmp_path, data, "y.parquet"))
        assert _reasons(found) == [None] * n_good + ["corrupt_stream"]
        assert found[-1].record == n_good
