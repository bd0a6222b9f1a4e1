"""The command line of every job: ``--config``, ``--set``, ``--dry-run``, ``--log-level``, exit codes.

Exit codes: 0; 2 for what the user can fix and 75 for a fault that can pass, with one line that says what to do; 1 for
anything else, with a traceback; 130 after an interrupt. This module needs neither Spark nor torch.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from jobs.framework.log_lines import hide, is_json, start_logging, write_error, write_line, write_traceback
from jobs.framework.user_errors import user_error, worker_error
from pivot_udfs import __version__
from pivot_udfs.load_settings import load_settings, resolved_toml, secret_values

S = TypeVar("S", bound=BaseModel)
EXIT_CODES = "exit codes: 0 done; 2 to be fixed by the user; 75 may pass, run it again later; 130 interrupted; 1 a bug"
commands: dict[str, str] = {}
"""What a user of the installed command types for a job, by the job's name; empty where jobs are run by their files."""


class Arguments(argparse.Namespace):
    """A job's own arguments: a subclass declares their attributes, which the parser sets."""

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Adds them to the parser."""


def run_command(
    name: str,
    description: str | None,
    model: type[S],
    run: Callable[..., object],
    argv: Sequence[str] | None = None,
    plan: Callable[..., object] | None = None,
    arguments: type[Arguments] | None = None,
    reads_release: bool = False,
) -> int:
    """Parses the command line, loads the settings (``model``) and runs the job; returns the exit code.

    ``plan`` is what ``--dry-run`` does after it has printed the settings. Both are called with the settings and, where
    ``arguments`` is the class of the job's own, with these. ``reads_release``: the job takes ``--release N``, which
    sets ``warehouse.release``.
    """
    parser, options = _parser(name, description), (arguments or Arguments)()
    own = [options] if arguments else []
    if reads_release:
        parser.add_argument(
            "--release", metavar="N", help="number of the release that is read; default: warehouse.release, the newest"
        )
    options.add_to(parser)
    if "_ARGCOMPLETE" in os.environ:  # set by a shell that completes; a GPU machine need not have the package
        import argcomplete

        argcomplete.autocomplete(parser)
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - None if closed
    separate_errors()
    parser.parse_args(argv, namespace=options)
    start_logging(name, options.log_format == "json", options.log_level.upper())
    try:
        number = getattr(options, "release", None)
        release = [] if number is None else [f"warehouse.release={number}"]
        settings = load_settings(options.config, [*options.set, *release], model)
        hide(secret_values(settings.model_dump()))
        if not options.dry_run:
            run(settings, *own)
        else:
            sys.stdout.write(resolved_toml(settings, hide_secrets=True) + "\n")
            if plan:
                plan(settings, *own)
    except KeyboardInterrupt:
        sys.stderr.write("" if is_json() else "\n")
        write_line(f"{name}: interrupted", "ERROR")
        return 130
    except Exception as error:
        return report_error(name, error)
    return 0


def separate_errors() -> None:
    """Under ``spark-submit``, which sends standard error of its Python to standard output, takes its own instead."""
    if "PYSPARK_GATEWAY_PORT" in os.environ and os.path.sameopenfile(1, 2):
        with suppress(OSError):  # not on Linux, or a socket: lines stay where Spark sends them
            errors = os.open(f"/proc/{os.getppid()}/fd/2", os.O_WRONLY | os.O_APPEND)
            os.dup2(errors, 2)
            os.close(errors)


def report_error(name: str, error: Exception) -> int:
    """Writes an error and returns the exit code: that of a known error, of which one line is written, or 1."""
    if known := user_error(error):
        known = type(known)(
            *(re.sub(r"(?<=\brun )\w+", lambda job: commands.get(job[0], job[0]), str(part)) for part in known.args)
        )
        write_error(commands.get(name, name), known)
        return known.exit_code
    write_traceback(error)
    if cause := worker_error(str(error)):
        write_line(f"{name}: a worker failed: {cause}", "ERROR")
    return 1


def _parser(name: str, description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=commands.get(name, name),
        description=description,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", required=True, help="a TOML file (semantic-pivots config prints one)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="overrides one key; may be repeated"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the resolved configuration and the plan only")
    parser.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="json: one object a line, for log collectors"
    )
    parser.add_argument(
        "--log-level",
        choices=("info", "warning", "error"),
        default="info",
        help="the least severe lines that are shown",
    )
    parser.add_argument("--version", action="version", version=f"semantic-pivots {__version__}")
    return parser
