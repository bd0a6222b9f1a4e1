"""Runs stages in a Spark session behind the shared command line, or prints what they would do."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import cast

from pyspark.sql import SparkSession

from jobs.framework.command_line import Arguments, run_command
from jobs.framework.log_lines import clean
from jobs.framework.preflight import check_machine
from jobs.framework.progress import Progress, StageRun, core_seconds
from jobs.framework.spark.jvm_output import JvmOutput
from jobs.framework.spark.spark_session import (
    LateSession,
    check_store,
    silence_jvm,
    start_session,
    warn_of_settings,
)
from jobs.framework.stage import Run, Stage, check_inputs, make_provenance, why_run
from jobs.framework.user_errors import user_error
from jobs.loading.first_record import describe_first_record
from jobs.warehouse.run_marker import mark_in_use
from pivot_udfs.errors import SetupError
from pivot_udfs.schemas import PINNED, made_by
from pivot_udfs.settings import Settings
from pivot_udfs.storage.stores import resolve


def run_job(stage: Stage, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Runs a job that is one stage; returns the exit code, see ``command_line``."""
    reads_release = not made_by(stage.name)
    return with_run(stage.name, description, [stage], partial(run_stage, stage=stage), argv, None, None, reads_release)


def with_run(
    name: str,
    description: str | None,
    stages: Sequence[Stage],
    body: Callable[..., object],
    argv: Sequence[str] | None = None,
    plan: Callable[..., object] | None = None,
    arguments: type[Arguments] | None = None,
    reads_release: bool = False,
) -> int:
    """Parses the command line, starts a session, and runs ``body``, or prints the plan for ``--dry-run``.

    ``stages`` are what ``body`` runs, in order; ``plan`` prints the plan (None: what the stages would do). Both are
    called with the run and, where ``arguments`` is a class, the job's own. ``reads_release``: the tables are those of
    ``warehouse.release``, for jobs that write none. Returns the exit code, see ``command_line``.
    """
    files = {file for stage in stages for file in stage.files}

    def check(settings: Settings) -> bool:
        writes = any(stage.writes(settings) for stage in stages)
        check_machine(settings, files | {"report" for stage in stages if "report" in stage.sections}, writes)
        warn_of_settings(name, settings.spark, settings.cooccurrence.memory_budget_mb)
        return writes

    def release_of(settings: Settings) -> int | None:
        return settings.warehouse.release if reads_release else None

    def with_files(
        run: Run, *own: Arguments, body: Callable[..., object], check_marker: Callable[[], None] | None = None
    ) -> None:
        run.warehouse.check_marker = check_marker or run.warehouse.check_marker
        for file in sorted(files - {"shards"}):
            run.file_hash(file)  # reads it, before anything is computed
        body(run, *own)

    def run(settings: Settings, *own: Arguments) -> None:
        with mark_in_use(resolve(settings.warehouse.path), name) if check(settings) else nullcontext() as check_marker:
            checked = partial(with_files, body=body, check_marker=check_marker)
            _in_session(name, settings, release_of(settings), checked, *own)

    def show(settings: Settings, *own: Arguments) -> None:
        check(settings)
        planned = partial(with_files, body=plan or partial(print_plan, stages=stages))
        _in_session(name, settings, release_of(settings), planned, *own)

    return run_command(name, description, Settings, run, argv, show, arguments, reads_release)


def _in_session(
    name: str, settings: Settings, release: int | None, body: Callable[..., object], *own: Arguments
) -> None:
    """Errors of the JVM that have a known remedy are raised as such; others after what the JVM wrote about them."""
    output, progress = JvmOutput(), Progress()

    def start() -> SparkSession:
        session = start_session(f"semantic-pivots {name}", settings.spark, output)
        check_store(session, resolve(settings.warehouse.path))
        progress.listen(session)
        return session

    try:
        body(Run(cast(SparkSession, LateSession(start)), settings, progress, release=release), *own)
    except KeyboardInterrupt:
        silence_jvm()
        raise
    except Exception as error:
        if known := user_error(error, output.held()):
            raise known from None
        output.show_held()
        raise


def run_stage(run: Run, stage: Stage, skip_unchanged: bool = False) -> None:
    """Runs a stage, with ``skip_unchanged`` only if something has changed.

    Raises WarehouseError, before anything is computed, where it cannot read its inputs or write its tables.
    """
    began, worked = time.monotonic(), core_seconds()
    check_inputs(run, stage.tables_read(run.settings))
    for table in stage.writes(run.settings):
        run.warehouse.check_target(table)
    provenance = make_provenance(run, stage)
    reason = why_run(run, stage, provenance)
    runs = reason is not None or not skip_unchanged
    if runs:
        run.progress.say(stage.name, f"runs: {reason or 'asked for'}")
        with _reported(run, stage):
            stage.run(run, provenance)
    else:
        pinned = ", or pinned until the next refresh" if run.pins else ""
        run.progress.say(stage.name, f"skipped: inputs, settings and version are unchanged{pinned}")
    seconds = round(time.monotonic() - began, 1), round(core_seconds() - worked, 1)
    run.progress.stages.append(StageRun(stage.name, runs, reason, *seconds))


def _reported(run: Run, stage: Stage) -> AbstractContextManager[None]:
    """OpenLineage events of the stage, where ``lineage.target`` is set; else nothing."""
    if not run.settings.lineage.target:
        return nullcontext()
    try:
        from jobs.framework.lineage_events import reported
    except ImportError:
        raise SetupError(
            "lineage.target needs the client of OpenLineage: pip install openlineage-python, or leave it empty"
        ) from None
    return reported(run, stage)


def print_plan(run: Run, stages: Sequence[Stage], skips_unchanged: bool = False) -> None:
    """Prints what a run of stages, in order, would do, and makes its checks, except for tables that would be new."""
    stale: set[str] = set()
    for stage in stages:
        reads = stage.tables_read(run.settings)
        waits = [table for table in reads if table in stale]
        check_inputs(run, [table for table in reads if table not in stale])
        for table in stage.writes(run.settings):
            run.warehouse.check_target(table)
        reason = f"{', '.join(waits)} will be new" if waits else why_run(run, stage, make_provenance(run, stage))
        tables = [run.warehouse.table_path(table) for table in stage.writes(run.settings)]
        first = [describe_first_record(run.shards, run.settings.corpus)] if reason and "shards" in stage.files else []
        lines = [
            f"{stage.name}: {_would(reason, skips_unchanged)}",
            f"  reads  {', '.join(_inputs(run, stage))}",
            *(f"  {line}" for line in first),
            f"  writes {', '.join(tables) or 'no table'}",
        ]
        sys.stdout.write("".join(f"{clean(line)}\n" for line in lines))
        stale |= {table for table in stage.writes(run.settings) if reason and not (run.pins and table in PINNED)}


def _would(reason: str | None, skips_unchanged: bool) -> str:
    if reason:
        return f"would run: {reason}"
    unchanged = "unchanged since it last ran"
    return f"would be skipped: {unchanged}" if skips_unchanged else f"would run: asked for, though {unchanged}"


def _inputs(run: Run, stage: Stage) -> list[str]:
    shards = (
        [f"{len(run.shards)} shards, {sum(s.n_bytes for s in run.shards) / 1e6:.1f} MB"]
        if "shards" in stage.files
        else []
    )
    return [*shards, *(run.warehouse.table_path(table) for table in stage.tables_read(run.settings))]
