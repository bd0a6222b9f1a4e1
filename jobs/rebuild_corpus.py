"""The whole pipeline in one Spark session: shards in, every table and the report out.

    spark-submit jobs/rebuild_corpus.py --config conf/demo.toml [--set table.key=value] [--dry-run]

A stage is skipped when its inputs, its settings and its version are those that made its tables, or its page.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from functools import partial

from jobs import count_cooccurrence, filter_documents, find_pivots, score_documents, tokenize_corpus, write_report
from jobs.framework.command_line import Arguments
from jobs.framework.log_lines import is_json
from jobs.framework.refresh import decide_refresh
from jobs.framework.run_stages import print_plan, run_stage, with_run
from jobs.framework.run_summary import describe_rebuild, describe_release, write_summary
from jobs.framework.stage import Run, Stage
from jobs.selection.budgets import missed_budgets
from jobs.warehouse.register_tables import register_tables
from jobs.warehouse.release_changes import changes_of
from jobs.warehouse.releases import TABLE as RELEASES
from jobs.warehouse.write_release import write_release
from pivot_udfs.schemas import BLOCK_LIST

STAGES = [
    tokenize_corpus.STAGE,
    count_cooccurrence.STAGE,
    find_pivots.STAGE,
    score_documents.STAGE,
    filter_documents.STAGE,
    write_report.STAGE,
]


_SHARES = {"tokenize_corpus": 0.12, "count_cooccurrence": 0.5, "find_pivots": 0.13, "score_documents": 0.07}
_SHARES |= {"filter_documents": 0.13, "write_report": 0.05}
"""How much of a rebuild's time each stage takes, for the estimate of the time left (docs/measured.md)."""


class Request(Arguments):
    """What is asked of a rebuild."""

    refresh: bool

    def add_to(self, parser: ArgumentParser) -> None:
        """Adds the arguments."""
        parser.add_argument(
            "--refresh", action="store_true", help="find pivots and cuts anew where documents have changed, by any rule"
        )


def run(run: Run, request: Request) -> None:
    """Runs what has changed, in order, and adds a release where a table has changed."""
    run_changed(run, STAGES, request)
    if not is_json():  # log collectors take both streams
        tables = [table for stage in STAGES for table in stage.writes(run.settings)]
        sys.stdout.write(describe_rebuild(run, tables, str(write_report.report_location(run))))


def plan(run: Run, request: Request) -> None:
    """Prints what a rebuild would do."""
    decide_refresh(run, STAGES, request.refresh)
    print_plan(run, STAGES, skips_unchanged=True)


def run_changed(run: Run, stages: Sequence[Stage], request: Request | None = None) -> None:
    """Runs those stages that have changed, and adds a release where a table of any stage has changed."""
    run.warehouse.check_target(RELEASES)
    decide_refresh(run, STAGES, request is not None and request.refresh)
    run.progress.shares = {stage.name: _SHARES[stage.name] for stage in stages}
    for stage in stages:
        run_stage(run, stage, skip_unchanged=True)
    tables = [table for stage in STAGES for table in stage.writes(run.settings)]
    number = write_release(run.warehouse, tables, lambda: (find_pivots.known_drift(run), _budget_missed(run)))
    changes = {} if number is None else changes_of(run.settings.warehouse.path, number)
    run.progress.say("rebuild_corpus", describe_release(number, changes), release=number, **changes)
    write_report.update_releases(run)
    write_summary(run, "rebuild_corpus", [*tables, RELEASES], number, changes)
    if database := run.settings.catalog.database:
        register_tables(run.warehouse, [*tables, RELEASES, BLOCK_LIST], database)


def _budget_missed(run: Run) -> dict[str, float] | None:
    """Measured here where the datasets are those of an earlier run that was stopped before its release."""
    if run.budget_missed is None and run.warehouse.content("selection_cuts"):
        run.budget_missed = missed_budgets(*filter_documents.arm_budgets(run))
    return run.budget_missed


main = partial(with_run, "rebuild_corpus", __doc__, STAGES, run, plan=plan, arguments=Request)


if __name__ == "__main__":
    raise SystemExit(main())
