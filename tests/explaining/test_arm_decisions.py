"""Strata and predicates of arms are evaluated as Spark evaluates them, or reported as unknown."""

from typing import TYPE_CHECKING, Any

import pytest

from jobs.explaining.arm_decisions import evaluate, stratum_of
from pivot_udfs.arms import ARMS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.spark
@pytest.mark.timeout(900)
def test_strata_and_predicates_equal_those_of_spark(spark: "SparkSession") -> None:
    from pyspark.sql import functions as F

    from jobs.selection.budgets import stratum

    lengths = [*range(300), *(2**k + step for k in range(9, 40) for step in (-2, -1, 0))]
    kinds = [("en", "a/b", True, 0.0, 0.0, 0.29), ("mul", "", False, 1e-17, 0.1, 0.0)]
    kinds += [("mul", "c", True, -0.25, 0.0, 1.0), ("ja", "d", False, 1.0, 0.1, 0.07)]
    names = ("n_tokens", "lang", "source", "pivot", "half_balance", "foreign_share", "word_share")
    rows = [dict(zip(names, (n, *kind), strict=True)) for n in lengths for kind in kinds]
    columns = "n_tokens long, lang string, source string, pivot boolean, half_balance double, "
    columns += "foreign_share double, word_share double"
    frame = spark.createDataFrame([tuple(row.values()) for row in rows], columns)
    for arm in ARMS.values():
        predicate = arm.predicate(["mul", "de"], 7)
        found = frame.select(stratum(arm).alias("stratum"), F.expr(predicate).alias("taken")).collect()
        assert [stratum_of(arm, row) for row in rows] == [row["stratum"] for row in found]
        assert [evaluate([predicate], row) for row in rows] == [[int(row["taken"])] for row in found]


@pytest.mark.parametrize(
    ("expression", "value"),
    [("lang || '-x'", "e'n-x"), ("n_tokens > 3", 1), ("xxhash64(lang)", None), ("no_column", None)],
)
def test_expressions_that_need_spark_have_no_value(expression: str, value: Any) -> None:
    found = evaluate([expression], {"lang": "e'n", "n_tokens": 7})
    assert found == (None if value is None else [value])
