"""The command line that every job of the model side shares."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from jobs.framework.command_line import run_command
from jobs.gpu.common.settings import ModelSettings

Job = Callable[[ModelSettings], None]


def run_job(job: Job, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Runs a job of the model side with the shared command line; returns the exit code."""
    name = Path(sys.modules[job.__module__].__file__ or "").stem
    return run_command(name, description or "", ModelSettings, job, argv)
