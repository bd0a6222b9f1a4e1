"""A rebuild registers its tables in Spark's catalog where it is asked to, and no other tables under their names."""

from typing import TYPE_CHECKING

import pytest
from small_corpus import SmallCorpus, must_work, rows_of, run

from pivot_udfs.schemas import STAGE_TABLES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]


def test_tables_are_found_by_name_after_a_rebuild(spark: "SparkSession", copied: SmallCorpus) -> None:
    asked = 'catalog.database="corpus"'
    try:
        must_work(run("rebuild_corpus", copied, asked))
        names = {row["tableName"] for row in spark.sql("SHOW TABLES IN corpus").collect()}
        assert names >= {*STAGE_TABLES, "releases", "datasets_pivot", "datasets_random"}
        assert spark.table("corpus.documents").count() == len(rows_of(copied, "documents"))
        spark.sql("DROP TABLE corpus.pivots")
        spark.sql("CREATE TABLE corpus.pivots (a INT) USING delta")
        code, _, errors = run("rebuild_corpus", copied, asked)
        assert code == 2
        assert "corpus.pivots is another table, at " in errors
        assert "drop it, or choose another catalog.database" in errors
    finally:
        spark.sql("DROP DATABASE IF EXISTS corpus CASCADE")
    assert rows_of(copied, "pivots")
