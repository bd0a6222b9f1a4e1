"""The whole pipeline in one Spark session: shards in, every table and the report out.

    spark-submit jobs/rebuild_corpus.py --config conf/demo.toml [--set table.key=value] [--dry-run]

A stage is skipped when its inputs, its configuration and its code are those that made its tables, or its page.
"""

import sys
from collections.abc import Sequence

from jobs import count_cooccurrence, filter_documents, find_pivots, score_documents, tokenize_corpus, write_report
from jobs.framework.run_stages import with_run
from jobs.framework.run_summary import write_summary
from jobs.framework.stage import Run, Stage, run_stage
from jobs.warehouse.releases import TABLE as RELEASES
from jobs.warehouse.write_release import write_release

STAGES = [
    tokenize_corpus.STAGE,
    count_cooccurrence.STAGE,
    find_pivots.STAGE,
    score_documents.STAGE,
    filter_documents.STAGE,
    write_report.STAGE,
]


def run(run: Run) -> None:
    """Runs what has changed, in order, and adds a release where a table has changed."""
    run_changed(run, STAGES)
    sys.stdout.write(_summary(run, str(write_report.report_location(run.settings))))


def run_changed(run: Run, stages: Sequence[Stage]) -> None:
    """Runs those stages that have changed, and adds a release where a table of any stage has changed."""
    run.warehouse.check_target(RELEASES)
    for stage in stages:
        run_stage(run, stage, skip_unchanged=True)
    tables = [table for stage in STAGES for table in stage.writes(run.settings)]
    number = write_release(run.warehouse, tables)
    run.progress.say("rebuild_corpus", "no table has changed" if number is None else f"release {number}")
    write_summary(run, "rebuild_corpus", [*tables, RELEASES], number)


def _summary(run: Run, report: str) -> str:
    """Where everything is, and the ten best pivots."""
    pivots = run.warehouse.read("pivots").where("rank <= 10").orderBy("rank").collect()
    rows = [
        f"{pivot['rank']:>4}  {pivot['token']!r:<18} {pivot['score']:>8.2f} {pivot['n_concepts']:>9} "
        f"{pivot['n_language_pairs']:>14} {pivot['doc_share']:>9.1%}"
        for pivot in pivots
    ]
    tables = [table for stage in STAGES for table in stage.writes(run.settings)]
    return "\n".join(
        [
            f"\ntables  {run.warehouse.path}/  ({', '.join(tables)})",
            f"report  {report}",
            "\nthe ten best pivots",
            "rank  token                 score  concepts  language pairs  documents",
            *rows,
            "",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    description = "Runs all stages in order, skipping what has not changed."
    return with_run("rebuild_corpus", description, STAGES, argv, run, skips_unchanged=True)


if __name__ == "__main__":
    sys.exit(main())
