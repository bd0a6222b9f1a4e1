"""Strata and predicates of arms are evaluated as Spark evaluates them, or reported as unknown."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from jobs.explaining.arm_decisions import decide_arms, evaluate, stratum_of
from jobs.warehouse.arrow_tables import ArrowTables
from pivot_udfs.arms import ARMS, DEFAULT_ARMS, PIVOT
from pivot_udfs.schemas import DATASET, SELECTION_CUTS
from pivot_udfs.settings import Selection

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.spark
@pytest.mark.timeout(900)
def test_strata_and_predicates_equal_those_of_spark(spark: "SparkSession") -> None:
    from pyspark.sql import functions as F

    from jobs.selection.budgets import source_in, stratum

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
        named = [source_in(arm, row["stratum"]) for row in found]
        assert named == [row["source"] if "source" in arm.stratum else None for row in rows]


@pytest.mark.parametrize(
    ("expression", "value"),
    [("lang || '-x'", "e'n-x"), ("n_tokens > 3", 1), ("xxhash64(lang)", None), ("no_column", None)],
)
def test_expressions_that_need_spark_have_no_value(expression: str, value: Any) -> None:
    found = evaluate([expression], {"lang": "e'n", "n_tokens": 7})
    assert found == (None if value is None else [value])


@pytest.mark.parametrize(
    ("density", "arms", "in_dataset", "taken"),
    [
        (0.25, DEFAULT_ARMS, True, True),
        (0.25, DEFAULT_ARMS, False, False),
        (0.25, ("random",), True, False),
        (0.26, ("random",), False, True),
        (0.24, ("random",), True, False),
    ],
)
def test_a_density_of_the_cut_is_decided_by_the_dataset(
    tmp_path: Path, density: float, arms: tuple[str, ...], in_dataset: bool, taken: bool
) -> None:
    """Whether the pivot arm takes the document, by which the condition of random excludes it."""
    place = {"shard": "a", "record": 3}
    cut = dict.fromkeys(SELECTION_CUTS.names) | {"arm": PIVOT, "stratum": "fr", "budget": 9, "value": 0.75, "tie": 1}
    write_deltalake(tmp_path / "selection_cuts", pa.Table.from_pylist([cut], SELECTION_CUTS))
    for arm in arms:
        rows = [place] if arm == PIVOT and in_dataset else []
        write_deltalake(tmp_path / "datasets" / arm, pa.Table.from_pylist(rows, pa.schema(map(DATASET.field, place))))
    scored = place | {"lang": "fr", "source": "s", "n_tokens": 9, "shrunken_density": density}
    decisions = decide_arms(ArrowTables(str(tmp_path)), scored, Selection(arms=list(arms)))
    reason = {decision.arm: decision.reason for decision in decisions}["random"]
    assert reason.startswith("it does not satisfy the condition" if taken else "the stratum has no budget")
