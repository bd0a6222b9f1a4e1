"""Documents and a lexicon in; the totals, ``word_cooccurrence`` and ``token_cooccurrence`` out.

    spark-submit jobs/count_cooccurrence.py --config conf/demo.toml [--set table.key=value] [--dry-run]

Workers add up in memory over blocks of documents; Spark shuffles and sorts packed rows of counts, a word's whole row
each; workers add those up and write the tables.

How it scales: a task reads up to 1 GB of stored documents and gives the cells that it found, about as many bytes as it
read, but fewer for each document the more of them share a block. They are summed by two tasks a core, on a cluster by
``spark.sql.shuffle.partitions`` tasks where those are more, and never by more than there are words, whose rows are not
divided: for terabytes set that key so that input bytes / partitions is a few GB; Spark sorts on disk what is larger.
"""

import sys
from collections.abc import Sequence
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage
from jobs.framework.task_sizes import large_splits, least_tasks
from pivot_udfs.count_cooccurrence import PARTIAL_ROWS, CountPlan, count_cooccurrence, window_in_tokens
from pivot_udfs.matching.lexicon import describe_missing
from pivot_udfs.provenance import Provenance
from pivot_udfs.storage.write_parquet import TableStep
from pivot_udfs.sum_counts import TABLE_OF, SumPlan, sum_counts
from pivot_udfs.tokenization.vocabulary import vocabulary


def run(run: Run, provenance: Provenance) -> None:
    """Counts all documents in one pass and writes the five tables."""
    documents = run.warehouse.read("documents")
    totals = documents.groupBy("lang").agg(F.count("*").alias("n_docs"), F.sum("n_tokens").alias("n_tokens"))
    with run.progress.watch(run.spark, "count_cooccurrence", "rows of counts"), large_splits(run.spark):
        rows = partial_rows(documents, plan_of(run))
        run.warehouse.write(rows, list(TABLE_OF.values()), provenance, sum_step(run))
        run.warehouse.write(totals, ["corpus_totals"], provenance)
    _warn_of_missing_words(run)


def _warn_of_missing_words(run: Run) -> None:
    """Misspelt cells of a lexicon show as words that are never found."""
    found = run.warehouse.read("word_totals").select("lang", "word").collect()
    if message := describe_missing(run.lexicon, ((row.lang, row.word) for row in found)):
        run.progress.say(STAGE.name, f"warning: {message}")


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


def partial_rows(documents: DataFrame, plan: CountPlan) -> DataFrame:
    """Rows of counts of a frame of documents (PARTIAL_ROWS), all parts of a row in one partition and in order."""
    parts = documents.select("lang", "text", "token_ids").mapInArrow(
        partial(count_cooccurrence, plan=plan), from_arrow_schema(PARTIAL_ROWS)
    )
    # An explicit number of tasks: adaptive execution would coalesce these few large rows into one.
    n_tasks = min(least_tasks(documents.sparkSession), len(plan.lexicon.words))
    return parts.repartition(n_tasks, "kind", "row").sortWithinPartitions("kind", "row")


def sum_step(run: Run) -> TableStep:
    """What makes the tables' rows of partial rows."""
    return partial(sum_counts, plan=SumPlan(run.lexicon, vocabulary(run.tokenizer).size))


STAGE = Stage(
    name="count_cooccurrence",
    version=2,
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
    packages=("regex", "sentencepiece", "tokenizers"),
    run=run,
)


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    return run_job(STAGE.name, "Counts words, tokens, word pairs and the contexts of words.", [STAGE], argv)


if __name__ == "__main__":
    sys.exit(main())
