"""Files of tables that cannot be read end a run with the file and the remedy; faults of a disk keep their number."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.warehouse.delta.commit import commit_files
from jobs.warehouse.delta.open_table import stored_rows
from jobs.warehouse.delta.table_files import shards_in
from pivot_udfs.errors import WarehouseError
from pivot_udfs.filter_documents import copy_chosen
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import DOCUMENTS
from pivot_udfs.storage.read_parquet import read_files
from pivot_udfs.storage.stores import resolve
from pivot_udfs.storage.write_parquet import step_to_files

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


@pytest.mark.parametrize("read", ["rows", "dataset", "shards", "copies"])
def test_changed_values_are_damage(tmp_path: Path, read: str) -> None:
    """Bytes that changed on a disk would be other numbers, or texts, in whatever is made of them."""
    key = {"file": "", "shard": "/0.jsonl", "record": 0, "pivot_density": 0.1, "shrunken_density": 0.1, "random": True}
    row = dict.fromkeys(DOCUMENTS.names, "water") | {"token_ids": [12345] * 9, "n_tokens": 9, "record": 0}
    rows = pa.RecordBatch.from_pylist([row | {"shard": "/0.jsonl"}], schema=DOCUMENTS)
    table = resolve(str(tmp_path / "documents"))
    (files,) = step_to_files(
        iter([rows]), lambda batches: (("documents", b) for b in batches), {"documents": table.uri}
    )
    commit_files(table, None, DOCUMENTS, files.to_pylist(), Provenance("tokenize_corpus", 1))
    name = files.column("path")[0].as_py()
    path = tmp_path / "documents" / name
    zstd = bytes.fromhex("28b52ffd")
    head, *pages = path.read_bytes().split(zstd)
    path.write_bytes(zstd.join([head, *(page[:8] + bytes([page[8] ^ 1]) + page[9:] for page in pages)]))
    keys = pa.RecordBatch.from_pylist([key | {"file": name}])
    readers: dict[str, Callable[[], object]] = {
        "rows": lambda: list(read_files([name], table.uri, DOCUMENTS)),
        "dataset": lambda: stored_rows(table),
        "shards": lambda: shards_in(table, [name]),
        "copies": lambda: list(copy_chosen(iter([keys]), table.uri, ["random"])),
    }
    with pytest.raises(WarehouseError, match=r"cannot be read .*checksum verification failed"):
        readers[read]()


def test_a_missing_file_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _read(tmp_path)
