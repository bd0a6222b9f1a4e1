"""The whole pipeline in one Spark session: shards in, every table and the report out.

    spark-submit jobs/rebuild_corpus.py --config conf/demo.toml [--set table.key=value] [--dry-run]

A stage is skipped when its inputs, its configuration and its code are those that made its tables.
"""

import sys
from collections.abc import Sequence

from jobs import count_cooccurrence, filter_documents, find_pivots, score_documents, tokenize_corpus
from jobs.command_line import with_run
from jobs.stage import Run, run_stage

STAGES = [
    tokenize_corpus.STAGE,
    count_cooccurrence.STAGE,
    find_pivots.STAGE,
    score_documents.STAGE,
    filter_documents.STAGE,
]


def run(run: Run) -> None:
    """Runs what has changed, in order."""
    for stage in STAGES:
        run_stage(run, stage, skip_unchanged=True)


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    return with_run("rebuild_corpus", "Runs all stages in order, skipping what has not changed.", STAGES, argv, run)


if __name__ == "__main__":
    sys.exit(main())
