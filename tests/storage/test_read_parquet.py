"""Files of tables that cannot be read end a run with the file and the remedy; faults of a disk keep their number."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pivot_udfs.errors import WarehouseError
from pivot_udfs.storage.read_parquet import read_files
from pivot_udfs.storage.stores import resolve

SCHEMA = pa.schema([("text", pa.string())])


def _read(folder: Path) -> list[pa.RecordBatch]:
    return list(read_files(["x.parquet"], resolve(str(folder)).uri, SCHEMA))


def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": [f"{number * number} eau" for number in range(500)]}), path)
    whole = path.read_bytes()
    assert sum(batch.num_rows for batch in _read(tmp_path)) == 500
    for data in (b"", bytes(len(whole)), whole[:4] + bytes(400) + whole[404:]):
        path.write_bytes(data)
        with pytest.raises(WarehouseError, match=rf"^{path} cannot be read \(.*or remove {tmp_path}; then run rebuild"):
            _read(tmp_path)


def test_a_missing_file_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _read(tmp_path)
