"""Streams: any division into blocks, truncation and damage, against independent decoders."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from shard_files import LINE, PACK, line_of, many_lines, pack_zstd, read, reasons_of, with_limits, write

from pivot_udfs.shards.decompress_lines import LineSplitter, read_blocks
from pivot_udfs.shards.validate_record import Document


def _blocks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def _simple_split(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


@given(st.lists(LINE, max_size=8), st.integers(1, 200), st.integers(1, 3_000), st.booleans())
def test_any_cut_into_blocks_gives_the_same_lines(lines: list[bytes], size: int, limit: int, ends: bool) -> None:
    data = b"\n".join(lines) + (b"\n" if ends else b"")
    splitter = LineSplitter(limit)
    found = [line for block in _blocks(data, size) for line in splitter.feed(block)]
    found += [splitter.take()] if splitter.pending_bytes else []
    assert found == [(line if len(line) <= limit else line[:1024], len(line)) for line in _simple_split(data)]


def _whole_lines_of(pack: str, cut: bytes) -> int:
    """Lines that an independent decoder gets out of a truncated stream, fed byte by byte."""
    if pack == ".ndjson.zst":
        decoder: Any = zstandard.ZstdDecompressor().decompressobj()
    else:
        decoder = zlib.decompressobj(wbits=31)
    return sum(decoder.decompress(cut[at : at + 1]).count(b"\n") for at in range(len(cut)))


@pytest.mark.parametrize("ending", [".json.gz", ".ndjson.zst"])
def test_a_truncated_stream_gives_all_before_and_one_rejection(tmp_path: Path, ending: str) -> None:
    whole = PACK[ending](many_lines(3_000))
    for n_bytes in [1, 2, 3, 5, 9, 17, *range(100, len(whole), len(whole) // 12), len(whole) - 1]:
        found = read(write(tmp_path, whole[:n_bytes], "x" + ending))
        n_whole = _whole_lines_of(ending, whole[:n_bytes])
        assert reasons_of(found) == [None] * n_whole + ["corrupt_stream"]
        assert [item.record for item in found] == list(range(n_whole + 1))
    assert n_whole == 3_000


@pytest.mark.parametrize("ending", [".json.gz", ".ndjson.zst"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_damaged_stream_ends_in_one_rejection(tmp_path: Path, ending: str, share: float) -> None:
    data = many_lines(6_000)
    whole = bytearray(PACK[ending](data))
    at = int(len(whole) * share)
    whole[at : at + 40] = bytes(40)
    found = read(write(tmp_path, bytes(whole), "x" + ending))
    assert reasons_of(found)[-1] == "corrupt_stream"
    assert reasons_of(found).count("corrupt_stream") == 1
    assert [item.record for item in found] == list(range(len(found)))
    good = json.loads(b"[" + b",".join(data.splitlines()[: len(found) // 2]) + b"]")
    assert len(found) > 6_000 * share / 2
    assert [item.text for item in found[: len(good)] if isinstance(item, Document)] == [row["text"] for row in good]


@pytest.mark.parametrize("ending", [".json.gz", ".ndjson.zst"])
def test_content_before_foreign_bytes_is_read(tmp_path: Path, ending: str) -> None:
    data = PACK[ending](many_lines(5)) + PACK[ending](many_lines(4)) + b"no stream at all"
    found = read(write(tmp_path, data, "x" + ending))
    assert reasons_of(found) == [None] * 9 + ["corrupt_stream"]


def test_members_frames_and_padding_are_one_stream(tmp_path: Path) -> None:
    cut = [b'{"id": "1", ', b'"text": "b"}\n{"id": "2", "text": "c"}', b"", b"\n"]
    zipped = b"".join(map(gzip.compress, cut)) + bytes(70)
    skipped = bytes.fromhex("502a4d18 03000000 616263")
    framed = skipped + b"".join(map(pack_zstd, cut)) + skipped
    streamed = zstandard.ZstdCompressor().compressobj()
    unsized = streamed.compress(b"".join(cut)) + streamed.flush()
    files = [("a.jsonl.gz", zipped), *((f"a.{end}", framed) for end in ("jsonl.zst", "jsonl", "json.gz"))]
    for name, data in [*files, ("a.jsonl.zstd", unsized)]:
        found = read(write(tmp_path, data, name))
        assert found == [Document(0, "a", "1", None, "b"), Document(1, "a", "2", None, "c")]


def test_a_huge_line_is_never_held_in_memory(tmp_path: Path) -> None:
    pieces = [b'{"id": "0", "text": "', *[b"huge " * 200_000] * 64, b'"}\n', line_of(id="1")]
    packed = zstandard.ZstdCompressor().compressobj()
    data = b"".join(map(packed.compress, pieces)) + packed.flush()
    path = write(tmp_path, data, "x.jsonl.zst")
    del pieces
    tracemalloc.start()
    found = read(path, with_limits(max_document_bytes=1 << 20, max_record_bytes=1 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reasons_of(found) == ["record_too_large", None]
    assert "64000023 bytes" in str(found[0])
    assert peak < 16 << 20


def _framed(data: bytes, window_log: int, *, sized: bool) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=window_log, compression_level=1)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj(len(data) if sized else -1)
    return packed.compress(data) + packed.flush()


@pytest.mark.parametrize("sized", [True, False])
def test_a_window_costs_only_the_memory_that_content_fills(tmp_path: Path, sized: bool) -> None:
    """A frame may declare 128 MiB and hold 20 lines."""
    path = write(tmp_path, _framed(many_lines(20), 27, sized=sized), "x.jsonl.zst")
    assert reasons_of(read(path, with_limits(max_zstd_window_mb=1))) == [None] * 20


@pytest.mark.parametrize("sized", [True, False])
def test_a_window_that_is_filled_and_not_allowed_is_named(tmp_path: Path, sized: bool) -> None:
    data = many_lines(20_000)
    assert len(data) > 2 << 20
    path = write(tmp_path, pack_zstd(many_lines(3)) + _framed(data, 25, sized=sized), "x.jsonl.zst")
    found = read(path, with_limits(max_zstd_window_mb=1))
    assert reasons_of(found)[-1] == "zstd_window_too_large"
    assert set(reasons_of(found)[:-1]) == {None}
    assert len(found) < 20_003
    assert "corpus.max_zstd_window_mb" in str(found[-1])
    assert reasons_of(read(path, with_limits(max_zstd_window_mb=64))) == [None] * 20_003


def test_a_window_that_the_library_refuses_is_no_damage(tmp_path: Path) -> None:
    """A frame of one segment has a window of all its content: here 3 GiB, of which nothing is read yet."""
    head = bytes.fromhex("28b52ffd") + b"\xa0" + (3 << 30).to_bytes(4, "little")
    found = read(write(tmp_path, head + b"\x01\x00\x00" + bytes(20), "x.jsonl.zst"))
    assert reasons_of(found) == ["zstd_window_too_large"]
    assert "3072 MiB" in str(found[0])


@pytest.mark.parametrize("descriptor", [0xB0, 0xFF])
def test_a_window_above_what_the_library_reads_is_no_damage(tmp_path: Path, descriptor: int) -> None:
    frame = bytearray(zstandard.ZstdCompressor(write_content_size=False).compress(many_lines(3)))
    frame[5] = descriptor
    found = read(write(tmp_path, pack_zstd(many_lines(2)) + bytes(frame), "x.jsonl.zst"))
    assert reasons_of(found) == [None, None, "zstd_window_too_large"]
    assert "no setting allows it" in str(found[-1])


def test_many_small_frames_and_skippable_ones_are_one_stream(tmp_path: Path) -> None:
    skippable = bytes.fromhex("5f2a4d18 00040000") + bytes(1024)
    frames = [pack_zstd(line + b"\n") + skippable * (k % 3) for k, line in enumerate(many_lines(700).splitlines())]
    assert reasons_of(read(write(tmp_path, b"".join(frames), "x.jsonl.zst"))) == [None] * 700


def test_a_frame_that_needs_a_dictionary_is_no_damage(tmp_path: Path) -> None:
    samples = many_lines(3_000).splitlines()
    with_dictionary = zstandard.ZstdCompressor(dict_data=zstandard.train_dictionary(4_096, samples))
    found = read(write(tmp_path, pack_zstd(many_lines(2)) + with_dictionary.compress(many_lines(3)), "x.jsonl.zst"))
    assert reasons_of(found) == [None, None, "unsupported_form"]


def test_a_stored_byte_that_stands_for_much_is_read_in_bounded_blocks(tmp_path: Path) -> None:
    """300 MB of one byte are 30 kB as zstd; a block has at most 16 MiB."""
    path = write(tmp_path, zstandard.ZstdCompressor().compress(b"\n" * 300_000_000), "x.jsonl.zst")
    assert path.stat().st_size < 100_000
    with path.open("rb") as stream:
        sizes = [len(block) for block in read_blocks(stream, "zstd", 128 << 20)]
    assert sum(sizes) == 300_000_000
    assert max(sizes) <= 17 << 20
