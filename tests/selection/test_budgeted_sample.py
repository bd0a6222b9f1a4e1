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
    """For any bins, divided again any number of times, with ties, rows of one place, and rows of weight 0."""
    from pyspark.sql import functions as F

    from jobs.selection import budgeted_sample as take_within_budgets
    from jobs.selection.budgeted_sample import Draw, take

    monkeypatch.setattr(take_within_budgets, "_BINS", n_bins)
    monkeypatch.setattr(take_within_budgets, "_SORTED_ROWS", sorted_rows)
    sizes = watch_sorted_sizes(monkeypatch)
    rows = make_valued(random.Random(n_bins))  # noqa: S311 - a test's fixed draw
    budgets = {"a": 0, "b": 90, "c": 10**6}
    frame = spark.createDataFrame(rows, "record long, kind string, v double, t long, w long")
    place = F.col("v"), F.col("t"), F.col("w")
    draws = [
        Draw("all_kinds", F.col("kind"), *place, budgets, F.lit(True)),
        Draw("one_kind", F.lit("whole"), *place, {"whole": 60}, F.col("kind") == "c"),
    ]
    frame, cuts = take(frame, draws)
    marked = frame.collect()
    assert sorted(tuple(row)[:-2] for row in marked) == sorted(rows)
    assert sorted(tuple(row)[:-2] for row in marked if row["all_kinds"]) == first_of_kinds(rows, budgets)
    assert sorted(tuple(row)[:-2] for row in marked if row["one_kind"]) == first_of_kinds(rows, {"c": 60})
    assert [cut[:3] for cut in cuts] == [*(("all_kinds", *item) for item in budgets.items()), ("one_kind", "whole", 60)]
    for cut, kinds in zip(cuts, ["a", "b", "c", "c"], strict=True):
        assert (cut.value, cut.tie) == first_left_out(rows, kinds, cut.budget or 0)
    assert max(sizes) <= max(sorted_rows, MOST_TIES), "a bin was sorted that should have been cut again"


MOST_TIES = 12


def make_valued(draw: random.Random) -> list[tuple[Any, ...]]:
    """120 rows: record, kind, value, tie, weight; two of each kind, value and tie, at most MOST_TIES of one value.

    Half of the values lie close together.
    """
    values = [value for value in (0.0, 0.25, 0.5, 1.0) for _ in range(MOST_TIES // 2)]
    values += [draw.random() for _ in range(6)] + [0.3 + draw.random() / 10**6 for _ in range(30)]
    ties = [-(2**63), -3, 0, 2, 2**63 - 1]
    places = [(draw.choice("abc"), value, draw.choice(ties)) for value in values]
    return [(k, *place, draw.choice([0, *range(1, 10)])) for k, place in enumerate(draw.sample(places, 60) * 2)]


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
    """The first rows of each kind by value and tie as long as their weights fit, with all that have the same place."""
    ends = {kind: first_left_out(rows, kind, budget) for kind, budget in budgets.items()}
    return sorted(row for row in rows if (end := ends.get(row[1])) and (end == (None, None) or row[2:4] < end))


def first_left_out(rows: list[tuple[Any, ...]], kind: str, budget: int) -> tuple[Any, ...]:
    """Value and tie of the first rows of a kind that do not fit."""
    held = 0
    for row in sorted((row for row in rows if row[1] == kind), key=lambda row: row[2:4]):
        held += row[4]
        if held > budget:
            return row[2:4]
    return (None, None)
