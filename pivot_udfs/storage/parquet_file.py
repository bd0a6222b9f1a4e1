"""One Parquet file: pyarrow writes all columns but token ids, whose pages are ours (``token_id_pages``).

pyarrow gets each row group with empty lists in the place of the ids; their pages follow the row group in the stream.
At the end stands a footer that is pyarrow's but for these column chunks. Readers pass over what pyarrow wrote for the
empty lists and over its own footer: some bytes a row group.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from thrift.Thrift import TType

from pivot_udfs.storage.thrift_structs import Struct, from_bytes, to_bytes
from pivot_udfs.storage.token_id_pages import TOKEN_IDS, ColumnChunk, token_id_pages

_MAGIC = b"PAR1"


class ParquetFile:
    """Writes row groups to a stream.

    Args:
        stream: an output stream at its beginning.
        schema: of the rows.
        options: of ``pyarrow.parquet.ParquetWriter``; packed ids are compressed with zstd whatever these say.
    """

    def __init__(self, stream: pa.NativeFile, schema: pa.Schema, **options: Any) -> None:
        self._stream = stream
        self._writer = pq.ParquetWriter(stream, schema, **options)
        # Not the first column: by the place of that one Spark assigns row groups to tasks.
        self._packable = [field.name for field in list(schema)[1:] if field.type == TOKEN_IDS and not field.nullable]
        self._chunks: list[dict[str, tuple[int, ColumnChunk]]] = []

    def add(self, table: pa.Table) -> None:
        """Writes a table as one row group."""
        pages = {name: token_id_pages(table.column(name)) for name in self._packable}
        packed = {name: chunk for name, chunk in pages.items() if chunk}
        for name in packed:
            place = table.schema.get_field_index(name)
            table = table.set_column(place, table.schema.field(name), _empty_lists(table.num_rows))
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._chunks.append({name: (self._append(chunk.raw()), chunk) for name, chunk in packed.items()})

    def close(self) -> None:
        """Writes the footer and closes the stream."""
        self._writer.close()
        if any(self._chunks):
            footer = to_bytes(_with_chunks(_footer(self._writer.writer.metadata), self._chunks))
            self._append(footer + len(footer).to_bytes(4, "little") + _MAGIC)
        self._stream.close()

    def abandon(self) -> None:
        """Leaves the file without a footer, so that nobody takes the empty lists in it for rows."""
        self._writer.is_open = False
        self._stream.close()

    def _append(self, raw: bytes) -> int:
        offset: int = self._stream.tell()
        self._stream.write(raw)
        return offset


def _empty_lists(length: int) -> pa.Array:
    return pa.ListArray.from_arrays(np.zeros(length + 1, np.int32), pa.array([], pa.int32()), type=TOKEN_IDS)


def _footer(metadata: pq.FileMetaData) -> Struct:
    """Parquet's FileMetaData as pyarrow wrote it."""
    file = pa.BufferOutputStream()
    metadata.write_metadata_file(file)
    return from_bytes(file.getvalue().to_pybytes()[len(_MAGIC) :])


def _with_chunks(footer: Struct, chunks: list[dict[str, tuple[int, ColumnChunk]]]) -> Struct:
    """The footer with other chunks (row group by row group, by column: offset, chunk) in the place of its own."""
    for group, of_group in zip(footer[4][1][1], chunks, strict=True):
        for column in group[1][1][1]:
            before = column[3][1]
            place = of_group.get(before[3][1][1][0].decode())
            if place:
                column[3] = TType.STRUCT, place[1].described(place[0], before)
        written = [column[3][1] for column in group[1][1][1]]
        group[2] = TType.I64, sum(chunk[6][1] for chunk in written)
        group[6] = TType.I64, sum(chunk[7][1] for chunk in written)
    return footer
