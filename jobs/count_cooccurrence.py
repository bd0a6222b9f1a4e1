"""Documents and a lexicon in; the totals, ``word_cooccurrence`` and ``token_cooccurrence`` out.

    spark-submit jobs/count_cooccurrence.py --config conf/demo.toml [--set table.key=value] [--dry-run]

Workers add up in memory over blocks of documents; what Spark shuffles and sums are cells, keyed by one long.
"""

import sys
from collections.abc import Sequence
from functools import partial

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.command_line import run_job
from jobs.delta_tables import Recipe
from jobs.stage import Run, Stage
from pivot_udfs.count_cooccurrence import (
    CELLS,
    COLUMN_BITS,
    ROW_BITS,
    CountPlan,
    Kind,
    count_cooccurrence,
    window_in_tokens,
)


def run(run: Run, recipe: Recipe) -> None:
    """Counts all documents in one pass and writes the five tables."""
    documents = run.warehouse.read("documents", recipe.inputs["documents"])
    cells = count_cells(documents, plan_of(run)).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        with run.progress.watch(run.spark, "count_cooccurrence", "cells"):
            for table, frame in tables_of(run, cells, documents).items():
                run.warehouse.write(frame, table, recipe)
    finally:
        cells.unpersist()


def plan_of(run: Run) -> CountPlan:
    """What the workers need, from the settings."""
    counting = run.settings.cooccurrence
    return CountPlan(
        lexicon=run.lexicon,
        tokenizer=run.tokenizer,
        window=window_in_tokens(counting.window),
        shared_surfaces=run.settings.lexicon.shared_surfaces,
        memory_budget_mb=counting.memory_budget_mb,
    )


def count_cells(documents: DataFrame, plan: CountPlan) -> DataFrame:
    """All cells of a frame of documents, each once: cell, pair_count, doc_count (all long)."""
    partial_counts = documents.select("lang", "text", "token_ids").mapInArrow(
        partial(count_cooccurrence, plan=plan), from_arrow_schema(CELLS)
    )
    return partial_counts.groupBy("cell").agg(
        F.sum("pair_count").alias("pair_count"), F.sum("doc_count").alias("doc_count")
    )


def tables_of(run: Run, cells: DataFrame, documents: DataFrame) -> dict[str, DataFrame]:
    """The five tables from the cells of documents and the documents themselves."""
    words = run.spark.createDataFrame(
        [(index, language, word) for index, (language, word) in enumerate(run.lexicon.words)],
        "row long, lang string, word string",
    )
    first = F.broadcast(words)
    second = F.broadcast(words.toDF("column", "lang_b", "word_b"))
    counts = ("pair_count", "doc_count")
    of_words = (
        _of_kind(cells, Kind.WORD_COOCCURRENCE)
        .join(first, on="row", how="inner")
        .join(second, on="column", how="inner")
    )
    totals = documents.groupBy("lang").agg(F.count("*").alias("n_docs"), F.sum("n_tokens").alias("n_tokens"))
    token = F.col("column").cast("int").alias("token_id")
    count = F.col("pair_count").alias("count")
    return {
        "token_cooccurrence": _of_kind(cells, Kind.TOKEN_COOCCURRENCE)
        .join(first, on="row", how="inner")
        .select("lang", "word", token, *counts),
        "word_cooccurrence": of_words.select(
            F.col("lang").alias("lang_a"), F.col("word").alias("word_a"), "lang_b", "word_b", *counts
        ),
        "word_totals": _of_kind(cells, Kind.WORD_TOTALS)
        .join(first, on="row", how="inner")
        .select("lang", "word", count, "doc_count"),
        "token_totals": _of_kind(cells, Kind.TOKEN_TOTALS).select(token, count, "doc_count"),
        "corpus_totals": totals,
    }


def _of_kind(cells: DataFrame, kind: Kind) -> DataFrame:
    cell = F.col("cell")
    low = int(kind) << (ROW_BITS + COLUMN_BITS)
    high = (int(kind) + 1) << (ROW_BITS + COLUMN_BITS)
    return cells.where((cell >= low) & (cell < high)).select(
        _row(cell).alias("row"), cell.bitwiseAND((1 << COLUMN_BITS) - 1).alias("column"), "pair_count", "doc_count"
    )


def _row(cell: Column) -> Column:
    return F.shiftright(cell, COLUMN_BITS).bitwiseAND((1 << ROW_BITS) - 1)


STAGE = Stage(
    name="count_cooccurrence",
    reads=("documents",),
    writes=lambda settings: (
        "corpus_totals",
        "token_totals",
        "word_totals",
        "word_cooccurrence",
        "token_cooccurrence",
    ),
    sections=("lexicon", "cooccurrence"),
    files=("tokenizer", "lexicon"),
    run=run,
)


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    return run_job(STAGE.name, "Counts words, tokens, word pairs and the contexts of words.", [STAGE], argv)


if __name__ == "__main__":
    sys.exit(main())
