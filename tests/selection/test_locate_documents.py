"""Workers read the chosen documents from the files of any writer; the arms equal those of a plain join."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from small_corpus import SmallCorpus, must_work, run_job

from pivot_udfs.arms import ARMS
from pivot_udfs.storage.stores import resolve

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FILES = pa.schema([("file", pa.string()), ("shard", pa.string()), ("first", pa.int64()), ("last", pa.int64())])


@pytest.mark.parametrize(
    ("rows", "apart"),
    [
        ([], True),
        ([("a", "s", 0, 9), ("b", "s", 10, 10), ("b", "t", 0, 99), ("c", "s", 11, 11)], True),
        ([("a", "s", 0, 9), ("b", "s", 9, 12)], False),
        ([("a", "s", 0, 9), ("c", "t", 0, 1), ("b", "s", 3, 4)], False),
    ],
)
def test_files_with_overlapping_record_ranges_are_detected(rows: list[tuple[Any, ...]], apart: bool) -> None:
    from jobs.selection.locate_documents import are_apart

    assert are_apart(pa.Table.from_pylist([dict(zip(FILES.names, row, strict=True)) for row in rows], FILES)) == apart


@pytest.mark.spark
def test_each_key_goes_to_the_task_of_its_file(spark: "SparkSession") -> None:
    """No file is read by two tasks, a task reads its files one after the other, and no key is lost."""
    from pyspark.sql import functions as F

    from jobs.selection.locate_documents import with_files

    records = [{"file": f"f{k % 7}", "n_bytes": 10, "shard": f"s{k}", "first": 5, "last": 7} for k in range(21)]
    keys = [(f"s{k}", record) for k in range(22) for record in (4, 5, 7)]
    frame = spark.createDataFrame(keys, "shard string, record long").repartition(5)
    placed = with_files(frame, pa.Table.from_pylist(records)).withColumn("task", F.spark_partition_id())
    rows = placed.collect()
    assert sorted((row["shard"], row["record"]) for row in rows) == sorted(keys)
    for row in rows:
        known = row["shard"] != "s21" and row["record"] != 4
        assert row["file"] == (f"f{int(row['shard'][1:]) % 7}" if known else "")
    by_task: dict[int, list[str]] = {}
    for row in rows:
        by_task.setdefault(row["task"], []).append(row["file"])
    assert len(by_task) == 4
    assert all(files == sorted(files) for files in by_task.values())
    placed_files = [file for files in by_task.values() for file in set(files) if file]
    assert len(placed_files) == 7


@pytest.fixture
def copy(corpus: SmallCorpus, tmp_path: Path) -> Path:
    """A copy of the rebuilt corpus's warehouse."""
    shutil.copytree(corpus.folder / "warehouse", tmp_path / "warehouse")
    return tmp_path / "warehouse"


def arms_of(spark: "SparkSession", warehouse: Path) -> dict[str, list[Any]]:
    tables = {arm: spark.read.format("delta").load(str(warehouse / "datasets" / arm)) for arm in ARMS}
    return {arm: sorted(table.collect(), key=repr) for arm, table in tables.items()}


def filter_again(corpus: SmallCorpus, warehouse: Path, *overrides: str) -> str:
    from jobs import filter_documents

    return must_work(run_job(filter_documents.main, corpus, f"warehouse.path={warehouse}", *overrides))


@pytest.mark.spark
@pytest.mark.timeout(900)
def test_compacted_files_and_a_plain_join_give_the_same_arms(
    spark: "SparkSession", corpus: SmallCorpus, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from delta.tables import DeltaTable

    from jobs import filter_documents

    wanted = arms_of(spark, copy)
    assert all(wanted.values())
    DeltaTable.forPath(spark, str(copy / "documents")).optimize().executeCompaction()
    monkeypatch.setattr(filter_documents, "split_into_arms", None)  # files are read, nothing is joined
    filter_again(corpus, copy)
    assert arms_of(spark, copy) == wanted
    monkeypatch.undo()
    monkeypatch.setattr(filter_documents, "copy_chosen", None)
    monkeypatch.setattr(filter_documents, "are_plain_files", lambda _: False)
    filter_again(corpus, copy)
    assert arms_of(spark, copy) == wanted


@pytest.mark.spark
def test_files_with_deletion_vectors_are_not_read_directly(spark: "SparkSession", copy: Path) -> None:
    from jobs.selection.locate_documents import are_plain_files

    path = str(copy / "documents")
    assert are_plain_files(resolve(path))
    spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    assert not are_plain_files(resolve(path))
