"""Pages of Parquet: their sizes by their headers, and files that say what is not so."""

import base64
import io
import itertools
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as encryption
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shard_files import read, reasons_of, with_limits, write

from pivot_udfs.shards.parquet_pages import Chunk, column_chunks, largest_page

PLAIN: dict[str, Any] = {"use_dictionary": False, "data_page_size": 1, "write_batch_size": 1}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(0, 5_000), min_size=1, max_size=12),
    version=st.sampled_from(["1.0", "2.0"]),
    compression=st.sampled_from(["none", "zstd", "gzip"]),
    checksum=st.booleans(),
    statistics=st.booleans(),
)
def test_the_largest_page_holds_the_longest_value(
    tmp_path: Path, lengths: list[int], version: str, compression: str, checksum: bool, statistics: bool
) -> None:
    schema = pa.schema([pa.field("text", pa.string(), nullable=False)])
    table = pa.table({"text": ["x" * length for length in lengths]}, schema=schema)
    options = {**PLAIN, "compression": compression, "data_page_version": version, "write_page_checksum": checksum}
    path = tmp_path / "x.parquet"
    pq.write_table(table, path, write_statistics=statistics, **options)
    chunk = pq.read_metadata(path).row_group(0).column(0)
    with path.open("rb") as file:
        sizes = [
            largest_page(file, chunk.data_page_offset, chunk.total_compressed_size, enough) for enough in (1 << 30, 0)
        ]
    assert sizes == [4 + max(lengths), 4 + lengths[0]]


@given(st.binary(max_size=60), st.integers(1, 60))
def test_other_bytes_give_a_size_or_a_value_error(data: bytes, n_bytes: int) -> None:
    with suppress(ValueError):
        assert largest_page(io.BytesIO(data), 0, n_bytes, 100) >= 0


@pytest.mark.parametrize("repeated", [True, False])
def test_a_page_that_does_not_fit_is_refused_before_it_is_read(tmp_path: Path, repeated: bool) -> None:
    good, huge = pa.array(["a", "b"]), pa.array([f"{n} eau " * 200_000 for n in (range(1) if repeated else range(9))])
    texts = huge.take(pa.array([0] * 9)) if repeated else huge
    with pq.ParquetWriter(tmp_path / "x.parquet", pa.schema([("id", "string"), ("text", "string")])) as writer:
        writer.write_table(pa.table({"id": good, "text": good}))
        writer.write_table(pa.table({"id": [str(n) for n in range(9)], "text": texts}), row_group_size=9)
    limits = with_limits(max_document_bytes=2 << 20, max_record_bytes=2 << 20, max_parquet_page_mb=1)
    found = read(tmp_path / "x.parquet", limits)
    assert reasons_of(found) == [None, None, "page_too_large"]
    assert "corpus.max_parquet_page_mb" in str(found[2])
    assert "9 of 11 rows not read" in str(found[2])
    assert (
        reasons_of(read(tmp_path / "x.parquet", with_limits(max_document_bytes=2 << 20, max_record_bytes=2 << 20)))
        == [None] * 11
    )


def test_a_large_page_of_small_values_is_refused(tmp_path: Path) -> None:
    rows = [str(n * 7919 % 1_000_003) * 9 for n in range(40_000)]
    table = pa.table({"id": [str(n) for n in range(40_000)], "text": rows})
    options = {"data_page_size": 1 << 30, "write_batch_size": 1 << 20, "max_rows_per_page": 1 << 30}
    pq.write_table(table, tmp_path / "x.parquet", use_dictionary=False, **options)
    found = read(
        tmp_path / "x.parquet",
        with_limits(max_parquet_page_mb=1),
    )
    assert reasons_of(found) == ["page_too_large"]


