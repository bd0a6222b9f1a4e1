"""Documents and their scores in; ``datasets/<arm>``, one table for each arm, and ``selection_cuts`` out.

    spark-submit jobs/filter_documents.py --config conf/demo.toml [--set table.key=value] [--dry-run]

Data goes one way:
    document_scores -> selection.shrunken_density -> selection.budgets (how much) -> selection.budgeted_sample (which)
    -> selection.locate_documents (in which file) -> pivot_udfs.filter_documents (copies) -> datasets/<arm>

Only keys and scores are shuffled. Each chosen key is sent to the task that reads the file with its document; workers
write all arms in one pass over the texts and tokens.
"""

import sys
from collections.abc import Mapping, Sequence
from functools import partial

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage
from jobs.selection.budgets import Held, describe_arms, total
from jobs.selection.locate_documents import files_of, with_files
from jobs.selection.select_documents import select_documents
from jobs.warehouse.driver_rows import commit_rows
from pivot_udfs.errors import WarehouseError
from pivot_udfs.filter_documents import copy_chosen
from pivot_udfs.provenance import Provenance


def run(run: Run, provenance: Provenance) -> None:
    """Writes the dataset of every configured arm, then the cuts."""
    arms = run.settings.selection.arms
    documents = run.warehouse.read("documents")
    scores = run.warehouse.read("document_scores")
    with run.progress.watch(run.spark, "filter_documents", "datasets"):
        selected = select_documents(scores, run.settings.selection)
        keys = selected.documents.persist(StorageLevel.MEMORY_AND_DISK)
        held = _count_held(keys, arms)
        rows = with_files(keys.drop("lang", "n_tokens"), files_of(documents))
        step = partial(copy_chosen, folder=run.warehouse.location("documents").uri, arms=arms)
        names = [f"datasets/{arm}" for arm in arms]
        run.warehouse.write(rows, names, provenance, step, partial(_check_all_there, held))
        keys.unpersist()
        commit_rows(run.warehouse, "selection_cuts", [cut._asdict() for cut in selected.cuts], provenance)
    for line in describe_arms(held, selected.budgets):
        run.progress.say("filter_documents", line)


def _count_held(keys: DataFrame, arms: Sequence[str]) -> dict[str, Held]:
    """What each arm holds, in the order of ``arms``."""
    sums = [
        F.struct(F.count_if(arm).alias("n_docs"), F.sum(F.when(F.col(arm), F.col("n_tokens"))).alias("n_tokens"))
        for arm in arms
    ]
    by_arm = [struct.alias(arm) for struct, arm in zip(sums, arms, strict=True)]
    rows = keys.groupBy("lang").agg(*by_arm).collect()
    return {arm: {row["lang"]: tuple(row[arm]) for row in rows if row[arm]["n_docs"]} for arm in arms}


def _check_all_there(held: dict[str, Held], written: Mapping[str, int]) -> None:
    for arm, of_arm in held.items():
        n_docs, n_found = total(of_arm)[0], written[f"datasets/{arm}"]
        if n_found != n_docs:
            raise WarehouseError(
                f"{n_docs} documents were chosen for the arm {arm}, but {n_found} were found in the table documents: "
                "document_scores was made from other documents, run score_documents again; or another tool has "
                "changed rows of documents in place, run tokenize_corpus again"
            )


STAGE = Stage(
    name="filter_documents",
    version=2,
    reads=("documents", "document_scores"),
    writes=lambda settings: (*(f"datasets/{arm}" for arm in settings.selection.arms), "selection_cuts"),
    sections=("selection",),
    files=(),
    run=run,
)


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    return run_job(STAGE.name, "Writes the pivot-rich dataset and its controls.", [STAGE], argv)


if __name__ == "__main__":
    sys.exit(main())
