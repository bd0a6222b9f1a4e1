"""A release that holds what was forgotten since is read by no job; one that a forgetting did not touch is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable

from jobs.loading.compare_shards import LoadedShard
from jobs.loading.replace_shards import commit_shards
from jobs.warehouse.arrow_tables import ArrowTables
from jobs.warehouse.spark_tables import Warehouse
from jobs.warehouse.write_release import write_release
from pivot_udfs.errors import MissingVersionError, WarehouseError
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import BLOCK_LIST, table_of
from pivot_udfs.shards.block_list import Blocked

MADE = Provenance("tokenize_corpus", 1)
TABLES = ("documents", "quarantine", "datasets/pivot", "pivots", "shards")
KEY = ("source", "doc_id", "shard")
REFUSED = "holds what was forgotten since: "
Keys = Sequence[tuple[str, str, str]]
"""Source, id and shard of records."""


class State(NamedTuple):
    """What a release has, and the entries of the block list that were applied to it."""

    documents: Keys
    blocked: Sequence[Blocked] = ()
    rejected: Keys = ()


def row(table: str, key: tuple[str, str, str]) -> dict[str, Any]:
    """A row of a table of records."""
    empty = {"string": "", "int64": 0, "double": 0.0, "binary": b"", "list<element: int32 not null>": []}
    schema = table_of(table).schema
    return {field.name: empty[str(field.type)] for field in schema} | dict(zip(KEY, key, strict=True))


def make(folder: Path, states: Sequence[State]) -> None:
    """A release of each state, whose shards' content ids are their names in capitals."""
    warehouse = Warehouse(cast(Any, None), str(folder))
    for documents, blocked, rejected in states:
        if blocked:
            warehouse.commit_rows(BLOCK_LIST, [entry._asdict() for entry in blocked], MADE)
        rows = {name: [row(name, key) for key in documents] for name in ("documents", "datasets/pivot")}
        rows |= {"quarantine": [row("quarantine", key) for key in rejected], "pivots": []}
        for name, of_table in rows.items():
            if warehouse.content(name) is None or of_table != warehouse.read_small(name).to_pylist():
                warehouse.commit_rows(name, of_table, MADE)
        shards = [LoadedShard(shard, shard.upper(), 1, 0, 1, 0, 0, 0) for shard in {key[2] for key in documents}]
        commit_shards(warehouse, shards, MADE, warehouse.rows(("documents", "quarantine", BLOCK_LIST)))
        write_release(warehouse, TABLES)


def refused(folder: Path, release: int | None = None) -> set[str]:
    """The tables of a release that are not read without Spark, and with it where the release has a number."""
    found = {name for name in TABLES if is_refused(ArrowTables(str(folder), release), name)}
    if release is not None:
        of_spark = Warehouse(cast(Any, None), str(folder), release)
        assert found == {name for name in TABLES if is_refused(of_spark, name)}
    return found


def is_refused(tables: ArrowTables | Warehouse, name: str) -> bool:
    try:
        tables.content(name)
    except WarehouseError as error:
        if REFUSED in str(error):
            return True
        raise
    return False


A, B, C = ("web", "a", "s1"), ("web", "b", "s2"), ("books", "c", "s3")
HELD, REJECTED = {"documents", "datasets/pivot"}, {"quarantine"}


@pytest.mark.parametrize(
    ("states", "held"),
    [
        ([State([A, B]), State([B], [Blocked("web", "a")])], HELD),
        ([State([A, C]), State([C], [Blocked("web")])], HELD),
        ([State([A, C]), State([C], [Blocked(shard="s1")])], HELD),
        ([State([A, C]), State([C], [Blocked(content_id="S1")])], HELD),
        ([State([B], (), [A]), State([B], [Blocked("web", "a")])], REJECTED),
        ([State([A, B]), State([B]), State([B], [Blocked("web", "a")])], HELD),
        ([State([A, B]), State([A, B], [Blocked("web", "c")])], set()),
        ([State([A, B], (), [C]), State([B, C], [Blocked("web", "c"), Blocked(shard="s9")])], set()),
        ([State([A, B]), State([A, B, C]), State([A, B], [Blocked("books")])], set()),
        ([State([A, B]), State([A, B], [Blocked(content_id="S9")])], set()),
    ],
)
def test_a_release_is_refused_where_it_holds_what_was_forgotten(
    tmp_path: Path, states: Sequence[State], held: set[str]
) -> None:
    make(tmp_path, states)
    assert (refused(tmp_path, 0), refused(tmp_path)) == (held, set())
    assert refused(tmp_path, len(states) - 1) == set()


def test_files_that_the_newest_table_has_are_not_read(tmp_path: Path) -> None:
    make(tmp_path, [State([A]), State([A], [Blocked("web", "c")])])
    for file in (tmp_path / "documents").glob("*.parquet"):
        file.write_bytes(bytes(file.stat().st_size))
    assert refused(tmp_path, 0) == set()


def test_a_release_whose_files_were_removed_is_refused(tmp_path: Path) -> None:
    make(tmp_path, [State([A, B]), State([B], [Blocked("web", "a")])])
    DeltaTable(tmp_path / "documents").vacuum(0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(MissingVersionError, match="its files were removed"):
        ArrowTables(str(tmp_path), 0).content("datasets/pivot")


def test_a_dataset_that_no_stage_makes_any_more_is_refused(tmp_path: Path) -> None:
    make(tmp_path, [State([A, B])])
    Warehouse(cast(Any, None), str(tmp_path)).commit_rows("datasets/random", [row("datasets/random", A)], MADE)
    assert ArrowTables(str(tmp_path)).rows("datasets/random", ["doc_id"], ds.scalar(True)) == [{"doc_id": "a"}]
    make(tmp_path, [State([B], [Blocked("web", "a")])])
    with pytest.raises(WarehouseError, match=f"{REFUSED}remove it"):
        ArrowTables(str(tmp_path)).content("datasets/random")


def test_nothing_is_read_before_the_block_list_was_applied(tmp_path: Path) -> None:
    make(tmp_path, [State([A, B])])
    rows = [Blocked("web", "a")._asdict()]
    Warehouse(cast(Any, None), str(tmp_path)).commit_rows(BLOCK_LIST, rows, MADE)
    for release in (0, None):
        with pytest.raises(WarehouseError, match="was not applied yet: run rebuild_corpus"):
            ArrowTables(str(tmp_path), release).content("documents")
    assert ArrowTables(str(tmp_path)).content("pivots")
