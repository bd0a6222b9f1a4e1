"""The table of commands, the demo's arguments and shell completion."""

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from jobs.commands.main import JOBS, MODEL_JOBS, ROOT, demo_arguments, main
from jobs.framework import command_line
from pivot_udfs import __version__
from pivot_udfs.load_settings import load_settings
from pivot_udfs.settings import Settings


@pytest.fixture(autouse=True)
def _unchanged_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    monkeypatch.setattr(command_line, "commands", {})


def test_every_job_has_a_command() -> None:
    named = {job.module.rpartition(".")[2] for job in JOBS.values()}
    assert named == {path.stem for path in (ROOT / "jobs").glob("[a-z]*.py")}
    named = {job.module.rpartition(".")[2] for job in MODEL_JOBS.values()}
    assert named == {path.stem for path in (ROOT / "jobs" / "gpu").glob("[a-z]*.py")}


@pytest.mark.parametrize("name", JOBS)
def test_a_command_runs_its_job_under_its_own_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert f"usage: semantic-pivots {name} " in printed
    assert "exit codes: 0 done; 2 to be fixed by the user" in printed
    assert ("--release N" in printed) == (name in ("report", "describe", "explain", "explain-pivot", "query"))


def test_errors_name_commands_as_they_are_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = [*demo_arguments("demo"), "--sql", "SELECT 1"]
    assert main(["query", *asked]) == 2
    error = capsys.readouterr().err
    assert error.startswith("semantic-pivots query: WarehouseError: there are no tables at ")
    assert ": run semantic-pivots rebuild first, or correct warehouse.path" in error
    command_line.commands.clear()
    assert importlib.import_module("jobs.query_tables").main(asked) == 2
    assert "query_tables: WarehouseError" in (error := capsys.readouterr().err)
    assert ": run rebuild_corpus first" in error


def test_the_model_side_without_its_packages_says_how_to_install_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(MODEL_JOBS, "demo", JOBS["demo"]._replace(module="no_such_package"))
    assert main(["model", "demo"]) == 2
    line = "semantic-pivots model: there is no package no_such_package: pip install '.[gpu]' in a checkout, or "
    assert capsys.readouterr().err == f"{line}'FILE[gpu]' with the path of the wheel\n"


def test_a_package_that_a_running_job_lacks_is_an_error_of_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    missing = ModuleNotFoundError("No module named 'torch.nn'")
    assert command_line.report_error("trace_layers", missing) == 2
    assert "SetupError: there is no package torch: pip install '.[gpu]' in a checkout" in capsys.readouterr().err


def test_the_demo_finds_its_samples_from_any_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, config, *sets = demo_arguments("demo")
    settings = load_settings(config, sets[1::2], Settings)
    assert Path(settings.corpus.inputs[0]).is_dir()
    assert Path(settings.tokenizer.path).is_file()
    assert Path(settings.lexicon.path).is_file()
    assert settings.warehouse.path == "out/demo"


def test_a_configuration_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "demo"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["warehouse"] == {"path": "out/demo"}


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"semantic-pivots {__version__}\n"


@pytest.mark.parametrize("name", ["config", "samples", "query", "setup-jars"])
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: semantic-pivots {name} [-h]")


@pytest.mark.parametrize("words", [[], ["no-such-command"], ["model"], ["model", "rebuild"], ["config", "none"]])
def test_an_unknown_command_is_an_error_of_the_user(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert "usage: semantic-pivots" in capsys.readouterr().err


def completions(line: str, folder: Path) -> set[str]:
    """What a shell would offer after ``line``."""
    answer = folder / "answer"
    variables = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": "\n"}
    environment = os.environ | variables | {"_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "jobs.commands.main"], env=environment, cwd=ROOT, check=False)
    return {word.strip() for word in answer.read_text(encoding="utf-8").split("\n")}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("semantic-pivots re", {"rebuild", "report"}),
        ("semantic-pivots model t", {"train", "train-lens", "trace"}),
        ("semantic-pivots maintain --dry", {"--dry-run"}),
        ("semantic-pivots config ol", {"olmo-1b"}),
        ("semantic-pivots explain --format ", {"text", "json"}),
    ],
)
def test_a_shell_completes_commands_and_their_arguments(line: str, expected: set[str], tmp_path: Path) -> None:
    assert completions(line, tmp_path) == expected
