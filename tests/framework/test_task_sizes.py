"""How many tasks a stage gets, and how large the splits of what it reads are."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import counted
import pytest
from small_corpus import SmallCorpus, must_work, run_job

from pivot_udfs.tokenization.backends import TokenizerSpec

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.parametrize(
    ("is_local", "n_cores", "partitions", "wanted"),
    [(True, 2, 200, 4), (False, 2, 200, 200), (False, 2, 3, 4), (False, 1000, 200, 2000)],
)
def test_tasks_for(is_local: bool, n_cores: int, partitions: int, wanted: int) -> None:
    from jobs.framework.task_sizes import tasks_for

    assert tasks_for(is_local, n_cores, partitions) == wanted


@pytest.mark.spark
def test_large_splits_read_a_table_in_as_few_tasks_as_there_are_cores(spark: "SparkSession", tmp_path: Path) -> None:
    from jobs.framework.task_sizes import large_splits

    key = "spark.sql.files.maxPartitionBytes"
    spark.range(0, 10_000, 1, 20).write.parquet(str(tmp_path / "table"))
    spark.conf.set(key, "4000")
    try:
        n_small = spark.read.parquet(str(tmp_path / "table")).rdd.getNumPartitions()
        with large_splits(spark):
            n_large = spark.read.parquet(str(tmp_path / "table")).rdd.getNumPartitions()
        assert (n_small, n_large) == (20, 2)
        assert spark.conf.get(key) == "4000"
    finally:
        spark.conf.unset(key)


@pytest.mark.spark
@pytest.mark.timeout(900)
def test_many_splits_do_not_make_many_files_of_scores(
    spark: "SparkSession", corpus: SmallCorpus, tmp_path: Path
) -> None:
    from jobs import score_documents

    shutil.copytree(corpus.folder / "warehouse", tmp_path / "warehouse")
    spark.conf.set("spark.sql.files.maxPartitionBytes", "1000")
    try:
        documents = spark.read.format("delta").load(str(tmp_path / "warehouse" / "documents"))
        assert documents.rdd.getNumPartitions() > 10
        must_work(run_job(score_documents.main, corpus, f"warehouse.path={tmp_path}/warehouse"))
    finally:
        spark.conf.unset("spark.sql.files.maxPartitionBytes")
    assert len(spark.read.format("delta").load(str(tmp_path / "warehouse" / "document_scores")).inputFiles()) == 2


@pytest.mark.spark
@pytest.mark.parametrize("least", [7, 10**6])
def test_counts_are_summed_by_the_least_tasks_but_no_more_than_there_are_words(
    spark: "SparkSession", sample_tokenizer: TokenizerSpec, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs import count_cooccurrence

    plan = counted.plan_of(counted.sample_rows()[:20], sample_tokenizer, 50)
    monkeypatch.setattr(count_cooccurrence, "least_tasks", lambda session: least)
    parts = spark.range(3).selectExpr("1 kind", "0 row", "x'' columns", "x'' pair_counts", "x'' doc_counts")
    rows = count_cooccurrence.gathered(parts, len(plan.lexicon.words))
    assert rows.rdd.getNumPartitions() == min(least, len(plan.lexicon.words))
