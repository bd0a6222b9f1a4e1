"""Blocked documents are found, read and left out as a look-up row by row gives them."""

from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pivot_udfs.forget_documents import find_blocked, is_blocked
from pivot_udfs.schemas import DOCUMENTS
from pivot_udfs.shards.block_list import Blocked, BlockList
from pivot_udfs.storage.read_parquet import rows_without

NAMES = st.sampled_from(["a", "b", "c"])
ROWS = st.lists(st.tuples(NAMES, NAMES, NAMES, st.integers(0, 9)), max_size=12)
ENTRIES = st.sets(
    st.one_of(
        st.builds(Blocked, NAMES, NAMES), st.builds(Blocked, NAMES), st.builds(lambda name: Blocked(shard=name), NAMES)
    ),
    max_size=4,
)


def written(folder: Path, rows: list[tuple[str, str, str, int]]) -> str:
    fixed = {"lang": "en", "text": "t", "token_ids": [1]}
    records = [
        {**fixed, "source": source, "doc_id": doc_id, "shard": shard, "n_tokens": n_tokens, "record": record}
        for record, (source, doc_id, shard, n_tokens) in enumerate(rows)
    ]
    (folder / "documents").mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(records, schema=DOCUMENTS), folder / "documents/f.parquet", row_group_size=5)
    return "documents/f.parquet"


def is_named(row: tuple[str, str, str, int], entries: set[Blocked]) -> bool:
    """By the definition of the entries."""
    source, doc_id, shard, _ = row
    return bool(entries & {Blocked(source, doc_id), Blocked(source), Blocked(shard=shard)})


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, entries=ENTRIES)
def test_blocked_documents_are_those_that_an_entry_names(
    tmp_path: Path, rows: list[tuple[str, str, str, int]], entries: set[Blocked]
) -> None:
    file, folder, blocks = written(tmp_path, rows), str(tmp_path), BlockList.of(entries)
    expected = {record for record, row in enumerate(rows) if is_named(row, entries)}
    files = pa.RecordBatch.from_pylist([{"file": file}])
    parts: dict[str, set[int]] = {"documents": set(), "apart:documents": set()}
    for name, batch in rows_without(iter([files]), folder, partial(is_blocked, blocks=blocks), ["documents"]):
        parts[name].update(batch.column("record").to_pylist())
    assert parts["apart:documents"] == expected
    assert parts["documents"] == set(range(len(rows))) - expected
    found = [row for batch in find_blocked(iter([files]), folder, blocks) for row in batch.to_pylist()]
    assert sum(row["n_records"] for row in found) == len(expected)
    assert sum(row["n_tokens"] for row in found) == sum(rows[record][3] for record in expected)
    assert {Blocked(row["source"], row["doc_id"], row["shard"]) for row in found} <= entries
    assert {row["file_rows"] for row in found} <= {len(rows)}


@pytest.mark.parametrize("n_blocked", [0, 2, 4])
def test_rows_without_gives_batches_of_one_shard(tmp_path: Path, n_blocked: int) -> None:
    rows = [("web", str(number), "ab"[number % 2], 1) for number in range(4)]
    file = written(tmp_path, rows)
    blocks = BlockList.of(Blocked("web", str(number)) for number in range(n_blocked))
    files = iter([pa.RecordBatch.from_pylist([{"file": file}])])
    step = rows_without(files, str(tmp_path), partial(is_blocked, blocks=blocks))
    kept = [(name, set(batch.column("shard").to_pylist()), batch.column("record").to_pylist()) for name, batch in step]
    assert all(len(shards) == 1 for _, shards, _ in kept)
    assert sorted(record for _, _, records in kept for record in records) == list(range(n_blocked, 4))
