"""Documents and their scores in; ``datasets/<arm>``, one table for each arm, and ``selection_cuts`` out.

    spark-submit jobs/filter_documents.py --config conf/demo.toml [--set table.key=value] [--dry-run]

Data goes one way:
    document_scores -> selection.select_documents (cuts, and which documents they let in, by budgets and
    budgeted_sample) -> selection.locate_documents (in which file) -> pivot_udfs.filter_documents (copies)
    -> datasets/<arm>

Only keys and scores are shuffled. Each chosen key is sent to the task that reads the file with its document; workers
write all arms in one pass over the texts and tokens. Where the cuts stay, only scores and documents of changed shards
are read; what each arm holds is counted in its dataset.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from pyspark.sql import DataFrame

from jobs.forgetting.block_list_table import forgot_between, forgotten_between, read_block_list
from jobs.forgetting.remove_records import forget_rows, without_documents
from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage, of_table, why_write
from jobs.framework.task_sizes import SHORT_COLUMNS_BYTES, map_files, read_mapped
from jobs.loading.replace_shards import replace_shards
from jobs.selection.budgets import (
    Budget,
    Held,
    describe_arms,
    missed_budgets,
    reported_budgets,
    source_in,
    unmatched,
)
from jobs.selection.locate_documents import files_of, with_files
from jobs.selection.select_documents import (
    Cuts,
    count_arms,
    count_chosen,
    decide_cuts,
    decided_arms,
    select_documents,
)
from jobs.warehouse.delta.table_files import files_with_shards
from jobs.warehouse.documents_to_read import DocumentsToRead, covered_documents, documents_to_read
from pivot_udfs.arms import ARMS
from pivot_udfs.errors import WarehouseError
from pivot_udfs.filter_documents import HELD, copy_chosen, count_held
from pivot_udfs.matching.swap_words import SwapPlan
from pivot_udfs.provenance import Provenance, TableVersion
from pivot_udfs.schemas import BLOCK_LIST, DOCUMENT_SCORES
from pivot_udfs.storage.read_parquet import read_listed

_CUTS, _SCORES = "selection_cuts", "document_scores"


def run(run: Run, provenance: Provenance) -> None:
    """Writes the cuts where they cannot stay, then brings the dataset of every configured arm to the documents."""
    if anew := why_write(run, _CUTS, provenance):
        with run.progress.watch(run.spark, STAGE.name, _CUTS):
            cuts = decide_cuts(run.warehouse.read(_SCORES), run.settings.selection)
        run.warehouse.commit_rows(_CUTS, cuts.rows(), provenance)
    cuts, outdated = read_cuts(run), _arms_by_coverage(run, provenance)
    with run.progress.watch(run.spark, STAGE.name, "datasets"):
        now = provenance.tables["documents"].version
        if not anew and any(forgot_between(run.warehouse, before, now) for before in outdated):
            cuts = _without_forgotten(run, cuts)
        for before, arms in outdated.items():
            _write(run, provenance, cuts, arms, before)
        held, budgets = arm_budgets(run)
    run.budget_missed = missed_budgets(held, budgets)
    for line in describe_arms(held, budgets, unmatched(cuts.cuts)):
        run.progress.say(STAGE.name, line)


def read_cuts(run: Run) -> Cuts:
    """The content of ``selection_cuts``."""
    return Cuts.from_rows(run.warehouse.read_small(_CUTS).to_pylist())


def _without_forgotten(run: Run, cuts: Cuts) -> Cuts:
    """The cuts without those of forgotten sources that have no document left; committed where there are such."""
    content, blocks = run.warehouse.content(_CUTS), read_block_list(run.warehouse)
    named = {cut: source_in(ARMS[cut.arm], cut.stratum) for cut in cuts.cuts}
    sources = {source for source in named.values() if source is not None}
    if not blocks.shards:  # their sources are not in the block list
        sources &= {*blocks.sources, *blocks.doc_ids}
    gone = without_documents(run, sources)
    if not gone or content is None or content.provenance is None:
        return cuts
    kept = replace(cuts, cuts=[cut for cut, source in named.items() if source not in gone])
    run.warehouse.commit_rows(_CUTS, kept.rows(), content.provenance, run.warehouse.rows([BLOCK_LIST]))
    n_removed = len(cuts.cuts) - len(kept.cuts)
    run.progress.say(STAGE.name, f"{n_removed:,} cuts of sources that have lost their last document are removed")
    return kept


def arm_budgets(run: Run) -> tuple[dict[str, Held], list[Budget]]:
    """What the dataset of each configured arm holds, and its budgets by today's scores.

    Arms without a dataset on which a budget depends are counted by their cuts.
    """
    selection, tables = run.settings.selection, {f"datasets/{arm}": arm for arm in run.settings.selection.arms}
    files = {f"{table}/{file}": n for table in (_SCORES, *tables) for file, n in run.warehouse.files(table).items()}
    step = partial(count_held, folder=run.warehouse.root.uri)
    rows = read_mapped(run.spark, files, step, HELD, SHORT_COLUMNS_BYTES)
    sums = rows.group_by(["table", "lang"]).aggregate([("n_docs", "sum"), ("n_tokens", "sum")]).to_pylist()
    by_table: dict[str, dict[str, tuple[int, int]]] = {table: {} for table in (_SCORES, *tables)}
    for row in sums:
        by_table[row["table"]][row["lang"]] = row["n_docs_sum"], row["n_tokens_sum"]
    held: dict[str, Held] = {arm: by_table[table] for table, arm in tables.items()}
    language_tokens = {lang: n_tokens for lang, (_, n_tokens) in by_table[_SCORES].items()}
    others = [arm for arm in decided_arms(selection) if arm not in held]
    of_others = count_arms(run.warehouse.read(_SCORES), read_cuts(run), selection, others) if others else {}
    return held, reported_budgets(selection, language_tokens, held | of_others)


def _arms_by_coverage(run: Run, provenance: Provenance) -> dict[TableVersion | None, list[str]]:
    """Arms to write, by the documents that they cover already (None: none); all arms if none is outdated."""
    now = {arm: of_table(run, STAGE, f"datasets/{arm}", provenance) for arm in run.settings.selection.arms}
    outdated = {arm: made for arm, made in now.items() if why_write(run, f"datasets/{arm}", made)}
    found: dict[TableVersion | None, list[str]] = defaultdict(list)
    for arm, made in (outdated or now).items():
        found[covered_documents(run.warehouse, f"datasets/{arm}", made)].append(arm)
    return found


def _write(run: Run, provenance: Provenance, cuts: Cuts, arms: Sequence[str], before: TableVersion | None) -> None:
    """Brings the datasets of arms to the documents."""
    documents, names = provenance.tables["documents"], [f"datasets/{arm}" for arm in arms]
    if before and (blocks := forgotten_between(run.warehouse, before.version, documents.version)):
        forget_rows(run, {name: of_table(run, STAGE, name, provenance) for name in names}, blocks)
        return
    selection = run.settings.selection.model_copy(update={"arms": arms})
    part = documents_to_read(run.warehouse, before, documents)
    chosen = select_documents(_scores_of(run, part), cuts, selection)
    folder = run.warehouse.location("documents").uri
    rows = with_files(chosen, files_of(run.spark, folder, part.files))
    swap = _swap_plan(run) if any(ARMS[arm].copy_of for arm in arms) else None
    step = partial(copy_chosen, folder=folder, arms=arms, swap=swap, cuts=cuts.density_cuts)
    files = run.warehouse.write_files(rows, names, step, by_shard=names)
    for (arm, n_docs), name in zip(count_chosen(chosen, arms).items(), names, strict=True):
        _check_all_there(arm, n_docs, sum(file["n_records"] for file in files[name]))
    for name in names:
        replace_shards(run.warehouse, name, files[name], part.outdated, of_table(run, STAGE, name, provenance))


def _scores_of(run: Run, part: DocumentsToRead) -> DataFrame:
    """The scores of documents; those of some shards without Spark's reader, which spends a core-second on the log."""
    if part.shards is None:
        return run.warehouse.read(_SCORES)
    table = run.warehouse.location(_SCORES)
    found = files_with_shards(table, part.shards)
    step = partial(read_listed, folder=table.uri, schema=DOCUMENT_SCORES, shards=part.shards)
    return map_files(run.spark, found.whole | found.mixed, step, DOCUMENT_SCORES)


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
    version=7,
    reads=("documents", "document_scores", "pivots"),
    sections=("selection",),
    files=(),
    run=run,
    first=(_CUTS,),
)


main = partial(run_job, STAGE, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
