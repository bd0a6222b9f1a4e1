"""Token ids as the pages of a Parquet column chunk, packed to two or three bytes an id before they are compressed.

The chunk's dictionary is 0, 1, 2, ...: every id is its own index, and packing indices of whole bytes is a cast. Any
reader of Parquet takes the pages. pyarrow's own ways to write the column, plain or with a dictionary that it collects,
take twice as long and as much room.

Source: Apache Parquet's format, "Data Pages" and "Encodings" (dictionary encoding, bit-packed runs of the RLE hybrid).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from thrift.Thrift import TType

from pivot_udfs.schemas import DOCUMENTS
from pivot_udfs.storage.thrift_structs import Struct, to_bytes

Buffer = Any  # bytes, or an array
TOKEN_IDS = DOCUMENTS.field("token_ids").type
_PAGE_IDS = 1 << 18
_LEAST_USES = 8
"""Ids for each entry of the dictionary: with fewer, the dictionary's bytes (about one an entry) would weigh."""
_ENTRIES = 4096
"""A dictionary has a multiple of so many entries, so that few are ever made."""
_ZSTD_LEVEL = -3
"""Against level 1, a fifth less time to write and two fifths less to read, for a fifth more bytes (four languages)."""
_MOST_IDS = 1 << 20
"""Four times the largest vocabulary in use."""
_INT32, _ZSTD = 1, 6
_PLAIN, _RLE, _RLE_DICTIONARY = 0, 3, 8
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_DATA_HEADER, _DICTIONARY_HEADER = 5, 7


@dataclass(frozen=True)
class Page:
    """One page with its header.

    Attributes:
        raw: as it stands in the file.
        plain_bytes: its size were it not compressed.
        n_levels: its ids and empty lists.
        most: its largest id.
    """

    raw: bytes
    plain_bytes: int
    n_levels: int
    most: int


@dataclass(frozen=True)
class ColumnChunk:
    """A row group's ids: the page of the dictionary, then those of the lists."""

    dictionary: Page
    pages: list[Page]

    def raw(self) -> bytes:
        """The chunk as it stands in the file."""
        return b"".join(page.raw for page in (self.dictionary, *self.pages))

    def described(self, offset: int, before: Struct) -> Struct:
        """Parquet's ColumnMetaData of the chunk.

        Args:
            offset: of the chunk in the file, in bytes.
            before: ColumnMetaData of the same column, whose path it keeps.
        """
        every = (self.dictionary, *self.pages)
        return {
            1: (TType.I32, _INT32),
            2: (TType.LIST, (TType.I32, [_PLAIN, _RLE, _RLE_DICTIONARY])),
            3: before[3],
            4: (TType.I32, _ZSTD),
            5: (TType.I64, sum(page.n_levels for page in every)),
            6: (TType.I64, sum(page.plain_bytes for page in every)),
            7: (TType.I64, sum(len(page.raw) for page in every)),
            9: (TType.I64, offset + len(self.dictionary.raw)),
            11: (TType.I64, offset),
        }


def token_id_pages(lists: pa.ChunkedArray) -> ColumnChunk | None:
    """Packs the ids of a row group.

    Args:
        lists: of type TOKEN_IDS, without nulls.

    Returns:
        the chunk; None where ids are few for their size, negative, or 2**20 and more: pyarrow should write these.
    """
    n_ids = sum(len(array.flatten()) for array in lists.chunks)
    if n_ids < _LEAST_USES * _ENTRIES:
        return None
    pages = [page for array in lists.chunks if len(array) for page in _pages(array)]
    most = max(page.most for page in pages)
    n_entries = (most // _ENTRIES + 1) * _ENTRIES
    fits = most < _MOST_IDS and n_ids >= _LEAST_USES * n_entries
    return ColumnChunk(_dictionary_page(n_entries), pages) if fits else None


def _pages(lists: pa.ListArray) -> Iterator[Page]:
    """Pages of whole lists, of about _PAGE_IDS ids where no list has more."""
    offsets, values = lists.offsets.to_numpy(), lists.values.to_numpy()
    wanted = np.arange(offsets[0] + _PAGE_IDS, offsets[-1], _PAGE_IDS)
    inner = np.searchsorted(offsets, wanted, side="right") - 1
    cuts = np.unique(np.concatenate(([0], inner, [len(lists)])))
    for first, last in pairwise(cuts):
        bounds = offsets[first : last + 1]
        ids = values[bounds[0] : bounds[-1]]
        most = int(ids.view(np.uint32).max(initial=0))  # a negative id is a very large one
        levels, n_levels = _levels(np.diff(bounds))
        body = b"".join([*levels, *_packed_ids(ids, 2 if most < 1 << 16 else 3)])
        about = {1: n_levels, 2: _RLE_DICTIONARY, 3: _RLE, 4: _RLE}
        yield _page(body, _DATA_PAGE, {_DATA_HEADER: (TType.STRUCT, _integers(about))}, n_levels, most)


def _levels(lengths: NDArray[np.int32]) -> tuple[list[Buffer], int]:
    """Repetition levels (0 begins a list), then definition levels (0 is an empty list), and how many there are."""
    is_empty = lengths == 0
    ends = np.cumsum(np.where(is_empty, 1, lengths), dtype=np.int64)
    n_levels, begins = int(ends[-1]), np.concatenate(([0], ends[:-1]))
    all_filled = _sized([_varint(n_levels << 1), b"\1"])
    filled = _ones_but(begins[is_empty], n_levels) if is_empty.any() else all_filled
    return [*_ones_but(begins, n_levels), *filled], n_levels


def _ones_but(zeros: NDArray[np.int64], length: int) -> list[Buffer]:
    """Levels of one bit as a bit-packed run."""
    bits = np.ones(length, np.bool_)
    bits[zeros] = False
    packed = np.packbits(bits, bitorder="little")
    return _sized([_varint(len(packed) << 1 | 1), packed])


def _sized(levels: list[Buffer]) -> list[Buffer]:
    return [sum(map(len, levels)).to_bytes(4, "little"), *levels]


def _packed_ids(ids: NDArray[np.int32], n_bytes: int) -> list[Buffer]:
    """Their width in bits, and ids as a bit-packed run whose last group of eight is filled up with zeros."""
    n_groups = -(-len(ids) // 8)
    packed = ids.astype("<u2") if n_bytes == 2 else ids.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :n_bytes].copy()
    padding = bytes((8 * n_groups - len(ids)) * n_bytes)
    return [bytes([8 * n_bytes]), _varint(n_groups << 1 | 1), packed, padding]


def _varint(number: int) -> bytes:
    """Unsigned LEB128."""
    digits = bytearray()
    while number >= 128:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


@lru_cache(maxsize=8)
def _dictionary_page(n_entries: int) -> Page:
    entries = np.arange(n_entries, dtype="<i4").tobytes()
    about = {1: n_entries, 2: _PLAIN}
    return _page(entries, _DICTIONARY_PAGE, {_DICTIONARY_HEADER: (TType.STRUCT, _integers(about))}, level=19)


def _page(body: bytes, kind: int, about: Struct, n_levels: int = 0, most: int = 0, level: int = _ZSTD_LEVEL) -> Page:
    compressed: bytes = pa.Codec("zstd", level).compress(body, asbytes=True)
    header = to_bytes(_integers({1: kind, 2: len(body), 3: len(compressed)}) | about)
    return Page(header + compressed, len(header) + len(body), n_levels, most)


def _integers(fields: dict[int, int]) -> Struct:
    return {number: (TType.I32, value) for number, value in fields.items()}
