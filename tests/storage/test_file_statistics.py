"""The statistics of files exclude no row that a filter asks for, whichever column it names."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable, Schema
from deltalake.transaction import AddAction, create_table_with_add_actions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pivot_udfs.storage.stores import resolve
from pivot_udfs.storage.write_parquet import step_to_files

LAST = "\U0010ffff"
TEXTS = st.text(st.sampled_from(["a", "é", "水", "\ufffd", LAST]), max_size=40) | st.just("a" * 32 + LAST * 3 + "é")
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), TEXTS),
    "source": (pa.string(), TEXTS),
    "code": (pa.dictionary(pa.int32(), pa.string()), TEXTS),
    "whole": (pa.int64(), st.integers(-(1 << 63), (1 << 63) - 1)),
    "share": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "time": (pa.timestamp("us", "UTC"), TIMES),
    "raw": (pa.binary(), st.binary(max_size=4)),
    "ids": (pa.list_(pa.int32()), st.lists(st.integers(0, 9), max_size=3)),
}
SCHEMA = pa.schema([(name, kind) for name, (kind, _) in COLUMNS.items()])
ROWS = st.fixed_dictionaries({name: st.none() | values for name, (_, values) in COLUMNS.items()})


def delta_table(folder: Path, files: list[list[dict[str, Any]]]) -> DeltaTable:
    """A table with a file for each list of rows, of batches of two rows."""
    plain = pa.schema([field.with_type(pa.string()) if field.name == "code" else field for field in SCHEMA])
    actions = []
    for rows in files:
        pairs = [rows[start : start + 2] for start in range(0, len(rows), 2)]
        batches = iter([pa.RecordBatch.from_pylist(pair, schema=SCHEMA) for pair in pairs])
        written = step_to_files(batches, lambda b: (("t", batch) for batch in b), {"t": resolve(str(folder)).uri})
        (file,) = pa.Table.from_batches(list(written)).to_pylist()
        actions.append(AddAction(file["path"], file["n_bytes"], {}, 0, True, file["stats"]))
    create_table_with_add_actions(str(folder), Schema.from_arrow(plain), actions, "overwrite", [])
    return DeltaTable(str(folder))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(files=st.lists(st.lists(ROWS, min_size=1, max_size=5), min_size=1, max_size=3))
def test_every_row_is_found_by_each_of_its_values(tmp_path: Path, files: list[list[dict[str, Any]]]) -> None:
    dataset = delta_table(tmp_path, files).to_pyarrow_dataset()
    rows = [row for file in files for row in file]
    for name in set(SCHEMA.names) - {"ids"}:
        for value in {row[name] for row in rows}:
            column = ds.field(name)
            wanted = column.is_null() if value is None else column == pa.scalar(value, dataset.schema.field(name).type)
            assert dataset.count_rows(filter=wanted) == sum(row[name] == value for row in rows), (name, value)


def test_bounds_exclude_files_of_other_values(tmp_path: Path) -> None:
    start, nothing = datetime(2026, 1, 1, tzinfo=UTC), dict.fromkeys(SCHEMA.names)
    files = [
        [nothing | {"source": f"{k}" * 50, "whole": k, "share": k / 7, "time": start + timedelta(k)}] for k in range(3)
    ]
    bounds = pa.table(delta_table(tmp_path, files).get_add_actions(flatten=True)).sort_by("min.whole").to_pylist()
    assert [(row["min.source"], row["max.source"]) for row in bounds] == [(c * 50, c * 50) for c in "012"]
    assert [(row["min.whole"], row["max.whole"]) for row in bounds] == [(0, 0), (1, 1), (2, 2)]
    assert all(math.isclose(row["min.share"], k / 7, rel_tol=0) for k, row in enumerate(bounds))
    assert [row["null_count.code"] for row in bounds] == [1, 1, 1]


def test_no_part_of_a_text_is_in_the_statistics(tmp_path: Path) -> None:
    delta_table(tmp_path, [[dict.fromkeys(SCHEMA.names) | {"text": "a private matter", "code": "a secret"}]])
    log = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "_delta_log").glob("*.json"))
    assert "numRecords" in log
    assert "private" not in log
    assert "secret" not in log
