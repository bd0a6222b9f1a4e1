"""Documents and their scores in; ``datasets/<arm>`` out, one table an arm.

    spark-submit jobs/filter_documents.py --config conf/demo.toml [--set table.key=value] [--dry-run]

Only keys and scores are shuffled. Texts and tokens are read once: each chosen key is sent to the task that reads the
file where its document lies, and workers write all arms in the same pass (see ``jobs.selection.locate_documents``).
Where workers cannot read the files themselves Spark joins keys and documents, and shuffles the documents when the keys
are many.
"""

import sys
from collections.abc import Mapping, Sequence
from functools import partial

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage
from jobs.selection.locate_documents import are_apart, files_of, may_read_files, with_files
from jobs.selection.select_documents import select_documents
from jobs.warehouse.tables import Recipe
from pivot_udfs.errors import WarehouseError
from pivot_udfs.filter_documents import Budget, copy_chosen, split_into_arms
from pivot_udfs.schemas import DATASET
from pivot_udfs.storage.write_parquet import TableStep

_SHORT = 0.01
"""An arm that takes less of a budget than all but this share of it is warned of."""


def run(run: Run, recipe: Recipe) -> None:
    """Writes the dataset of every configured arm."""
    arms = run.settings.selection.arms
    documents = run.warehouse.read("documents", recipe.inputs["documents"])
    scores = run.warehouse.read("document_scores", recipe.inputs["document_scores"])
    with run.progress.watch(run.spark, "filter_documents", "datasets"):
        selected = select_documents(scores, run.settings.selection)
        keys = selected.documents.persist(StorageLevel.MEMORY_AND_DISK)
        held = _count_held(keys, arms)
        rows, step = _chosen(run, documents, keys.drop("lang", "n_tokens"))
        names = [f"datasets/{arm}" for arm in arms]
        run.warehouse.write_from_workers(rows, step, names, recipe, partial(_check_all_there, held))
        keys.unpersist()
    for line in tell_held(held, selected.budgets, arms):
        run.progress.say("filter_documents", line)


def _chosen(run: Run, documents: DataFrame, keys: DataFrame) -> tuple[DataFrame, TableStep]:
    """What workers are given, and the step that makes the arms of it."""
    arms, path = run.settings.selection.arms, run.warehouse.location("documents")
    if run.settings.warehouse.workers_write and may_read_files(run.spark, path.hadoop_path):
        files = files_of(documents)
        if are_apart(files):
            return with_files(keys, files), partial(copy_chosen, folder=path.uri, arms=arms)
    joined = documents.join(keys, on=["shard", "record"], how="inner")
    return joined.select(*DATASET.names, *arms), partial(split_into_arms, arms=arms)


def _count_held(keys: DataFrame, arms: Sequence[str]) -> dict[str, dict[str, tuple[int, int]]]:
    """(documents, tokens) of each arm and language."""
    sums = [
        F.struct(F.count_if(arm).alias("n_docs"), F.sum(F.when(F.col(arm), F.col("n_tokens"))).alias("n_tokens"))
        for arm in arms
    ]
    by_arm = [struct.alias(arm) for struct, arm in zip(sums, arms, strict=True)]
    rows = keys.groupBy("lang").agg(*by_arm).collect()
    return {arm: {row["lang"]: tuple(row[arm]) for row in rows if row[arm]["n_docs"]} for arm in arms}


def _check_all_there(held: dict[str, dict[str, tuple[int, int]]], written: Mapping[str, int]) -> None:
    for arm, of_arm in held.items():
        n_docs, n_found = _sums(of_arm)[0], written[f"datasets/{arm}"]
        if n_found != n_docs:
            raise WarehouseError(
                f"{n_docs} documents were chosen for the arm {arm}, but {n_found} were found in the table documents: "
                "its scores are of other documents; run score_documents again"
            )


def tell_held(held: dict[str, dict[str, tuple[int, int]]], budgets: Sequence[Budget], arms: Sequence[str]) -> list[str]:
    """What each arm holds, and of each of its budgets what was taken; a warning where that is much less.

    Args:
        held: (documents, tokens) of each arm and language.
        budgets: from ``arm_budgets``.
        arms: in the order in which to tell of them.
    """
    lines = []
    for arm in arms:
        n_docs, n_tokens = _sums(held[arm])
        lines.append(f"{arm}: {n_docs:,} documents, {n_tokens:,} tokens")
        lines += [_tell_budget(budget, held[arm]) for budget in budgets if budget.arm == arm]
    return lines


def _tell_budget(budget: Budget, held: dict[str, tuple[int, int]]) -> str:
    n_docs, n_tokens = _sums(held) if budget.lang == "all" else held.get(budget.lang, (0, 0))
    taken = n_docs if budget.unit == "documents" else n_tokens
    short = budget.amount - taken
    warning = "warning: " if short > _SHORT * budget.amount else ""
    told = f"{warning}{budget.arm}, {budget.lang}: {taken:,} of {budget.amount:,} {budget.unit}"
    return f"{told}, {short:,} short" if short else told


def _sums(held: dict[str, tuple[int, int]]) -> tuple[int, int]:
    return sum(n for n, _ in held.values()), sum(n for _, n in held.values())


STAGE = Stage(
    name="filter_documents",
    version=1,
    reads=("documents", "document_scores"),
    writes=lambda settings: tuple(f"datasets/{arm}" for arm in settings.selection.arms),
    sections=("selection",),
    files=(),
    run=run,
)


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    return run_job(STAGE.name, "Writes the pivot-rich dataset and its controls.", [STAGE], argv)


if __name__ == "__main__":
    sys.exit(main())
