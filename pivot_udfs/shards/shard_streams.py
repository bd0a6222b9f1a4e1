"""Compressed streams as blocks of bytes, and blocks as lines, in bounded memory and to the last good byte.

The usual readers lose what came just before a damage, or take a cut zstd stream for a whole one. Here every
byte before the damage comes out first: gzip steps back to the state before the failing call and goes on in
ever smaller steps; zstd is fed one block at a time, at most 128 KiB of output each. Neither fills the memory,
whatever the stream.
"""

import zlib
from collections.abc import Generator, Iterator
from itertools import islice
from typing import BinaryIO

import zstandard

RAW_BYTES = 1024
"""How much of a refused record is kept."""
_INPUT_BYTES = 256 << 10
_BLOCK_BYTES = 4 << 20
_BOM = b"\xef\xbb\xbf"
_ZSTD_MAGIC = bytes.fromhex("28b52ffd")
_ZSTD_SKIPPABLE = bytes.fromhex("2a4d18")  # after a first byte 0x50..0x5f


class StreamDamageError(Exception):
    """The rest of a shard cannot be read; everything before it has been given."""


def read_blocks(stream: BinaryIO, codec: str) -> Iterator[bytes]:
    """The content of a stream in blocks of at most 4 MiB, without a leading UTF-8 byte order mark.

    Args:
        stream: the bytes as stored.
        codec: ``""``, ``"gzip"`` (any number of members, zero padding) or ``"zstd"`` (any number of frames).

    Raises:
        StreamDamageError: the stream is cut or corrupt, after all that could be read was given.
    """
    readers = {"": _read_plain, "gzip": _read_gzip, "zstd": _read_zstd}
    return _drop_bom(readers[codec](stream))


def _drop_bom(blocks: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    for block in blocks:
        head += block
        if len(head) >= len(_BOM):
            break
    yield head.removeprefix(_BOM)
    yield from blocks


def _read_plain(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(_BLOCK_BYTES):
        yield block


def _read_gzip(stream: BinaryIO) -> Iterator[bytes]:
    data = stream.read(_INPUT_BYTES)
    while data:
        data = yield from _gzip_member(data, stream)
        while not (data := data.lstrip(b"\0")):
            data = stream.read(_INPUT_BYTES)
            if not data:
                return


def _gzip_member(data: bytes, stream: BinaryIO) -> Generator[bytes, None, bytes]:
    """Gives one member's content in blocks; returns the bytes already read after it."""
    member = zlib.decompressobj(wbits=31)
    while not member.eof:
        if not data and not (data := stream.read(_INPUT_BYTES)):
            yield member.flush()
            raise StreamDamageError("the gzip stream ends before its end marker")
        before = member.copy()
        try:
            block = member.decompress(data, _BLOCK_BYTES)
        except zlib.error as error:
            yield from _salvage(before, data)
            raise StreamDamageError(str(error)) from None
        yield block
        data = member.unconsumed_tail
    return member.unused_data


def _salvage(before: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    """What a member still gives before the byte that breaks it."""
    step = _BLOCK_BYTES
    while step:
        attempt = before.copy()
        try:
            block = attempt.decompress(data, step)
        except zlib.error:
            step //= 2
            continue
        yield block
        before, data = attempt, attempt.unconsumed_tail


def _read_zstd(stream: BinaryIO) -> Iterator[bytes]:
    while magic := _up_to(stream, 4):
        if magic == _ZSTD_MAGIC:
            yield from _zstd_frame(stream)
        elif magic[1:] == _ZSTD_SKIPPABLE and magic[0] >> 4 == 5:
            _skip(stream, int.from_bytes(_exactly(stream, 4), "little"))
        else:
            raise StreamDamageError(f"no zstd frame begins with the bytes {magic.hex(' ')}")


def _zstd_frame(stream: BinaryIO) -> Iterator[bytes]:
    """One frame's content, block by block (the layout of RFC 8878, section 3.1.1)."""
    descriptor = _exactly(stream, 1)
    frame = zstandard.ZstdDecompressor().decompressobj()
    _feed(frame, _ZSTD_MAGIC + descriptor + _exactly(stream, _zstd_header_bytes(descriptor[0])))
    is_last = False
    while not is_last:
        head = _exactly(stream, 3)
        value = int.from_bytes(head, "little")
        is_last, kind, size = bool(value & 1), value >> 1 & 3, value >> 3
        yield _feed(frame, head + _exactly(stream, 1 if kind == 1 else size))
    if descriptor[0] & 4:
        yield _feed(frame, _exactly(stream, 4))


def _zstd_header_bytes(descriptor: int) -> int:
    """Bytes of a frame header after its descriptor: window, dictionary, content size."""
    single = descriptor >> 5 & 1
    content_size = (single, 2, 4, 8)[descriptor >> 6]
    return 1 - single + (0, 1, 2, 4)[descriptor & 3] + content_size


def _feed(frame: "zstandard.ZstdDecompressionObj", data: bytes) -> bytes:
    try:
        return frame.decompress(data)
    except zstandard.ZstdError as error:
        raise StreamDamageError(str(error)) from None


def _exactly(stream: BinaryIO, n_bytes: int) -> bytes:
    data = _up_to(stream, n_bytes)
    if len(data) < n_bytes:
        raise StreamDamageError("the zstd stream ends within a frame")
    return data


def _up_to(stream: BinaryIO, n_bytes: int) -> bytes:
    data = stream.read(n_bytes)
    while len(data) < n_bytes and (more := stream.read(n_bytes - len(data))):
        data += more
    return data


def _skip(stream: BinaryIO, n_bytes: int) -> None:
    while n_bytes:
        n_bytes -= len(_exactly(stream, min(n_bytes, _INPUT_BYTES)))


class LineSplitter:
    r"""Cuts blocks into lines at ``\n``; of lines over the limit only the first 1,024 bytes are ever held.

    Args:
        max_line_bytes: the longest line, without its end, that is given whole.
    """

    def __init__(self, max_line_bytes: int) -> None:
        self._max_line_bytes = max_line_bytes
        self._parts: list[bytes] = []
        self.pending_bytes = 0

    def feed(self, block: bytes) -> Iterator[tuple[bytes, int]]:
        """The lines that this block ends, each with its true length; longer ones are cut to 1,024 bytes."""
        lines = block.split(b"\n")
        tail = lines.pop()
        if lines:
            self._hold(lines[0])
            yield self.take()
        for line in islice(lines, 1, None):
            n_bytes = len(line)
            yield (line if n_bytes <= self._max_line_bytes else line[:RAW_BYTES]), n_bytes
        self._hold(tail)

    def take(self) -> tuple[bytes, int]:
        """The line begun and not ended, as ``feed`` gives lines; the splitter then begins a new one."""
        line = b"".join(self._parts), self.pending_bytes
        self._parts, self.pending_bytes = [], 0
        return line

    def _hold(self, part: bytes) -> None:
        if not part:
            return
        self._parts.append(part)
        self.pending_bytes += len(part)
        if self.pending_bytes > self._max_line_bytes:
            self._parts = [b"".join(held[:RAW_BYTES] for held in self._parts)[:RAW_BYTES]]
