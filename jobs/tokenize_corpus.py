"""Shards in, the tables ``documents`` and ``quarantine`` out.

spark-submit jobs/tokenize_corpus.py --config conf/demo.toml [--set table.key=value] [--dry-run]
"""

import math
import sys
from collections.abc import Sequence
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage
from jobs.warehouse.lineage import Recipe
from pivot_udfs.errors import CorpusError
from pivot_udfs.schemas import QUARANTINE
from pivot_udfs.shards.assign_files import pack_files
from pivot_udfs.shards.read_shard import ReadLimits
from pivot_udfs.storage.write_parquet import one_table
from pivot_udfs.tokenize_corpus import Tally, TallyMerge, TokenizePlan, quarantine_records, tokenize_corpus

_TASKS_PER_CORE = 2


def run(run: Run, recipe: Recipe) -> None:
    """Writes ``documents`` and ``quarantine``; ``documents`` counts as written once every record is in one of them."""
    nothing: Tally = {}
    tally = run.spark.sparkContext.accumulator(nothing, TallyMerge())  # type: ignore[arg-type]
    plan = plan_shards(run, [(shard.path, shard.n_bytes) for shard in run.shards])

    def check(n_rows: dict[str, int]) -> None:
        n_rejected = _write_quarantine(run, recipe, tally.value)
        check_all_there(tally.value, n_rows["documents"], n_rejected, run.warehouse.table_path("quarantine"))

    def known() -> str:
        return told_so_far(tally.value, len(run.shards), run.progress.stage_seconds())

    with run.progress.watch(run.spark, "tokenize_corpus", "documents, quarantine", known):
        step = partial(tokenize_corpus, plan=plan, tell=tally.add)
        to_table = partial(one_table, step=step, table="documents")
        run.warehouse.write_from_workers(task_numbers(run, plan), to_table, ["documents"], recipe, check)
    _say_what_was_read(run, tally.value)
    _warn_of_repeated_keys(run)


def plan_shards(run: Run, sizes: list[tuple[str, int]]) -> TokenizePlan:
    """Divides (path, bytes) of shards into tasks: where there are shards enough, as many for each core."""
    corpus, n_cores = run.settings.corpus, run.spark.sparkContext.defaultParallelism
    wanted = sum(n_bytes for _, n_bytes in sizes) / (corpus.shards_per_task_mb << 20)
    n_tasks = max(_TASKS_PER_CORE, math.ceil(wanted / n_cores)) * n_cores
    limits = ReadLimits(corpus.max_document_bytes, corpus.max_record_bytes)
    return TokenizePlan(pack_files(sizes, n_tasks), limits, run.tokenizer)


def task_numbers(run: Run, plan: TokenizePlan) -> DataFrame:
    """The numbers of the plan's tasks, one partition each."""
    n_tasks = len(plan.shards)
    return run.spark.range(0, n_tasks, 1, n_tasks)


def _write_quarantine(run: Run, recipe: Recipe, tally: Tally) -> int:
    """Reads the shards with rejected records once more, for their rows, and returns the number of rows."""
    sizes = {shard.path: shard.n_bytes for shard in run.shards}
    rejecting = [(shard, sizes[shard]) for shard, (_, rejected, _) in sorted(tally.items()) if rejected]
    if rejecting:
        plan = plan_shards(run, rejecting)
        step = partial(quarantine_records, plan=plan)
        rows = task_numbers(run, plan).mapInArrow(step, from_arrow_schema(QUARANTINE))
    else:
        rows = run.spark.createDataFrame([], from_arrow_schema(QUARANTINE))
    version = run.warehouse.write(rows, "quarantine", recipe)
    return run.warehouse.read("quarantine", version).count()  # from the files' statistics


def check_all_there(tally: Tally, n_documents: int, n_rejected: int, quarantine: str) -> None:
    """Compares what the readers told with what was written.

    Args:
        tally: what was read.
        n_documents: rows written to ``documents``.
        n_rejected: rows written to ``quarantine``.
        quarantine: where that table is.

    Raises:
        CorpusError: they differ, or there is no document.
    """
    told = tuple(sum(counts[k] for counts in tally.values()) for k in range(2))
    if told != (n_documents, n_rejected):
        raise CorpusError(
            f"read {told[0]} documents and {told[1]} rejected records, but wrote {n_documents} and {n_rejected}: "
            "the shards changed while they were read; run it again"
        )
    if not n_documents:
        raise CorpusError(f"none of {n_rejected} records is a document; the table quarantine at {quarantine} says why")


def _say_what_was_read(run: Run, tally: Tally) -> None:
    n_docs, n_rejected, n_tokens = (sum(counts[k] for counts in tally.values()) for k in range(3))
    run.progress.say(
        "tokenize_corpus",
        f"{len(tally):,} shards, {n_docs + n_rejected:,} records = {n_docs:,} documents + {n_rejected:,} in "
        f"quarantine, {n_tokens:,} tokens",
    )


def _warn_of_repeated_keys(run: Run) -> None:
    """Where (source, doc_id) names several documents all are kept; shard and record tell them apart."""
    with run.progress.watch(run.spark, "tokenize_corpus", "repeated keys"):
        keys = run.warehouse.read("documents").groupBy("source", "doc_id").count().where("count > 1")
        n_keys, n_docs = keys.agg(F.count("*"), F.coalesce(F.sum("count"), F.lit(0))).collect()[0]
    if n_keys:
        run.progress.say(
            "tokenize_corpus",
            f"warning: {n_keys:,} keys (source, doc_id) have {n_docs:,} documents, all kept; is a shard there twice?",
        )


def told_so_far(tally: Tally, n_shards: int, seconds: float) -> str:
    """What the readers have told in so many seconds; another thread may be adding to the tally."""
    counts = tally.copy().values()
    n_docs, n_tokens = (sum(of_shard[k] for of_shard in counts) for k in (0, 2))
    rate = n_tokens / max(seconds, 1e-9)
    return f"{len(counts):,} of {n_shards:,} shards, {n_docs:,} documents, {rate:,.0f} tokens/s"


STAGE = Stage(
    name="tokenize_corpus",
    version=1,
    reads=(),
    writes=lambda settings: ("documents", "quarantine"),
    sections=("corpus", "tokenizer"),
    files=("tokenizer", "shards"),
    packages=("fastokens", "py3langid", "regex", "sentencepiece", "tokenizers"),
    run=run,
)


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    return run_job(STAGE.name, "Tokenizes shards into the tables documents and quarantine.", [STAGE], argv)


if __name__ == "__main__":
    sys.exit(main())
