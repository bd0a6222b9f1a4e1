"""Parquet shards: the same checks as for lines, every column type, and damage."""

import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shard_files import read, reasons_of, write

from pivot_udfs.shards.quarantine_reasons import Rejected
from pivot_udfs.shards.validate_record import Document

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
    found = read(_parquet(tmp_path, {"id": ids, "text": pa.array(cells).cast(COLUMNS[kind]), "n": ids}))
    reasons = [None, "missing_text", "blank_text", "nul_character", "document_too_large", None, None]
    assert reasons_of(found) == reasons
    assert found[0] == Document(0, "x", "0", None, "eau 水")
    assert "1001 bytes" in str(found[4])


def test_parquet_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    offsets = pa.py_buffer(b"".join(at.to_bytes(4, "little") for at in (0, 1, 3)))
    text = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"a\xff\xfe"))
    found = read(_parquet(tmp_path, {"id": ["0", "1"], "text": text}))
    assert found == [
        Document(0, "x", "0", None, "a"),
        Rejected(1, "invalid_utf8", "text is not UTF-8", b"\xff\xfe", "x", "1"),
    ]


def test_parquet_values_of_other_types(tmp_path: Path) -> None:
    good = pa.array(["a", "b"])
    for name, values in {"id": [1.0, 2.0], "source": [1.5, 2.5], "text": [1, 2]}.items():
        found = read(_parquet(tmp_path, {"id": good, "text": good, name: pa.array(values)}))
        assert reasons_of(found) == [f"{name}_not_string"] * 2
    long = pa.array(["a", "b" * 4_097])
    assert reasons_of(read(_parquet(tmp_path, {"id": long, "text": good}))) == [None, "key_too_long"]


def test_parquet_uuids_are_taken_as_text(tmp_path: Path) -> None:
    ids = [uuid.UUID(int=7).bytes, b"\xff" * 16, None]
    table = pa.table({"id": pa.array(ids, pa.uuid()), "text": ["eau"] * 3})
    pq.write_table(table, tmp_path / "x.parquet", store_schema=False)
    found = read(tmp_path / "x.parquet")
    assert [row.doc_id for row in found] == [str(uuid.UUID(int=7)), str(uuid.UUID(int=2**128 - 1)), None]


def test_parquet_without_the_columns_or_rows(tmp_path: Path) -> None:
    found = read(_parquet(tmp_path, {"doc": ["a"] * 7, "text": ["b"] * 7}))
    assert reasons_of(found) == ["missing_columns"]
    assert "no column id among doc, text" in str(found[0])
    assert "7 rows not read" in str(found[0])
    assert reasons_of(read(_parquet(tmp_path, {"id": pa.array([], "string"), "text": pa.array([], "string")}))) == [
        "empty_shard"
    ]


def test_a_column_whose_name_is_not_utf8_is_damage(tmp_path: Path) -> None:
    path = _parquet(tmp_path, {"id": ["a"], "text": ["b"], "other": ["c"]})
    found = read(write(tmp_path, path.read_bytes().replace(b"other", b"oth\xe9r"), "y.parquet"))
    assert reasons_of(found) == ["corrupt_stream"]


def test_a_codec_that_the_library_lacks_is_no_damage(tmp_path: Path) -> None:
    snappy, lzo = (b"\x19\x18\x04text\x15" + codec for codec in (b"\x02", b"\x06"))  # path and codec in the footer
    data = _parquet(tmp_path, {"id": ["a"], "text": ["b"]}).read_bytes()
    assert data.count(snappy) == 1
    found = read(write(tmp_path, data.replace(snappy, lzo), "y.parquet"))
    assert reasons_of(found) == ["unsupported_form"]
    assert "LZO" in str(found[0])


def test_parquet_in_many_row_groups_and_batches(tmp_path: Path) -> None:
    texts = [f"{number} eau" if number % 5 else None for number in range(3_000)]
    columns = {"id": [str(number) for number in range(3_000)], "text": texts, "lang": ["fr"] * 3_000}
    found = read(_parquet(tmp_path, columns, row_group_size=700))
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
        found = read(write(tmp_path, data, "y.parquet"))
        assert reasons_of(found) == [None] * n_good + ["corrupt_stream"]
        assert found[-1].record == n_good
