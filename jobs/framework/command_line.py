"""The command line that all jobs share: ``--config``, ``--set``, ``--dry-run``, and exit codes."""

import argparse
import logging
import re
import sys
import traceback
from collections.abc import Callable, Sequence

from jobs.framework.spark_session import start_session
from jobs.framework.stage import Run, Stage, check_inputs, make_provenance, run_stage, why_run
from pivot_udfs import errors
from pivot_udfs.errors import SemanticPivotsError
from pivot_udfs.load_settings import load_settings, resolved_toml
from pivot_udfs.settings import Settings

_WORKER_TRACEBACK = re.compile(r"^.*Traceback \(most recent call last\):\n(?:[ \t].*\n)+(\S.*)$", re.MULTILINE)
_OF_OURS = re.compile(r"pivot_udfs\.errors\.(\w+): (.*)")


def run_job(name: str, description: str, stages: Sequence[Stage], argv: Sequence[str] | None) -> int:
    """Runs a job that is one stage; returns the exit code: 0, or 2 for an error that the user can mend."""
    return with_run(name, description, stages, argv, lambda run: [run_stage(run, stage) for stage in stages])


def with_run(
    name: str,
    description: str,
    stages: Sequence[Stage],
    argv: Sequence[str] | None,
    body: Callable[[Run], object],
    skips_unchanged: bool = False,
) -> int:
    """Parses the command line, starts a session, and runs ``body``, or prints the plan for ``--dry-run``.

    Args:
        name: of the job.
        description: for ``--help``.
        stages: what ``body`` runs, in order.
        argv: the command line, without the program.
        body: does the work.
        skips_unchanged: whether ``body`` leaves out stages that have not changed.

    Returns:
        0; 2 for an error that the user can mend; 1 where a worker failed in another way.
    """
    arguments = _parse(name, description, argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        settings = load_settings(arguments.config, arguments.set, Settings)
        if arguments.dry_run:
            sys.stdout.write(resolved_toml(settings) + "\n")
        budget = settings.cooccurrence.memory_budget_mb
        run = Run(start_session(f"semantic-pivots {name}", settings.spark, budget), settings)
        if arguments.dry_run:
            sys.stdout.write(_plan(run, stages, skips_unchanged))
        else:
            body(run)
    except SemanticPivotsError as error:
        sys.stderr.write(f"{name}: {type(error).__name__}: {error}\n")
        return 2
    except Exception as error:
        cause = worker_error(str(error))
        if cause is None:
            raise
        return _tell_of_worker(name, cause)
    return 0


def worker_error(told: str) -> str | None:
    """The last line of the Python traceback in what Spark says of a failed task; None where there is none."""
    found = _WORKER_TRACEBACK.findall(told)
    return found[-1].strip() if found else None


def _tell_of_worker(name: str, cause: str) -> int:
    """An error that a worker raised on purpose needs no traceback; any other is shown in full, its cause last."""
    ours = _OF_OURS.fullmatch(cause)
    if ours and hasattr(errors, ours[1]):
        sys.stderr.write(f"{name}: {ours[1]}: {ours[2]}\n")
        return 2
    traceback.print_exc()
    sys.stderr.write(f"{name}: a worker failed: {cause}\n")
    return 1


def _parse(name: str, description: str, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"{name}.py", description=description)
    parser.add_argument("--config", required=True, help="a TOML file, see conf/")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="overrides one key")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved configuration and the plan, no more")
    return parser.parse_args(argv)


def _plan(run: Run, stages: Sequence[Stage], skips_unchanged: bool) -> str:
    """What a run would do; it makes the checks that a run makes, but for tables that would be new."""
    lines = []
    stale: set[str] = set()
    for stage in stages:
        reads = stage.tables_read(run.settings)
        waits = [table for table in reads if table in stale]
        check_inputs(run, [table for table in reads if table not in stale])
        for table in stage.writes(run.settings):
            run.warehouse.check_target(table)
        reason = f"{', '.join(waits)} will be new" if waits else why_run(run, stage, make_provenance(run, stage))
        lines.append(f"{stage.name}: {_would(reason, skips_unchanged)}")
        lines.append(f"  reads  {', '.join(_inputs(run, stage))}")
        tables = [run.warehouse.table_path(table) for table in stage.writes(run.settings)]
        lines.append(f"  writes {', '.join(tables) or 'no table'}")
        stale |= set(stage.writes(run.settings)) if reason else set()
    return "\n".join(lines) + "\n"


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
