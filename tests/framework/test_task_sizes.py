"""How many tasks a stage gets."""

from typing import TYPE_CHECKING

import counted
import pytest

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
