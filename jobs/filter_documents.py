"""Documents and their scores in; ``datasets/<arm>``, one table for each arm, and ``selection_cuts`` out.

    spark-submit jobs/filter_documents.py --config conf/demo.toml [--set table.key=value] [--dry-run]

Data goes one way:
    document_scores -> selection.select_documents (cuts, and which documents they let in, by budgets and
    budgeted_sample) -> selection.locate_documents (in which file) -> pivot_udfs.filter_documents (copies)
    -> datasets/<arm>

Only keys and scores are shuffled. Each chosen key is sent to the task that reads the file with its document; workers
write all arms in one pass over the texts and tokens. Where the cuts stay, only documents of changed shards are read.
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import partial

from pyspark.sql import functions as F

from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage, of_table, why_write
from jobs.loading.replace_shards import replace_shards
from jobs.selection.budgets import Budget, Held, describe_arms, missed_budgets, reported_budgets, total, unmatched
from jobs.selection.locate_documents import files_of, with_files
from jobs.selection.select_documents import Cuts, count_arms, decide_cuts, select_documents
from jobs.warehouse.changed_documents import covered_documents, documents_to_read
from pivot_udfs.arms import ARMS
from pivot_udfs.errors import WarehouseError
from pivot_udfs.filter_documents import copy_chosen
from pivot_udfs.matching.swap_words import SwapPlan
from pivot_udfs.provenance import Provenance, TableVersion

_CUTS = "selection_cuts"


def run(run: Run, provenance: Provenance) -> None:
    """Writes the cuts where they cannot stay, then brings the dataset of every configured arm to the documents."""
    if why_write(run, _CUTS, provenance):
        with run.progress.watch(run.spark, STAGE.name, _CUTS):
            cuts = decide_cuts(run.warehouse.read("document_scores"), run.settings.selection)
        run.warehouse.commit_rows(_CUTS, cuts.rows(), provenance)
    cuts = read_cuts(run)
    with run.progress.watch(run.spark, STAGE.name, "datasets"):
        held, budgets = arm_budgets(run, cuts)
        for before, arms in _arms_by_coverage(run, provenance).items():
            _write(run, provenance, cuts, {arm: held[arm] for arm in arms}, before)
    run.budget_missed = missed_budgets(held, budgets)
    for line in describe_arms(held, budgets, unmatched(cuts.cuts)):
        run.progress.say(STAGE.name, line)


def read_cuts(run: Run) -> Cuts:
    """The content of ``selection_cuts``."""
    return Cuts.from_rows(run.warehouse.read_small(_CUTS).to_pylist())


def arm_budgets(run: Run, cuts: Cuts) -> tuple[dict[str, Held], list[Budget]]:
    """What each configured arm holds by the cuts, and its budgets by today's documents."""
    selection = run.settings.selection
    held, language_tokens = count_arms(run.warehouse.read("document_scores"), cuts, selection)
    budgets = reported_budgets(selection, language_tokens, held)
    return {arm: held[arm] for arm in selection.arms}, budgets


def _arms_by_coverage(run: Run, provenance: Provenance) -> dict[TableVersion | None, list[str]]:
    """Arms to write, by the documents that they cover already (None: none); all arms if none is outdated."""
    now = {arm: of_table(run, STAGE, f"datasets/{arm}", provenance) for arm in run.settings.selection.arms}
    outdated = {arm: made for arm, made in now.items() if why_write(run, f"datasets/{arm}", made)}
    found: dict[TableVersion | None, list[str]] = defaultdict(list)
    for arm, made in (outdated or now).items():
        found[covered_documents(run.warehouse, f"datasets/{arm}", made)].append(arm)
    return found


def _write(run: Run, provenance: Provenance, cuts: Cuts, held: Mapping[str, Held], before: TableVersion | None) -> None:
    """Brings the datasets of arms, with what each is to hold in the end, to the documents."""
    arms = list(held)
    selection = run.settings.selection.model_copy(update={"arms": arms})
    part = documents_to_read(run.warehouse, before, provenance.tables["documents"])
    scores = run.warehouse.read("document_scores")
    if part.shards is not None:
        shards = run.spark.createDataFrame([(shard,) for shard in part.shards], "shard string")
        scores = scores.join(F.broadcast(shards), on="shard", how="left_semi")
        held, _ = count_arms(scores, cuts, selection)
    folder = run.warehouse.location("documents").uri
    rows = with_files(select_documents(scores, cuts, selection), files_of(run.spark, folder, part.files))
    names = [f"datasets/{arm}" for arm in arms]
    swap = _swap_plan(run) if any(ARMS[arm].copy_of for arm in arms) else None
    step = partial(copy_chosen, folder=folder, arms=arms, swap=swap, cuts=cuts.density_cuts)
    files = run.warehouse.write_files(rows, names, step, by_shard=names)
    for arm, name in zip(arms, names, strict=True):
        _check_all_there(arm, total(held[arm])[0], sum(file["n_records"] for file in files[name]))
    for name in names:
        replace_shards(run.warehouse, name, files[name], part.outdated, of_table(run, STAGE, name, provenance))


def _swap_plan(run: Run) -> SwapPlan:
    settings = run.settings
    surfaces, rate, seed = settings.lexicon.shared_surfaces, settings.selection.swap_rate, settings.selection.seed
    return SwapPlan(run.lexicon, run.tokenizer, surfaces, rate, seed)


def _check_all_there(arm: str, n_docs: int, n_found: int) -> None:
    if n_found != n_docs:
        raise WarehouseError(
            f"{n_docs} documents were chosen for the arm {arm}, but {n_found} were found in the table documents: "
            "document_scores was made from other documents, run score_documents again; or another tool has "
            "changed rows of documents in place, run tokenize_corpus again"
        )


STAGE = Stage(
    name="filter_documents",
    version=6,
    reads=("documents", "document_scores", "pivots"),
    sections=("selection",),
    files=(),
    run=run,
    first=(_CUTS,),
)


main = partial(run_job, STAGE, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
