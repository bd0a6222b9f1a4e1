"""Documents and a lexicon in; the totals, ``word_cooccurrence`` and ``token_cooccurrence`` out.

    spark-submit jobs/count_cooccurrence.py --config conf/demo.toml [--set table.key=value] [--dry-run]

Workers add up in memory over blocks of documents; Spark shuffles and sorts packed rows of counts, a word's whole row
each; workers add those up and write the tables.

How it scales: a task reads up to 1 GB of stored documents and gives the cells that it found, about as many bytes as it
read, but fewer for each document the more of them share a block. They are summed by two tasks a core, on a cluster by
``spark.sql.shuffle.partitions`` tasks where those are more, and never by more than there are words, whose rows are not
divided: for terabytes set that key so that input bytes / partitions is a few GB; Spark sorts on disk what is larger.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage
from jobs.framework.task_sizes import frame_of_files, least_tasks, map_files
from jobs.warehouse.delta.commit_history import row_versions, rows_made_from
from jobs.warehouse.delta.open_table import open_delta
from jobs.warehouse.delta.table_files import FileChanges, changed_files
from jobs.warehouse.documents_to_read import covered_documents
from pivot_udfs.count_changed_files import count_changed_files, count_languages, sum_languages
from pivot_udfs.count_cooccurrence import CountPlan, window_in_tokens
from pivot_udfs.counting.partial_rows import PARTIAL_ROWS
from pivot_udfs.errors import DamagedTableError, MissingVersionError, TransientError
from pivot_udfs.matching.lexicon import describe_missing
from pivot_udfs.provenance import Provenance, TableVersion
from pivot_udfs.schemas import CORPUS_TOTALS
from pivot_udfs.sum_counts import LAYOUTS, SumPlan, stored_counts, sum_counts
from pivot_udfs.tokenization.vocabulary import vocabulary

_COUNTS = tuple(layout.table for layout in LAYOUTS.values())
_LAST = "corpus_totals"
"""The table that is committed last: the others, where they are ahead of it, are of a run that was stopped."""
_STORED_COST = 1.0
"""Adding to a byte of stored counts costs as much as counting so many bytes of documents (``docs/measured.md``)."""
_STEP_BYTES = 32 << 30
"""Stored documents that are counted between two commits, on average: each commit writes all counts anew."""
Changes = Callable[[int | None, int], FileChanges | None]
"""``changed_files`` of ``documents``, called once for each pair of versions."""


def run(run: Run, provenance: Provenance) -> None:
    """Counts the documents that were added or removed since the tables were written, or all documents."""
    changes = cache(partial(changed_files, run.warehouse.location("documents")))
    before = counted_before(run, provenance, changes)
    for version in versions_to_count(run, provenance, before, changes):
        step_provenance = replace(provenance, tables={"documents": version})
        changed = changes(before and before.version, version.version)
        if changed is None:
            raise TransientError(f"{version} of documents has lost files while it was read: run it again")
        _count(run, changed, before is not None, step_provenance)
        before = version
    _warn_of_missing_words(run)


def counted_before(run: Run, provenance: Provenance, changes: Changes) -> TableVersion | None:
    """The rows of ``documents`` that the tables count, if the difference to the present ones can be counted."""
    documents, made = provenance.tables["documents"], run.warehouse.made(_LAST)
    before = covered_documents(run.warehouse, _LAST, provenance)
    if before is None or made is None or not _rolled_back(run, made):
        return None
    changed = changes(before.version, documents.version)
    if changed is None:
        run.progress.say(STAGE.name, "counts all documents: files that were removed are no longer there")
        return None
    now = changes(None, documents.version)
    n_bytes = sum(map(sum, (changed.added.values(), changed.removed.values())))
    cost = n_bytes + _STORED_COST * sum(sum(run.warehouse.files(table).values()) for table in _COUNTS)
    return before if now and cost < sum(now.added.values()) else None


def _rolled_back(run: Run, made: Provenance) -> bool:
    """Brings the tables to the rows of one provenance, where a run was stopped between their commits."""
    for table in _COUNTS:
        of_table = run.warehouse.made(table)
        if of_table and of_table.fingerprint == made.fingerprint:
            continue
        try:
            delta = open_delta(run.warehouse.location(table))
            rows = rows_made_from(delta, made.fingerprint) if delta else None
            if rows is None:
                raise MissingVersionError(f"{table} has no rows of the run that made {_LAST}")
            run.warehouse.roll_back(table, rows)
        except (DamagedTableError, MissingVersionError) as error:
            run.progress.say(STAGE.name, f"counts all documents: {error}")
            return False
    return True


def versions_to_count(
    run: Run, provenance: Provenance, before: TableVersion | None, changes: Changes
) -> list[TableVersion]:
    """The versions of ``documents`` to count one after the other, the present one last."""
    last, first = provenance.tables["documents"], before and before.version
    delta = open_delta(run.warehouse.location("documents"))
    made = row_versions(delta, last.fingerprint) if delta else []
    between = [rows for rows in made if (-1 if first is None else first) < rows.version < last.version]
    changed = changes(first, last.version)
    n_steps = sum(changed.added.values()) // _STEP_BYTES + 1 if changed else 1
    together = math.ceil((len(between) + 1) / n_steps)
    steps = [*between[together - 1 :: together], last]
    earlier = [first, *(rows.version for rows in steps)]
    if any(changes(version, rows.version) is None for version, rows in zip(earlier, steps, strict=False)):
        return [last]
    return steps


def _count(run: Run, changes: FileChanges, add: bool, provenance: Provenance) -> None:
    """Writes the tables; with ``add``, the sums of what they hold and of the changes."""
    plan, sum_plan = plan_of(run), SumPlan(run.lexicon, vocabulary(run.tokenizer).size)
    folder = run.warehouse.location("documents").uri
    files = frame_of_files(run.spark, changes.added, changes.removed)
    rows = files.mapInArrow(partial(count_changed_files, folder=folder, plan=plan), from_arrow_schema(PARTIAL_ROWS))
    totals = files.mapInArrow(partial(count_languages, folder=folder), from_arrow_schema(CORPUS_TOTALS))
    n_bytes = sum(changes.added.values()) + sum(changes.removed.values())
    if add:
        for kind, (table, *_) in LAYOUTS.items():
            step = partial(stored_counts, kind=kind, folder=run.warehouse.location(table).uri, plan=sum_plan)
            stored = run.warehouse.files(table)
            rows, n_bytes = rows.union(map_files(run.spark, stored, step, PARTIAL_ROWS)), n_bytes + sum(stored.values())
    with run.progress.watch(run.spark, STAGE.name, "rows of counts", n_bytes=n_bytes):
        rows = gathered(rows, len(plan.lexicon.words))
        run.warehouse.write(rows, list(_COUNTS), provenance, partial(sum_counts, plan=sum_plan))
        languages = [totals.toArrow(), *([run.warehouse.read_small(_LAST)] if add else [])]
        run.warehouse.commit_rows(_LAST, sum_languages(languages), provenance)


def _warn_of_missing_words(run: Run) -> None:
    """Misspelt cells of a lexicon show as words that are never found."""
    found = run.warehouse.read_small("word_totals").to_pylist()
    if message := describe_missing(run.lexicon, ((row["lang"], row["word"]) for row in found)):
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


def gathered(rows: DataFrame, n_words: int) -> DataFrame:
    """Rows of counts (PARTIAL_ROWS) with all parts of a row in one partition and in order."""
    # An explicit number of tasks: adaptive execution would coalesce these few large rows into one.
    n_tasks = min(least_tasks(rows.sparkSession), n_words)
    return rows.repartition(n_tasks, "kind", "row").sortWithinPartitions("kind", "row")


STAGE = Stage(
    name="count_cooccurrence",
    version=4,
    reads=("documents",),
    sections=("lexicon", "cooccurrence"),
    files=("tokenizer", "lexicon"),
    packages=("regex", "sentencepiece", "tokenizers"),
    run=run,
)


main = partial(run_job, STAGE, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
