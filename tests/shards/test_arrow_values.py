"""Parquet columns of any Arrow type: every row is a document or in quarantine, and nothing raises."""

import datetime
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shard_files import read, reasons_of, write

from pivot_udfs.shards.arrow_values import column_values
from pivot_udfs.shards.quarantine_reasons import REASONS, Rejected
from pivot_udfs.shards.validate_record import Document, Fields, Oversized, Unsupported

NOT_UTF8 = b"\xff\xfe"
FAR = 2**31 - 1
SCALARS = [
    *(pa.int8(), pa.uint64(), pa.int32(), pa.bool_(), pa.float16(), pa.float64(), pa.decimal128(9, 2), pa.null()),
    *(pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("us", "Nowhere/Land"), pa.time32("s"), pa.time64("ns")),
    *(pa.duration("us"), pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary()),
    *(pa.binary_view(), pa.binary(3)),
]
TYPES = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        inner.map(pa.list_),
        inner.map(pa.large_list),
        inner.map(lambda kind: pa.struct([("inner", kind)])),
        inner.map(lambda kind: pa.map_(pa.string(), kind)),
    ),
    max_leaves=3,
)


def array_of(kind: pa.DataType, n_rows: int, seed: int) -> pa.Array:
    """Rows of arbitrary bits: values that no Python type can hold, and strings that are not UTF-8; some are null."""
    nulls = pa.array([(seed >> row) & 1 == 1 for row in range(n_rows)])
    if pa.types.is_struct(kind):
        return pa.StructArray.from_arrays([array_of(kind.field(0).type, n_rows, seed // 3)], ["inner"], mask=nulls)
    if pa.types.is_map(kind):
        keys = pa.array(["k"] * n_rows)
        return pa.MapArray.from_arrays(
            pa.array(range(n_rows + 1), pa.int32()), keys, array_of(kind.item_type, n_rows, 5)
        )
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        offsets = pa.array(range(n_rows + 1), pa.int64() if pa.types.is_large_list(kind) else pa.int32())
        lists = pa.LargeListArray if pa.types.is_large_list(kind) else pa.ListArray
        return lists.from_arrays(offsets, array_of(kind.value_type, n_rows, seed // 5))
    return _scalars(kind, n_rows, seed, nulls)


def _scalars(kind: pa.DataType, n_rows: int, seed: int, nulls: pa.Array) -> pa.Array:
    if pa.types.is_null(kind):
        return pa.nulls(n_rows)
    if pa.types.is_boolean(kind):
        return pa.array([None if null else True for null in nulls.to_pylist()])
    fixed = pa.types.is_fixed_size_binary(kind)
    if fixed or (not pa.types.is_primitive(kind) and not pa.types.is_decimal(kind)):
        cells = [b"abc", NOT_UTF8 + b"x", b"fra"] if fixed else [b"eau", NOT_UTF8, b"fr", b""]
        values = [None if null else cells[(seed + row) % len(cells)] for row, null in enumerate(nulls.to_pylist())]
        wide = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)
        if kind in (pa.string_view(), pa.binary_view()):
            return pa.array(values, pa.binary_view()).view(kind)
        return pa.array(values, kind if fixed else pa.large_binary() if wide else pa.binary()).view(kind)
    width = kind.bit_width // 8
    bits = b"".join(
        ((FAR * 977 + row * seed) % 2 ** (width * 8 - 1)).to_bytes(width, "little") for row in range(n_rows)
    )
    valid = pa.array([not null for null in nulls.to_pylist()]).buffers()[1]
    return pa.Array.from_buffers(kind, n_rows, [valid, pa.py_buffer(bits)])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=TYPES, n_rows=st.integers(1, 9), seed=st.integers(0, 511))
def test_the_values_of_any_type_can_be_taken(kind: pa.DataType, n_rows: int, seed: int) -> None:
    column = array_of(kind, n_rows, seed)
    values = list(column_values(column, 100))
    assert [value is None for value in values] == column.is_null().to_pylist()
    assert all(type(value) in (type(None), str, int, bytes, list, Unsupported) for value in values)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(Fields._fields), kind=TYPES, seed=st.integers(0, 511), dictionary=st.booleans())
def test_every_row_is_a_document_or_rejected(
    tmp_path: Path, name: str, kind: pa.DataType, seed: int, dictionary: bool
) -> None:
    good = pa.array([f"row {number}" for number in range(6)])
    column = array_of(kind, 6, seed)
    if dictionary and not pa.types.is_nested(kind):
        indices = pa.array([5, 0, None, 3, 3, 1], pa.int32())
        column = pa.DictionaryArray.from_arrays(indices, column)
    buffer = io.BytesIO()
    try:
        pq.write_table(pa.table({"id": good, "text": good} | {name: column}), buffer)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return  # no Parquet file can have it
    found = read(write(tmp_path, buffer.getvalue(), "x.parquet"))
    assert [item.record for item in found] == list(range(6))
    assert all(item.reason in REASONS for item in found if isinstance(item, Rejected))
    assert "corrupt_stream" not in reasons_of(found)
    if name == "lang":
        assert reasons_of(found) == [None] * 6


def test_the_detail_names_field_and_type(tmp_path: Path) -> None:
    ids = pa.array([FAR] * 2, pa.int32()).view(pa.date32())
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"id": ids, "text": ["a", "b"]}), path)
    expected = "id is of type date32[day]; expected a string or an integer"
    assert read(path) == [
        Rejected(record, "id_not_string", expected, text, "x") for record, text in enumerate([b"a", b"b"])
    ]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.int64(), pa.decimal128(38, 0)])
