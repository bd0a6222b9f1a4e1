"""The command line that every job of the model side shares."""

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from jobs.gpu.common.settings import ModelSettings
from pivot_udfs.errors import SemanticPivotsError
from pivot_udfs.load_settings import load_settings, resolved_toml

Job = Callable[[ModelSettings], None]


def say(text: str, **values: object) -> None:
    """One line on stderr: the time, what happened, and its numbers as ``name=value``."""
    numbers = " ".join(f"{name}={value}" for name, value in values.items())
    print(f"{datetime.now(UTC):%H:%M:%S} {text} {numbers}".rstrip(), file=sys.stderr, flush=True)  # noqa: T201


def run_job(job: Job, description: str, argv: Sequence[str] | None) -> int:
    """Parses ``--config``, ``--set`` and ``--dry-run``, runs the job; our own errors give exit code 2.

    Args:
        job: what to do with the settings.
        description: the job's docstring, shown by ``--help``.
        argv: the arguments; ``None``: the process's own.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="TOML file, see conf/")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="override a key")
    parser.add_argument("--dry-run", action="store_true", help="print the settings in force and stop")
    options = parser.parse_args(argv)
    try:
        settings = load_settings(options.config, options.set, ModelSettings)
        if options.dry_run:
            print(resolved_toml(settings))  # noqa: T201
            return 0
        job(settings)
    except SemanticPivotsError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0
