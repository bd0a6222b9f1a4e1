"""Workers read the chosen documents from the files of any writer."""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from small_corpus import SmallCorpus, must_work, rows_of, run

from pivot_udfs.arms import ARMS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


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


def arms_of(corpus: SmallCorpus) -> dict[str, list[Any]]:
    return {arm: sorted(rows_of(corpus, f"datasets/{arm}"), key=repr) for arm in ARMS}


def are_apart(spark: "SparkSession", documents: Path) -> bool:
    """Whether the record ranges of a shard do not overlap between files."""
    from jobs.selection.locate_documents import files_of

    sizes = {Path(uri).name: 1 for uri in DeltaTable(documents).file_uris()}
    places = files_of(spark, f"file:{documents}", sizes).to_pylist()
    rows = sorted((row["shard"], row["first"], row["last"]) for row in places)
    return all(a[0] != b[0] or a[2] < b[1] for a, b in pairwise(rows))


@pytest.mark.spark
def test_a_key_goes_to_each_file_that_may_hold_its_document(spark: "SparkSession") -> None:
    from jobs.selection.locate_documents import with_files

    ranges = [("a", 0, 9), ("b", 5, 12), ("c", 13, 13)]
    records = [{"file": f, "n_bytes": 10, "shard": "s", "first": first, "last": last} for f, first, last in ranges]
    frame = spark.createDataFrame([("s", record) for record in (3, 7, 13)], "shard string, record long")
    rows = with_files(frame, pa.Table.from_pylist(records)).collect()
    assert sorted((row["record"], row["file"]) for row in rows) == [(3, "a"), (7, "a"), (7, "b"), (13, "c")]


@pytest.mark.spark
@pytest.mark.timeout(900)
def test_compacted_and_intertwined_files_give_the_same_arms(spark: "SparkSession", copied: SmallCorpus) -> None:
    from delta.tables import DeltaTable as SparkTable

    wanted = arms_of(copied)
    assert all(wanted.values())
    documents = SparkTable.forPath(spark, str(copied.warehouse / "documents"))
    documents.optimize().executeCompaction()
    must_work(run("filter_documents", copied))
    assert arms_of(copied) == wanted
    spark.conf.set("spark.databricks.delta.optimize.maxFileSize", "50000")
    try:
        documents.optimize().executeZOrderBy("doc_id")
    finally:
        spark.conf.unset("spark.databricks.delta.optimize.maxFileSize")
    assert not are_apart(spark, copied.warehouse / "documents")
    must_work(run("filter_documents", copied))
    assert arms_of(copied) == wanted


@pytest.mark.spark
@pytest.mark.timeout(900)
def test_documents_deleted_by_deletion_vectors_are_restored(spark: "SparkSession", copied: SmallCorpus) -> None:
    path, wanted = str(copied.warehouse / "documents"), arms_of(copied)
    spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    lost = wanted["pivot"][0]
    spark.sql(f"DELETE FROM delta.`{path}` WHERE shard = '{lost['shard']}' AND record = {lost['record']}")  # noqa: S608
    code, _, errors = run("count_cooccurrence", copied)
    assert (code, "run tokenize_corpus again" in errors) == (2, True), errors
    assert "they are restored" in must_work(run("rebuild_corpus", copied))
    must_work(run("filter_documents", copied))
    assert arms_of(copied) == wanted