def test_integer_ids_and_sources_are_taken_as_text(tmp_path: Path, kind: pa.DataType) -> None:
    numbers = pa.array([0, 127], kind)
    pq.write_table(pa.table({"id": numbers, "text": ["a", "b"], "source": numbers}), tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet") == [Document(0, "0", "0", None, "a"), Document(1, "127", "127", None, "b")]


def test_lists_of_labels_give_the_first_usable_one(tmp_path: Path) -> None:
    labels = pa.array([["und", None, "fra_Latn"], [], None, ["eng", "fra"]], pa.list_(pa.string()))
    texts = ["a", "b", "c", "d"]
    pq.write_table(pa.table({"id": texts, "text": texts, "lang": labels}), tmp_path / "x.parquet")
    assert [item.lang for item in read(tmp_path / "x.parquet") if isinstance(item, Document)] == [
        "fr",
        None,
        None,
        "en",
    ]


@pytest.mark.parametrize("kind", [pa.string_view(), pa.binary_view(), pa.string(), pa.large_binary()])
def test_one_bad_byte_costs_one_row(tmp_path: Path, kind: pa.DataType) -> None:
    cells = [b"eau", b"\xe6\xb0\xb4", b"caf\xe9", b"fin", b"x" * 40]
    wide = pa.types.is_large_binary(kind)
    view = pa.types.is_string_view(kind) or pa.types.is_binary_view(kind)
    column = pa.array(cells, pa.binary_view() if view else pa.large_binary() if wide else pa.binary()).view(kind)
    pq.write_table(pa.table({"id": list("01234"), "text": column}), tmp_path / "x.parquet")
    found = read(tmp_path / "x.parquet")
    assert reasons_of(found) == [None, None, "invalid_utf8", None, None]
    assert [item.text for item in found if isinstance(item, Document)] == ["eau", "水", "fin", "x" * 40]
    assert found[2] == Rejected(2, "invalid_utf8", "text is not UTF-8", b"caf\xe9", "x", "2")


def test_long_strings_are_not_converted() -> None:
    column = pa.array(["a" * 100, "a" * 101, None]).dictionary_encode()
    assert list(column_values(column, 100)) == ["a" * 100, Oversized(101), None]


def test_an_entry_that_a_dictionary_has_not_is_damage() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 9], pa.int32()), pa.array(["a"]), safe=False)
    with pytest.raises(IndexError, match="entry 9 of a dictionary of 1"):
        list(column_values(column, 100))


def test_dates_in_a_struct_beside_the_text_do_no_harm(tmp_path: Path) -> None:
    meta = pa.array([{"seen": datetime.date(2020, 1, 1), "lang": "fr"}, None])
    pq.write_table(pa.table({"id": ["a", "b"], "text": ["c", "d"], "source": meta}), tmp_path / "x.parquet")
    assert reasons_of(read(tmp_path / "x.parquet")) == ["source_not_string", None]
