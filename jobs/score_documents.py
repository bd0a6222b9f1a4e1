"""Documents and the pivot set in; ``document_scores`` out. The text is not read.

spark-submit jobs/score_documents.py --config conf/demo.toml [--set table.key=value] [--dry-run]
"""

import sys
from collections.abc import Sequence
from functools import partial

from jobs.framework.command_line import run_job
from jobs.framework.stage import Run, Stage
from jobs.framework.task_sizes import TASK_BYTES, large_splits
from jobs.warehouse.tables import Recipe
from pivot_udfs.errors import WarehouseError
from pivot_udfs.score_documents import pivot_numbers, score_documents
from pivot_udfs.storage.write_parquet import one_table
from pivot_udfs.tokenization.vocabulary import vocabulary

_SPLIT_BYTES = 4 * TASK_BYTES
"""Of ``documents`` as stored, most of which is not read."""
_READ = ("source", "doc_id", "lang", "n_tokens", "token_ids", "shard", "record")


def run(run: Run, recipe: Recipe) -> None:
    """Writes a row of scores for every document."""
    pivots = run.warehouse.read("pivots", recipe.inputs["pivots"]).select("token_id").collect()
    if not pivots:
        raise WarehouseError(
            f"{run.warehouse.table_path('pivots')} is empty, so every score would be 0: lower pivots.min_score, "
            "min_doc_count or min_word_doc_count, or give a larger or more bilingual corpus"
        )
    numbers = pivot_numbers(sorted(row["token_id"] for row in pivots), vocabulary(run.tokenizer).size)
    documents = run.warehouse.read("documents", recipe.inputs["documents"]).select(*_READ)
    step = partial(one_table, step=partial(score_documents, numbers=numbers), table="document_scores")
    with run.progress.watch(run.spark, "score_documents", "scores"), large_splits(run.spark, _SPLIT_BYTES):
        run.warehouse.write_from_workers(documents, step, ["document_scores"], recipe)


STAGE = Stage(
    name="score_documents",
    version=1,
    reads=("documents", "pivots"),
    writes=lambda settings: ("document_scores",),
    sections=(),
    files=("tokenizer",),
    packages=("regex", "sentencepiece", "tokenizers"),
    run=run,
)


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    return run_job(STAGE.name, "Scores documents by their share of pivot tokens.", [STAGE], argv)


if __name__ == "__main__":
    sys.exit(main())
