"""Shards in, the tables ``documents`` and ``quarantine`` out.

spark-submit jobs/tokenize_corpus.py --config conf/demo.toml [--set table.key=value] [--dry-run]
"""

import sys
from collections.abc import Sequence
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.command_line import run_job
from jobs.delta_tables import Recipe
from jobs.stage import Run, Stage
from pivot_udfs.errors import CorpusError
from pivot_udfs.read_shard import ReadLimits
from pivot_udfs.schemas import QUARANTINE
from pivot_udfs.tokenize_corpus import Tally, TallyMerge, TokenizePlan, pack_shards, quarantine_records, tokenize_corpus
from pivot_udfs.write_parquet import one_table

_TASKS_PER_CORE = 2


def run(run: Run, recipe: Recipe) -> None:
    """Writes ``documents`` and ``quarantine``, and makes sure that every record is in one of them."""
    nothing: Tally = {}
    tally = run.spark.sparkContext.accumulator(nothing, TallyMerge())  # type: ignore[arg-type]
    plan = plan_shards(run, [(shard.path, shard.n_bytes) for shard in run.shards])
    with run.progress.watch(run.spark, "tokenize_corpus", "documents", lambda: _known(tally.value, run)):
        step = partial(tokenize_corpus, plan=plan, tell=tally.add)
        to_table = partial(one_table, step=step, table="documents")
        run.warehouse.write_from_workers(task_numbers(run, plan), to_table, ["documents"], recipe)
    _write_quarantine(run, recipe, tally.value)
    _check_all_there(run, tally.value)


def plan_shards(run: Run, sizes: list[tuple[str, int]]) -> TokenizePlan:
    """Divides (path, bytes) of shards into tasks."""
    corpus = run.settings.corpus
    wanted = sum(n_bytes for _, n_bytes in sizes) // (corpus.shards_per_task_mb << 20) + 1
    n_tasks = max(wanted, _TASKS_PER_CORE * run.spark.sparkContext.defaultParallelism)
    limits = ReadLimits(corpus.max_document_bytes, corpus.max_record_bytes)
    return TokenizePlan(pack_shards(sizes, n_tasks), limits, run.tokenizer)


def task_numbers(run: Run, plan: TokenizePlan) -> DataFrame:
    """The numbers of the plan's tasks, one partition each."""
    n_tasks = len(plan.shards)
    return run.spark.range(0, n_tasks, 1, n_tasks)


def _write_quarantine(run: Run, recipe: Recipe, tally: Tally) -> None:
    """Reads the shards with rejected records once more, for their rows; none of them leave an empty table."""
    sizes = {shard.path: shard.n_bytes for shard in run.shards}
    rejecting = [(shard, sizes[shard]) for shard, (_, rejected, _) in sorted(tally.items()) if rejected]
    with run.progress.watch(run.spark, "tokenize_corpus", "quarantine"):
        if rejecting:
            plan = plan_shards(run, rejecting)
            step = partial(quarantine_records, plan=plan)
            rows = task_numbers(run, plan).mapInArrow(step, from_arrow_schema(QUARANTINE))
        else:
            rows = run.spark.createDataFrame([], from_arrow_schema(QUARANTINE))
        run.warehouse.write(rows, "quarantine", recipe)


def _check_all_there(run: Run, tally: Tally) -> None:
    told = tuple(sum(counts[k] for counts in tally.values()) for k in range(3))
    row = run.warehouse.read("documents").agg(F.count("*"), F.coalesce(F.sum("n_tokens"), F.lit(0))).collect()[0]
    written = (int(row[0]), run.warehouse.read("quarantine").count(), int(row[1]))
    if told != written:
        raise CorpusError(
            f"read {told[0]} documents, {told[1]} rejected records and {told[2]} tokens, but the tables hold "
            f"{written[0]}, {written[1]} and {written[2]}: the shards changed while they were read; run it again"
        )
    if not written[0]:
        raise CorpusError(
            f"none of {written[1]} records is a document; the table quarantine at "
            f"{run.warehouse.table_path('quarantine')} says why"
        )
    _warn_of_repeated_keys(run)
    run.progress.say(
        "tokenize_corpus",
        f"{len(tally):,} shards, {told[0] + told[1]:,} records = {told[0]:,} documents + {told[1]:,} in quarantine, "
        f"{told[2]:,} tokens",
    )


def _warn_of_repeated_keys(run: Run) -> None:
    """Where (source, doc_id) names several documents all are kept; shard and record tell them apart."""
    keys = run.warehouse.read("documents").groupBy("source", "doc_id").count().where("count > 1")
    n_keys, n_docs = keys.agg(F.count("*"), F.coalesce(F.sum("count"), F.lit(0))).collect()[0]
    if n_keys:
        run.progress.say(
            "tokenize_corpus",
            f"warning: {n_keys:,} keys (source, doc_id) have {n_docs:,} documents, all kept; is a shard there twice?",
        )


def _known(tally: Tally, run: Run) -> str:
    n_docs, n_tokens = (sum(counts[k] for counts in tally.values()) for k in (0, 2))
    rate = n_tokens / max(run.progress.stage_seconds(), 1e-9)
    return f"{len(tally):,} of {len(run.shards):,} shards, {n_docs:,} documents, {rate:,.0f} tokens/s"


STAGE = Stage(
    name="tokenize_corpus",
    reads=(),
    writes=lambda settings: ("documents", "quarantine"),
    sections=("corpus", "tokenizer"),
    files=("tokenizer", "shards"),
    run=run,
)


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    return run_job(STAGE.name, "Tokenizes shards into the tables documents and quarantine.", [STAGE], argv)


if __name__ == "__main__":
    sys.exit(main())
