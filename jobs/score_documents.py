"""Documents and the pivot set in; ``document_scores`` out. Texts are not read.

Where the pivots are those of the stored scores, only documents of shards that have changed since are read.

spark-submit jobs/score_documents.py --config conf/demo.toml [--set table.key=value] [--dry-run]
"""

from functools import partial

from jobs.forgetting.block_list_table import forgotten_between
from jobs.forgetting.remove_records import forget_rows
from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage
from jobs.framework.task_sizes import frame_of_files
from jobs.loading.replace_shards import replace_shards
from jobs.warehouse.documents_to_read import covered_documents, documents_to_read
from pivot_udfs.errors import WarehouseError
from pivot_udfs.provenance import Provenance
from pivot_udfs.score_documents import score_files, score_plan

_TABLE = "document_scores"


def run(run: Run, provenance: Provenance) -> None:
    """Writes one row of scores for every document that has none by these pivots, and removes those of other rows."""
    balances = {row["token_id"]: row["half_balance"] for row in run.warehouse.read_small("pivots").to_pylist()}
    if not balances:
        raise _no_pivots(run)
    before, documents = covered_documents(run.warehouse, _TABLE, provenance), provenance.tables["documents"]
    if before and (blocks := forgotten_between(run.warehouse, before.version, documents.version)):
        forget_rows(run, {_TABLE: provenance}, blocks)
        return
    plan = score_plan(balances, run.tokenizer, run.lexicon)
    part = documents_to_read(run.warehouse, before, documents)
    folder = run.warehouse.location("documents").uri
    step = partial(score_files, folder=folder, plan=plan, shards=part.shards)
    with run.progress.watch(run.spark, STAGE.name, f"scores of {part}", n_bytes=sum(part.files.values())):
        files = run.warehouse.write_files(frame_of_files(run.spark, part.files), [_TABLE], step)
        replace_shards(run.warehouse, _TABLE, files[_TABLE], part.outdated, provenance)


def _no_pivots(run: Run) -> WarehouseError:
    options = run.settings.pivots
    limits = ("min_doc_count", "min_word_doc_count", "min_word_share", "min_concepts", "min_sources")
    named = ", ".join(f"{name} ({getattr(options, name):g})" for name in limits)
    return WarehouseError(
        f"{run.warehouse.table_path('pivots')} is empty, so every score would be 0: of pivots.min_score "
        f"({options.score_floor:g}), {named} lower one, or raise max_doc_share ({options.max_doc_share:g}), then run "
        "find_pivots again; or use a larger or more multilingual corpus"
    )


STAGE = Stage(
    name="score_documents",
    version=5,
    reads=("documents", "pivots"),
    sections=(),
    files=("tokenizer", "lexicon"),
    packages=("regex", "sentencepiece", "tokenizers"),
    run=run,
)


main = partial(run_job, STAGE, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
