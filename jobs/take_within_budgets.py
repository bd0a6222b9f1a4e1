"""Rows in order of a value, stratum by stratum, while their weights fit a budget: exactly, and without a global sort.

Rows fall into bins of their value; sums over the bins show in which one a budget ends. Only that bin's rows are
ordered, and the last one that fits is the cut. Whether a row is taken then follows from its own columns and its
stratum's cut: the driver sees a row a stratum, nothing else is shuffled, and all draws share the same two passes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

KEY = ("source", "doc_id", "shard", "record")
_BINS = 4096
_LAST = pa.struct({"value": pa.float64(), **dict.fromkeys(KEY[:3], pa.string()), "record": pa.int64()})
_BUDGET = pa.schema({"name": pa.string(), "stratum": pa.string(), "budget": pa.int64()})
_CUT = pa.schema({"stratum": pa.string(), "edge": pa.int64(), "last": _LAST})
_LIMIT = pa.schema({"name": pa.string(), "stratum": pa.string(), "bin": pa.int64(), "left": pa.int64()})


@dataclass(frozen=True)
class Draw:
    """What to take under a name; rows of strata without a budget are not taken."""

    name: str
    stratum: Column
    """string"""
    value: Column
    """double in [0, 1]; lower comes first, ties are broken by the key."""
    weight: Column
    """bigint, 0 or more"""
    budgets: Mapping[str, int]
    """Largest sum of weights by stratum."""
    among: Column | None = None
    """Rows that may be taken; None for all."""


@dataclass(frozen=True)
class _Edge:
    bin: int
    left: int
    """What is left of the budget where the bin begins."""


def take(frame: DataFrame, draws: Sequence[Draw]) -> DataFrame:
    """Marks the rows that each draw takes.

    Args:
        frame: has the columns in KEY and those the draws speak of.
        draws: with names that are no columns yet.

    Returns:
        the frame with a boolean column for each draw, by its name.
    """
    offers = frame.select(*KEY, F.explode(F.array_compact(F.array(*map(_offer, draws)))).alias("offer"))
    offers = offers.select(*KEY, "offer.*").withColumn("bin", _bin(F.col("value")))
    edges = _edges(offers, draws)
    lasts = _last_rows(offers, edges)
    for draw in draws:
        cuts = [(key[1], edge.bin, lasts.get(key)) for key, edge in edges.items() if key[0] == draw.name]
        frame = _marked(frame, draw, cuts)
    return frame


def _offer(draw: Draw) -> Column:
    offer = F.struct(
        F.lit(draw.name).alias("name"),
        draw.stratum.alias("stratum"),
        draw.value.alias("value"),
        draw.weight.cast("bigint").alias("weight"),
    )
    return offer if draw.among is None else F.when(draw.among, offer)


def _bin(value: Column) -> Column:
    return F.floor(value * _BINS)


def _edges(offers: DataFrame, draws: Sequence[Draw]) -> dict[tuple[str, str], _Edge]:
    """For each draw's stratum the bin that does not fit whole; one beyond all where all rows fit."""
    rows = [(draw.name, stratum, budget) for draw in draws for stratum, budget in draw.budgets.items()]
    budgets = local_frame(offers.sparkSession, rows, _BUDGET)
    sums = offers.groupBy("name", "stratum", "bin").agg(F.sum("weight").alias("weight"))
    earlier = Window.partitionBy("name", "stratum").orderBy("bin").rowsBetween(Window.unboundedPreceding, -1)
    bins = sums.withColumn("before", F.coalesce(F.sum("weight").over(earlier), F.lit(0)))
    left = F.col("budget") - F.col("before")
    closed = bins.join(F.broadcast(budgets), on=["name", "stratum"], how="inner").withColumn("left", left)
    closed = closed.where((F.col("left") <= 0) | (F.col("weight") > F.col("left")))
    first = closed.groupBy("name", "stratum").agg(F.min(F.struct("bin", "left")).alias("edge")).collect()
    whole = {(name, stratum): _Edge(_BINS + 1, 0) for name, stratum, _ in rows}
    return whole | {(row["name"], row["stratum"]): _Edge(*row["edge"]) for row in first}


def _last_rows(offers: DataFrame, edges: Mapping[tuple[str, str], _Edge]) -> dict[tuple[str, str], Any]:
    """The last row of each edge's bin that fits, its value and KEY; none where not even the first does."""
    open_edges = [(*key, edge.bin, edge.left) for key, edge in edges.items() if edge.left > 0]
    if not open_edges:
        return {}
    limits = local_frame(offers.sparkSession, open_edges, _LIMIT)
    at_edge = offers.join(F.broadcast(limits), on=["name", "stratum", "bin"], how="inner")
    upto = Window.partitionBy("name", "stratum").orderBy("value", *KEY)
    upto = upto.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    fitting = at_edge.withColumn("upto", F.sum("weight").over(upto)).where(F.col("upto") <= F.col("left"))
    lasts = fitting.groupBy("name", "stratum").agg(F.max(F.struct("value", *KEY)).alias("last")).collect()
    return {(row["name"], row["stratum"]): row["last"].asDict() for row in lasts}


def _marked(frame: DataFrame, draw: Draw, cuts: list[tuple[str, int, Any]]) -> DataFrame:
    names = frame.columns
    cut = local_frame(frame.sparkSession, cuts, _CUT).select(F.struct("*").alias("_cut"))
    joined = frame.join(F.broadcast(cut), on=draw.stratum == F.col("_cut.stratum"), how="left")
    last = F.col("_cut.last")
    in_bin = last.isNotNull() & (F.struct(draw.value.alias("value"), *KEY) <= last)
    taken = (_bin(draw.value) < F.col("_cut.edge")) | in_bin
    taken = taken if draw.among is None else draw.among & taken
    return joined.select(*names, F.coalesce(taken, F.lit(False)).alias(draw.name))


def local_frame(session: SparkSession, rows: Sequence[Sequence[Any]], schema: pa.Schema) -> DataFrame:
    """A small frame from rows on the driver; through Arrow, Spark keeps it in the plan and runs no job for it."""
    columns = zip(*rows, strict=True) if rows else [[] for _ in schema]
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)]
    return session.createDataFrame(pa.Table.from_arrays(arrays, schema=schema))
