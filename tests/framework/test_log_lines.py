"""Lines for a person: no credentials, no control characters, one line for one thing."""

import json
import logging
import sys

import pytest

from jobs.framework import log_lines
from jobs.framework.progress import Progress
from pivot_udfs.errors import ConfigError, CorpusError

SECRET = "wJalrXUtnFEMI-K7MDENG"  # noqa: S105 - a test's


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "_secrets", set())
    log_lines.hide([SECRET, "", "x", "true"])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\x1b[31mred\x07", "a\\nb\\r\\x1b[31mred\\x07"),
        ("水 é \u202etxt", "水 é \\u202etxt"),
        ("bad \udcff name", "bad \\udcff name"),
        ("tab\there", "tab\\there"),
        ("s3a://key:secret@bucket/x", "s3a://***@bucket/x"),
    ],
)
def test_control_characters_are_escaped_and_credentials_hidden(text: str, shown: str) -> None:
    assert log_lines.clean(text) == shown


def test_secret_values_are_hidden_wherever_they_stand(hidden: None) -> None:
    assert log_lines.clean(f"sent {SECRET} as true x") == "sent *** as true x"


def test_secrets_of_the_environment_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert SECRET not in log_lines.clean(f"The request with {SECRET} failed")


def test_log_records_are_one_line_each(hidden: None) -> None:
    record = logging.makeLogRecord({"msg": "%s is\nno shard of %s", "args": ("a\x1b[2Jb", SECRET), "name": "x"})
    line = log_lines.CleanFormatter().format(record)
    assert line == "Level None x: a\\x1b[2Jb is\\nno shard of ***".replace("Level None", record.levelname)


def test_tracebacks_keep_their_lines_and_lose_their_secrets(hidden: None, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError(f"{SECRET} and \x1b]0;title")
    except ValueError as error:
        log_lines.write_traceback(error)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: *** and \\x1b]0;title"


def test_an_error_is_one_line_and_one_for_each_further_fault(capsys: pytest.CaptureFixture[str]) -> None:
    log_lines.write_error("job", CorpusError("a\nb is no shard"))
    log_lines.write_error("job", ConfigError("x.toml cannot be used:", "a.b = 'c\nd': no", "e.f is missing"))
    assert capsys.readouterr().err.splitlines() == [
        "job: CorpusError: a\\nb is no shard",
        "job: ConfigError: x.toml cannot be used:",
        "  a.b = 'c\\nd': no",
        "  e.f is missing",
    ]


def test_a_progress_line_has_its_numbers_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    log_lines.say("traced fr-zh", words=3, share="0.5")
    assert capsys.readouterr().err.split(" ", 1)[1] == "traced fr-zh words=3 share=0.5\n"


def test_a_json_log_record_is_one_line_with_its_traceback(hidden: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "_json_job", ["a_job"])
    try:
        raise ValueError(SECRET)
    except ValueError:
        record = logging.LogRecord("x", logging.WARNING, "", 0, "%s\nlost", (SECRET,), sys.exc_info())
    (line,) = log_lines.CleanFormatter().format(record).splitlines()
    found = json.loads(line)
    assert (found["level"], found["job"], found["message"]) == ("WARNING", "a_job", "x: ***\\nlost")
    assert found["traceback"][-1] == "ValueError: ***"


def test_values_of_a_json_line_do_not_replace_its_own_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log_lines, "_json_job", ["a_job"])
    log_lines.say("packed", job="other", rows=3)
    found = json.loads(capsys.readouterr().err)
    assert (found["job"], found["message"], found["rows"]) == ("a_job", "packed", 3)


@pytest.mark.parametrize(("level", "shown"), [("INFO", 3), ("WARNING", 2), ("ERROR", 1)])
def test_lines_below_the_level_are_not_written(
    level: str, shown: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log_lines, "_least", logging.getLevelNamesMapping()[level])
    log_lines.say("a batch is packed")
    Progress().say("a_stage", "warning: few rows")
    log_lines.write_error("a_job", ConfigError("no such file"))
    assert len(capsys.readouterr().err.splitlines()) == shown
