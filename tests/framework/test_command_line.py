"""The command line that both sides share: exit codes, what is printed, and where."""

import argparse
import errno
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.framework.command_line import Arguments, run_command
from jobs.framework.log_lines import say, start_logging
from jobs.framework.progress import Progress
from pivot_udfs.errors import ConfigError, TransientError
from pivot_udfs.setting_sections.setting_types import Section
from pivot_udfs.settings import Spark


class Small(Section):
    """Settings of a job."""

    spark: Spark = Spark()


def raising(error: BaseException) -> Callable[[Any], None]:
    def job(settings: Small) -> None:
        raise error

    return job


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "x.toml").write_text('[spark]\nconf = {"spark.a.secret" = "hunter22"}\n', encoding="utf-8")
    return str(tmp_path / "x.toml")


def run(config: str, job: Callable[[Any], object], *more: str) -> int:
    return run_command("a_job", "Does something.", Small, job, ["--config", config, *more])


def test_a_job_that_ends_well_returns_0_and_gets_its_settings(config: str) -> None:
    found: list[Small] = []
    assert run(config, found.append, "--set", "spark.master=local[3]") == 0
    assert found[0].spark.master == "local[3]"


def test_a_closed_standard_output_is_no_error(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert run(config, raising(AssertionError()), "--dry-run") == 0


class Place(Arguments):
    """Arguments of a job."""

    record: int | None

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--record", type=int)


def test_a_jobs_own_arguments_are_passed_to_it(config: str) -> None:
    found: list[int | None] = []

    def job(settings: Small, place: Place) -> None:
        found.append(place.record)

    for more in (["--record", "7"], []):
        assert run_command("a_job", "", Small, job, ["--config", config, *more], arguments=Place) == 0
    assert found == [7, None]


def test_a_dry_run_prints_settings_without_secrets_and_runs_only_the_plan(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plans: list[Small] = []
    assert run_command("a_job", "", Small, raising(ValueError()), ["--config", config, "--dry-run"], plans.append) == 0
    printed = capsys.readouterr().out
    assert "[spark]" in printed
    assert "hunter22" not in printed
    assert plans[0].spark.conf == {"spark.a.secret": "hunter22"}


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("no: do this"), "a_job: ConfigError: no: do this"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/w/x"),
            "a_job: SetupError: a disk is full (/w/x): free ",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/w"), "a_job: SetupError: permission denied (/w): change"),
        (OSError(errno.EROFS, "Read-only file system", "/w"), "a_job: SetupError: a file system is read-only (/w): "),
        (OSError(errno.EMFILE, "Too many open files"), "a_job: SetupError: too many open files: raise the limit"),
    ],
)
def test_what_the_user_can_fix_is_one_line_and_returns_2(
    config: str, capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    assert run(config, raising(error)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(line)


def test_a_fault_that_passes_returns_75(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the error is reported as: names of jobs in it are those that the user types."""
    for error in (TransientError("another run: wait"), OSError(errno.EIO, "Input/output error", "/w")):
        assert run(config, raising(error)) == os.EX_TEMPFAIL == 75
        assert capsys.readouterr().err.startswith("a_job: TransientError: ")


def test_anything_else_is_a_traceback_without_secrets_and_returns_1(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, raising(KeyError("hunter22 is no key"))) == 1
    written = capsys.readouterr().err
    assert written.startswith("Traceback (most recent call last):")
    assert written.splitlines()[-1] == "KeyError: '*** is no key'"


def test_an_interrupt_returns_130(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err.strip() == "a_job: interrupted"


def test_unknown_flags_are_refused_with_2(config: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run(config, raising(ValueError()), "--dryrun")
    assert ended.value.code == 2


def test_json_lines_have_time_level_job_stage_and_message(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of progress, results, errors and tracebacks."""

    def job(settings: Small) -> None:
        Progress().say("a_stage", "runs\nhunter22")
        say("packed", rows=3)
        raise ConfigError("no:", "a is missing")

    assert run(config, job, "--log-format", "json") == 2
    assert run(config, raising(KeyError("hunter22")), "--log-format", "json") == 1
    assert run(config, raising(KeyboardInterrupt()), "--log-format", "json") == 130
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert all({"time", "level", "job", "stage", "message"} <= line.keys() for line in lines)
    assert {line["job"] for line in lines} == {"a_job"}
    assert [(line["level"], line["stage"], line["message"]) for line in lines] == [
        ("INFO", "a_stage", "runs\\n***"),
        ("INFO", "", "packed"),
        ("ERROR", "", "ConfigError: no: a is missing"),
        ("ERROR", "", "KeyError: '***'"),
        ("ERROR", "", "a_job: interrupted"),
    ]
    assert lines[1]["rows"] == 3
    assert lines[3]["traceback"][0] == "Traceback (most recent call last):"
    start_logging()


def test_no_trace_is_logged_of_a_call_to_the_jvm_that_interrupts_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Py4J does where Spark's handler of Ctrl-C calls the JVM."""
    monkeypatch.setattr(logging.root, "handlers", [])
    start_logging()
    (handler,) = logging.root.handlers
    shown = []
    for cause in ("reentrant call inside <_io.BufferedReader name=6>", "a fault"):
        try:
            try:
                raise RuntimeError(cause)
            except RuntimeError:
                raise ConnectionError  # noqa: B904
        except ConnectionError:
            record = logging.LogRecord("root", logging.ERROR, "", 0, "sending a command", (), sys.exc_info())
            shown.append(bool(handler.filter(record)))
    assert shown == [False, True]


AS_SPARK_SUBMIT = """
import subprocess, sys
sys.exit(subprocess.run(sys.argv[1:], stderr=subprocess.STDOUT).returncode)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("is_submitted", [True, False])
def test_errors_leave_the_standard_output_to_which_spark_submit_sends_them(is_submitted: bool) -> None:
    root = Path(__file__).parents[2]
    job = [sys.executable, str(root / "jobs" / "query_tables.py"), "--config", "nowhere.toml", "--sql", "SELECT 1"]
    port = {"PYSPARK_GATEWAY_PORT": "1"} if is_submitted else {}
    done = subprocess.run(
        [sys.executable, "-c", AS_SPARK_SUBMIT, *job],
        env=os.environ | {"PYTHONPATH": str(root)} | port,
        capture_output=True,
        text=True,
        check=False,
    )
    errors, other = (done.stderr, done.stdout) if is_submitted else (done.stdout, done.stderr)
    assert (done.returncode, other) == (2, "")
    assert errors.startswith("query_tables: ConfigError: ")
