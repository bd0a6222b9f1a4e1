"""Takes rows in order of a value, stratum by stratum, while their weights fit a budget: exactly, without a global sort.

Rows fall into bins of their value; sums over the bins show in which bin a budget ends. While many rows lie in that bin
it is divided into bins again, so that no task sorts more than ``_SORTED_ROWS`` rows of a stratum, except rows of equal
value. The rows of the last bin are sorted by value and tie; rows in which both are equal are taken together or not at
all, and the first ones that do not fit are the cut. Whether a row is taken then follows from its own columns and its
stratum's cut. The driver receives one row for each stratum. All draws share their passes: two where bins are small, one
more each time that they are divided again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Row, SparkSession, Window
from pyspark.sql import functions as F

from pivot_udfs.storage.typed_columns import schema_of

_BINS = 4096
_FINEST = 1 << 48
"""The largest number of bins in [0, 1) that doubles can distinguish everywhere."""
_SORTED_ROWS = 1_000_000
_PLACE = schema_of({"value": pa.float64(), "tie": pa.int64()})
_BUDGET = schema_of({"name": pa.string(), "stratum": pa.string(), "left": pa.int64()})
_CUT = schema_of({"stratum": pa.string(), "first": pa.struct(_PLACE)})
_EDGE = schema_of({"name": pa.string(), "stratum": pa.string(), "bin": pa.int64(), "left": pa.int64()})


@dataclass(frozen=True)
class Draw:
    """What to take under a name; rows in strata without a budget are not taken."""

    name: str
    stratum: Column
    """string"""
    value: Column
    """double in [0, 1]; lower comes first."""
    tie: Column
    """bigint; of equal values the lower comes first."""
    weight: Column
    """bigint, 0 or more"""
    budgets: Mapping[str, int]
    """Largest sum of weights by stratum, 0 or more."""
    among: Column
    """boolean: the rows that may be taken."""


class Cut(NamedTuple):
    """Where a draw ends in a stratum: the columns of ``selection_cuts``."""

    arm: str
    """The name of the draw."""
    stratum: str
    budget: int | None = None
    """In the unit of the weights; None: without a budget, all rows up to ``value`` are taken."""
    value: float | None = None
    """Of the first rows that are not taken; None, like ``tie``, where the stratum fits entirely."""
    tie: int | None = None
    """Of the same rows; None also without a budget."""
    n_candidates: int | None = None
    """Rows of the stratum that the draw may take; None where they are not counted."""

    @property
    def first(self) -> dict[str, Any] | None:
        """Value and tie of the first rows that are not taken; None where all rows that may be taken are."""
        return None if self.tie is None else {"value": self.value, "tie": self.tie}


def take(frame: DataFrame, draws: Sequence[Draw]) -> tuple[DataFrame, list[Cut]]:
    """Cuts each draw where its budgets end, and marks the rows that it takes.

    Returns the frame with a boolean column for each draw, by its name, and one cut for each stratum with a budget.
    """
    firsts = _first_left_out(_offers(frame, draws), draws)
    cuts = [
        Cut(draw.name, stratum, budget, **firsts.get((draw.name, stratum), {}))
        for draw in draws
        for stratum, budget in draw.budgets.items()
    ]
    return mark(frame, draws, cuts), cuts


def mark(frame: DataFrame, draws: Sequence[Draw], cuts: Sequence[Cut]) -> DataFrame:
    """Adds a boolean column for each draw, by its name: the rows that it takes, by each row and these cuts alone.

    Rows in strata without a cut, or with a budget of 0 and no tie, are not taken.
    """
    for draw in draws:
        of_draw = [cut for cut in cuts if cut.arm == draw.name and (cut.budget != 0 or cut.first)]
        frame = _marked(frame, draw, [(cut.stratum, cut.first) for cut in of_draw])
    return frame


def _offers(frame: DataFrame, draws: Sequence[Draw]) -> DataFrame:
    offers = frame.select(F.explode(F.array(*map(_offer, draws))).alias("offer"))
    return offers.where(F.col("offer").isNotNull()).select("offer.*")


def _offer(draw: Draw) -> Column:
    offer = F.struct(
        F.lit(draw.name).alias("name"),
        draw.stratum.alias("stratum"),
        draw.value.alias("value"),
        draw.tie.alias("tie"),
        draw.weight.cast("bigint").alias("weight"),
    )
    return F.when(draw.among, offer)


def _first_left_out(offers: DataFrame, draws: Sequence[Draw]) -> dict[tuple[str, str], Any]:
    """Value and tie of the first rows that do not fit, by (name, stratum); strata that fit entirely are absent."""
    rows = [(draw.name, stratum, budget) for draw in draws for stratum, budget in draw.budgets.items()]
    inside = offers.join(F.broadcast(local_frame(offers.sparkSession, rows, _BUDGET)), on=["name", "stratum"])
    firsts: dict[tuple[str, str], Any] = {}
    n_bins = _BINS
    while edges := _edges(inside, n_bins):
        most_rows = _SORTED_ROWS if n_bins * _BINS <= _FINEST else math.inf
        small = [edge for edge in edges if edge["n_rows"] <= most_rows]
        large = [edge for edge in edges if edge["n_rows"] > most_rows]
        firsts |= _sorted_firsts(_within(inside, small, n_bins)) if small else {}
        if not large:
            break
        inside, n_bins = _within(inside, large, n_bins), n_bins * _BINS
    return firsts


def _bin(n_bins: int) -> Column:
    return F.floor(F.col("value") * n_bins)


def _edges(inside: DataFrame, n_bins: int) -> list[Row]:
    """The bin, of ``n_bins`` in [0, 1), where a budget ends: name, stratum, bin, left, n_rows; no strata that fit."""
    sums = F.sum("weight").alias("weight"), F.count("*").alias("n_rows")
    bins = inside.groupBy("name", "stratum", "left", _bin(n_bins).alias("bin")).agg(*sums)
    earlier = Window.partitionBy("name", "stratum").orderBy("bin").rowsBetween(Window.unboundedPreceding, -1)
    left = F.col("left") - F.coalesce(F.sum("weight").over(earlier), F.lit(0))
    closed = bins.withColumn("left", left).where(F.col("weight") > F.col("left"))
    first = closed.groupBy("name", "stratum").agg(F.min(F.struct("bin", "left", "n_rows")).alias("edge"))
    return first.select("name", "stratum", "edge.*").collect()


def _within(inside: DataFrame, edges: Sequence[Row], n_bins: int) -> DataFrame:
    """The offers in the bins of ``edges``, with what is left of the budget before them."""
    limits = local_frame(inside.sparkSession, [edge[:4] for edge in edges], _EDGE)
    binned = inside.drop("left").withColumn("bin", _bin(n_bins))
    return binned.join(F.broadcast(limits), on=["name", "stratum", "bin"]).drop("bin")


def _sorted_firsts(inside: DataFrame) -> dict[tuple[str, str], Any]:
    """The first rows of each stratum that do not fit; one task sorts the rows of a stratum."""
    upto = Window.partitionBy("name", "stratum").orderBy(*_PLACE.names)
    upto = upto.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    beyond = inside.withColumn("upto", F.sum("weight").over(upto)).where(F.col("upto") > F.col("left"))
    firsts = beyond.groupBy("name", "stratum").agg(F.min(F.struct(*_PLACE.names)).alias("first")).collect()
    return {(row["name"], row["stratum"]): row["first"].asDict() for row in firsts}


def _marked(frame: DataFrame, draw: Draw, cuts: list[tuple[str, Any]]) -> DataFrame:
    names = frame.columns
    cut = local_frame(frame.sparkSession, cuts, _CUT).select(F.struct("*").alias("_cut"))
    joined = frame.join(F.broadcast(cut), on=draw.stratum == F.col("_cut.stratum"), how="left")
    first = F.col("_cut.first")
    whole = F.col("_cut").isNotNull() & first.isNull()
    taken = whole | (F.struct(draw.value.alias("value"), draw.tie.alias("tie")) < first)
    return joined.select(*names, F.coalesce(draw.among & taken, F.lit(False)).alias(draw.name))


def local_frame(session: SparkSession, rows: Sequence[Sequence[Any]], schema: pa.Schema) -> DataFrame:
    """A small frame from rows on the driver; made from Arrow, it stays in the plan and needs no job."""
    columns = zip(*rows, strict=True) if rows else [[] for _ in schema]
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)]
    return session.createDataFrame(pa.Table.from_arrays(arrays, schema=schema))
