"""Documents and the pivot set in; ``document_scores`` out. Texts are not read.

spark-submit jobs/score_documents.py --config conf/demo.toml [--set table.key=value] [--dry-run]
"""

import sys
from collections.abc import Sequence
from functools import partial

from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage
from jobs.framework.task_sizes import TASK_BYTES, large_splits
from pivot_udfs.errors import WarehouseError
from pivot_udfs.provenance import Provenance
from pivot_udfs.score_documents import pivot_numbers, score_documents
from pivot_udfs.tokenization.vocabulary import vocabulary

_SPLIT_BYTES = 4 * TASK_BYTES
"""Stored bytes of ``documents`` that one task scans; most columns are not read."""
_READ = ("source", "doc_id", "lang", "n_tokens", "token_ids", "shard", "record")


def run(run: Run, provenance: Provenance) -> None:
    """Writes one row of scores for every document."""
    pivots = run.warehouse.read("pivots").select("token_id").collect()
    if not pivots:
        raise _no_pivots(run)
    numbers = pivot_numbers(sorted(row["token_id"] for row in pivots), vocabulary(run.tokenizer).size)
    documents = run.warehouse.read("documents").select(*_READ)
    step = partial(score_documents, numbers=numbers)
    with run.progress.watch(run.spark, "score_documents", "scores"), large_splits(run.spark, _SPLIT_BYTES):
        run.warehouse.write(documents, ["document_scores"], provenance, step)


def _no_pivots(run: Run) -> WarehouseError:
    options = run.settings.pivots
    return WarehouseError(
        f"{run.warehouse.table_path('pivots')} is empty, so every score would be 0: lower pivots.min_score "
        f"({options.score_floor:g}), min_doc_count ({options.min_doc_count}) or min_word_doc_count "
        f"({options.min_word_doc_count}), raise max_doc_share ({options.max_doc_share:g}), then run find_pivots again; "
        "or use a larger or more multilingual corpus"
    )


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
