"""Compressed streams as blocks of bytes, and blocks as lines, in bounded memory and up to the damage.

Here gzip steps back to the state before the failing call and continues in ever smaller steps, so that every byte before
a damage is read. The zstd library has no such step: of a damaged frame it loses the content, at most 16 MiB, that its
last 512 stored bytes complete.
"""

import re
import zlib
from collections.abc import Generator, Iterator
from itertools import chain, islice
from typing import BinaryIO

import zstandard

from pivot_udfs.shards.quarantine_reasons import RAW_BYTES

_INPUT_BYTES = 256 << 10
_BLOCK_BYTES = 4 << 20
_GZIP = b"\x1f\x8b"
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
"""The magic number of a frame, or of a skippable frame."""
_BLANK = b"\xef\xbb\xbf \t\r\n"
_TOO_MUCH_MEMORY = "Frame requires too much memory"  # the library's words
_ZSTD_HEADER_BYTES = 18
_ZSTD_INPUT_BYTES = 32 << 10
_ZSTD_STEP_BYTES = 512
"""Stored bytes a call: the library gives all that they complete at once, at most 128 KiB for each 4 of them."""


class StreamDamageError(Exception):
    """The rest of a shard cannot be read, for a reason in REASONS; everything before it has been yielded."""

    def __init__(self, detail: str, reason: str = "corrupt_stream") -> None:
        super().__init__(detail)
        self.reason = reason


def read_blocks(stream: BinaryIO, codec: str, max_zstd_window_bytes: int) -> Iterator[bytes]:
    """The content of a stream in blocks of at most 16 MiB.

    ``codec`` is ``""``, ``"gzip"`` (any number of members, zero padding) or ``"zstd"`` (any number of frames, of each
    of which at most ``max_zstd_window_bytes`` may have to be held); where the first bytes are those of another one,
    that one is read. Raises StreamDamageError where the stream is truncated or corrupt, after all that could be read
    was yielded.
    """
    head = stream.read(_INPUT_BYTES)
    codec = "gzip" if head.startswith(_GZIP) else "zstd" if _ZSTD.match(head) else codec
    if codec and head.lstrip(_BLANK).startswith(b"{"):
        codec = ""
    if codec == "zstd":
        return _read_zstd(head, stream, max_zstd_window_bytes)
    return _read_gzip(head, stream) if codec else chain([head], iter(lambda: stream.read(_BLOCK_BYTES), b""))


def _read_gzip(data: bytes, stream: BinaryIO) -> Iterator[bytes]:
    while data:
        data = yield from _gzip_member(data, stream)
        while not (data := data.lstrip(b"\0")):
            data = stream.read(_INPUT_BYTES)
            if not data:
                return


def _gzip_member(data: bytes, stream: BinaryIO) -> Generator[bytes, None, bytes]:
    """Yields one member's content in blocks; returns the bytes already read after it."""
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
    """The content of a member up to the byte that breaks it."""
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


def _read_zstd(data: bytes, stream: BinaryIO, max_window_bytes: int) -> Iterator[bytes]:
    while data:
        while len(data) < _ZSTD_HEADER_BYTES and (more := stream.read(_ZSTD_INPUT_BYTES)):
            data += more
        data = yield from _zstd_frame(data, stream, max_window_bytes)
        data = data or stream.read(_ZSTD_INPUT_BYTES)


def _zstd_frame(data: bytes, stream: BinaryIO, max_window_bytes: int) -> Generator[bytes, None, bytes]:
    """Yields one frame's content in blocks; returns the bytes already read after it."""
    frame = zstandard.ZstdDecompressor(max_window_size=1 << zstandard.WINDOWLOG_MAX).decompressobj()
    head, at, n_bytes = data[:_ZSTD_HEADER_BYTES], 0, 0
    while not frame.eof:
        if at >= len(data):
            at, data = 0, stream.read(_ZSTD_INPUT_BYTES)
        if not data:
            raise StreamDamageError("the zstd stream ends within a frame")
        try:
            block = frame.decompress(data[at : at + _ZSTD_STEP_BYTES])
        except zstandard.ZstdError as error:
            raise _zstd_failure(str(error), head, max_window_bytes) from None
        at, n_bytes = at + _ZSTD_STEP_BYTES, n_bytes + len(block)
        if block:
            yield block
        if n_bytes > max_window_bytes and _window_bytes(head) > max_window_bytes:  # memory is taken as content comes
            raise _zstd_failure(_TOO_MUCH_MEMORY, head, max_window_bytes)
    return frame.unused_data + data[at:]


def _zstd_failure(problem: str, head: bytes, max_window_bytes: int) -> StreamDamageError:
    if "Dictionary mismatch" in problem:
        return StreamDamageError("the zstd stream needs a dictionary: compress it without one", "unsupported_form")
    if _TOO_MUCH_MEMORY not in problem:
        return StreamDamageError(problem)
    window = _window_bytes(head)
    remedy = "raise corpus.max_zstd_window_mb, and the memory of the workers by as much"
    if window > 1 << zstandard.WINDOWLOG_MAX:
        remedy = "no setting allows it: compress with a smaller one"
    return StreamDamageError(
        f"the zstd stream has a window of {window >> 20} MiB; expected at most {max_window_bytes >> 20}: {remedy}",
        "zstd_window_too_large",
    )


def _window_bytes(head: bytes) -> int:
    """The window that a frame declares (RFC 8878, 3.1.1.1.2); the library does not show one above 2 GiB."""
    if head[4] & 0x20:
        return zstandard.get_frame_parameters(head).window_size
    base = 1 << 10 + (head[5] >> 3)
    return base + base // 8 * (head[5] & 7)


class LineSplitter:
    r"""Splits blocks into lines at ``\n``; of lines over the limit (bytes) only the first 1,024 bytes are held."""

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
        """The unfinished line, as ``feed`` yields lines; the splitter then begins a new one."""
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