def test_rows_that_only_the_footer_has_are_damage(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["1"], "text": ["eau"]}), tmp_path / "x.parquet")
    data = (tmp_path / "x.parquet").read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    body, footer = data[:start], data[start:-8]
    one_row, many_rows = b"\x16\x02\x19\x1c", b"\x16\xa4\x42\x19\x1c"  # field 3, num_rows: 1 and 4,242
    assert footer.count(one_row) == 1
    footer = footer.replace(one_row, many_rows)
    path = write(tmp_path, body + footer + len(footer).to_bytes(4, "little") + b"PAR1", "y.parquet")
    assert pq.read_metadata(path).num_rows == 4_242
    found = read(path)
    assert reasons_of(found) == [None, "corrupt_stream"]
    assert "the footer says 4242 rows, the row groups have 1" in str(found[1])


def test_files_in_a_row_are_damage(tmp_path: Path) -> None:
    """The offsets in the last one's footer lead into the first."""
    rows = [str(n * n) for n in range(50)]
    parts = []
    for size, options in ((1, {}), (50, {}), (20, {"write_page_index": True}), (20, PLAIN)):
        table = pa.table({"id": [f"{len(parts)}-{row}" for row in rows[:size]], "text": rows[:size]})
        pq.write_table(table, tmp_path / "x.parquet", **options)
        parts.append((tmp_path / "x.parquet").read_bytes())
    for pair in itertools.product(parts, parts):
        found = read(write(tmp_path, b"".join(pair), "y.parquet"))
        assert reasons_of(found) == ["corrupt_stream"]
        assert "several Parquet files in a row" in str(found[0])


NESTED = {"lang": [["fr", "en"]] * 40, "meta": [{"a": {"b": "x"}, "c": [1, 2]}] * 40}


def _forty_rows(folder: Path, **options: Any) -> Path:
    columns = {"id": [str(n) for n in range(40)], "text": [f"{n * n} eau" for n in range(40)], **NESTED}
    pq.write_table(pa.table(columns), folder / "forty.parquet", **options)
    return folder / "forty.parquet"


@pytest.mark.parametrize("options", [{}, {"row_group_size": 11, **PLAIN}, {"compression": "none"}], ids=str)
def test_chunks_are_those_that_pyarrow_finds(tmp_path: Path, options: dict[str, Any]) -> None:
    path = _forty_rows(tmp_path, **options)
    footer = pq.read_metadata(path)
    groups = [[footer.row_group(k).column(n) for n in range(footer.num_columns)] for k in range(footer.num_row_groups)]
    with path.open("rb") as file:
        assert column_chunks(file) == [
            [
                Chunk(
                    *(chunk.num_values, chunk.total_uncompressed_size, chunk.total_compressed_size),
                    chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset,
                )
                for chunk in chunks
            ]
            for chunks in groups
        ]


@pytest.mark.parametrize("flipped", [1, 16])
def test_a_footer_with_any_damaged_byte_never_ends_the_process(tmp_path: Path, flipped: int) -> None:
    whole = _forty_rows(tmp_path, row_group_size=20).read_bytes()
    for at in range(len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), len(whole) - 8):
        found = read(write(tmp_path, whole[:at] + bytes([whole[at] ^ flipped]) + whole[at + 1 :], "x.parquet"))
        assert [item.record for item in found] in (list(range(len(found))), [None])


class _Keys(encryption.KmsClient):
    def wrap_key(self, key_bytes: bytes, _: str) -> bytes:
        return base64.b64encode(key_bytes)


@pytest.mark.parametrize(
    ("column", "plaintext_footer", "reasons"),
    [("text", True, ["unsupported_form"]), ("text", False, ["unsupported_form"]), ("other", True, [None])],
)
def test_what_is_encrypted_is_named(tmp_path: Path, column: str, plaintext_footer: bool, reasons: list[Any]) -> None:
    keys = encryption.EncryptionConfiguration("f", column_keys={"k": [column]}, plaintext_footer=plaintext_footer)
    table = pa.table({"id": ["1"], "text": ["eau"], "other": ["x"]})
    factory = encryption.CryptoFactory(lambda _: _Keys())
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), keys)
    pq.write_table(table, tmp_path / "x.parquet", encryption_properties=properties)
    found = read(tmp_path / "x.parquet")
    assert reasons_of(found) == reasons
    assert reasons == [None] or "decrypt" in str(found[0])
