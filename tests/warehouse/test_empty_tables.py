"""A table that stays empty is a table of every run that wrote it."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.warehouse.tables import Recipe, Warehouse
from pivot_udfs.schemas import QUARANTINE

pytestmark = pytest.mark.spark


def test_an_empty_table_written_again_has_the_newer_recipe(spark: SparkSession, tmp_path: Path) -> None:
    nothing = spark.createDataFrame([], from_arrow_schema(QUARANTINE))
    for fingerprint in ("first", "second"):
        recipe = Recipe("tokenize_corpus", "", fingerprint, {}, {}, {})
        Warehouse(spark, str(tmp_path)).write(nothing, "quarantine", recipe)
        found = Warehouse(spark, str(tmp_path)).recipe("quarantine")
        assert found is not None
        assert found.fingerprint == fingerprint
