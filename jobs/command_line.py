"""The command line that all jobs share: ``--config``, ``--set``, ``--dry-run``, and exit codes."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence

from jobs.spark_session import start_session
from jobs.stage import Run, Stage, make_recipe, run_stage, why_run
from pivot_udfs.errors import SemanticPivotsError
from pivot_udfs.load_settings import load_settings, resolved_toml
from pivot_udfs.settings import Settings


def run_job(name: str, description: str, stages: Sequence[Stage], argv: Sequence[str] | None) -> int:
    """Runs a job that is one stage; returns the exit code: 0, or 2 for an error that the user can mend."""
    return with_run(name, description, stages, argv, lambda run: [run_stage(run, stage) for stage in stages])


def with_run(
    name: str, description: str, stages: Sequence[Stage], argv: Sequence[str] | None, body: Callable[[Run], object]
) -> int:
    """Parses the command line, starts a session, and runs ``body``, or prints the plan for ``--dry-run``."""
    arguments = _parse(name, description, argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        settings = load_settings(arguments.config, arguments.set, Settings)
        if arguments.dry_run:
            sys.stdout.write(resolved_toml(settings) + "\n")
        budget = settings.cooccurrence.memory_budget_mb
        run = Run(start_session(f"semantic-pivots {name}", settings.spark, budget), settings)
        if arguments.dry_run:
            sys.stdout.write(_plan(run, stages))
        else:
            body(run)
    except SemanticPivotsError as error:
        sys.stderr.write(f"{name}: {type(error).__name__}: {error}\n")
        return 2
    return 0


def _parse(name: str, description: str, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"{name}.py", description=description)
    parser.add_argument("--config", required=True, help="a TOML file, see conf/")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="overrides one key")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved configuration and the plan, no more")
    return parser.parse_args(argv)


def _plan(run: Run, stages: Sequence[Stage]) -> str:
    lines = []
    stale: set[str] = set()
    for stage in stages:
        waits = sorted(stale & set(stage.reads))
        reason = f"{', '.join(waits)} will be new" if waits else why_run(run, stage, make_recipe(run, stage))
        reason = reason or ("it always does" if not stage.writes(run.settings) else None)
        lines.append(f"{stage.name}: {'would run: ' + reason if reason else 'unchanged since it last ran'}")
        lines.append(f"  reads  {', '.join(_inputs(run, stage))}")
        tables = [run.warehouse.table_path(table) for table in stage.writes(run.settings)]
        lines.append(f"  writes {', '.join(tables) or 'no table'}")
        stale |= set(stage.writes(run.settings)) if reason else set()
    return "\n".join(lines) + "\n"


def _inputs(run: Run, stage: Stage) -> list[str]:
    shards = (
        [f"{len(run.shards)} shards, {sum(s.n_bytes for s in run.shards) / 1e6:.1f} MB"]
        if "shards" in stage.files
        else []
    )
    return [*shards, *(run.warehouse.table_path(table) for table in stage.reads)]
