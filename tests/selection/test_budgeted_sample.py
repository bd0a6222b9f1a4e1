"""Rows are taken within budgets as a plain sort takes them, however values fall into bins."""

import random
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]


@pytest.mark.parametrize(("n_bins", "sorted_rows"), [(1, 10**6), (7, 10**6), (4096, 10**6), (16, 3), (4096, 0)])
def test_take_equals_a_plain_sort(
    spark: "SparkSession", n_bins: int, sorted_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For any bins, divided again any number of times, with ties and rows of weight 0."""
    from pyspark.sql import functions as F

    from jobs.selection import budgeted_sample as take_within_budgets
    from jobs.selection.budgeted_sample import Draw, take

    monkeypatch.setattr(take_within_budgets, "_BINS", n_bins)
    monkeypatch.setattr(take_within_budgets, "_SORTED_ROWS", sorted_rows)
    sizes = watch_sorted_sizes(monkeypatch)
    rows = make_valued(random.Random(n_bins))  # noqa: S311 - a test's fixed draw
    budgets = {"a": 0, "b": 90, "c": 10**6}
    frame = spark.createDataFrame(
        rows, "source string, doc_id string, shard string, record long, kind string, v double, w long"
    )
    draws = [
        Draw("all_kinds", F.col("kind"), F.col("v"), F.col("w"), budgets, F.lit(True)),
        Draw("one_kind", F.lit("whole"), F.col("v"), F.col("w"), {"whole": 60}, F.col("kind") == "c"),
    ]
    frame, cuts = take(frame, draws)
    marked = frame.collect()
    assert sorted(tuple(row)[:-2] for row in marked) == sorted(rows)
    assert sorted(tuple(row)[:-2] for row in marked if row["all_kinds"]) == first_of_kinds(rows, budgets)
    assert sorted(tuple(row)[:-2] for row in marked if row["one_kind"]) == first_of_kinds(rows, {"c": 60})
    assert [cut[:3] for cut in cuts] == [*(("all_kinds", *item) for item in budgets.items()), ("one_kind", "whole", 60)]
    for (_, _, budget, value, *key, _), kinds in zip(cuts, ["a", "b", "c", "c"], strict=True):
        assert (value, *key) == first_left_out(rows, kinds, budget or 0)
    assert max(sizes) <= max(sorted_rows, MOST_TIES), "a bin was sorted that should have been cut again"


MOST_TIES = 12


def make_valued(draw: random.Random) -> list[tuple[Any, ...]]:
    """120 rows: key, kind, value, weight; at most MOST_TIES of a kind have one value, and half lie close together."""
    ties = [0.0, 0.25, 0.5, 1.0] * (MOST_TIES // 4)
    values = ties + [draw.random() for _ in range(60 - MOST_TIES)] + [0.3 + draw.random() / 10**6 for _ in range(60)]
    return [
        (f"s{k % 2}", f"{k}", f"f{k}", k, draw.choice("abc"), value, draw.choice([0, *range(1, 10)]))
        for k, value in enumerate(draw.sample(values, len(values)))
    ]


def watch_sorted_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Records the largest number of rows that each sort has in one stratum."""
    from jobs.selection import budgeted_sample as take_within_budgets

    sizes, really = [0], take_within_budgets._sorted_firsts

    def watched(inside: "DataFrame") -> dict[tuple[str, str], Any]:
        sizes.append(max(row["count"] for row in inside.groupBy("name", "stratum").count().collect()))
        return really(inside)

    monkeypatch.setattr(take_within_budgets, "_sorted_firsts", watched)
    return sizes


def first_of_kinds(rows: list[tuple[Any, ...]], budgets: dict[str, int]) -> list[tuple[Any, ...]]:
    """The first rows of each kind by value and key as long as their weights fit."""
    wanted = []
    for kind, budget in budgets.items():
        held = 0
        for row in sorted((row for row in rows if row[4] == kind), key=lambda row: (row[5], *row[:4])):
            held += row[6]
            wanted += [row] if held <= budget else []
    return sorted(wanted)


def first_left_out(rows: list[tuple[Any, ...]], kind: str, budget: int) -> tuple[Any, ...]:
    """Value and key of the first row of a kind that does not fit."""
    held = 0
    for row in sorted((row for row in rows if row[4] == kind), key=lambda row: (row[5], *row[:4])):
        held += row[6]
        if held > budget:
            return (row[5], *row[:4])
    return (None,) * 5
