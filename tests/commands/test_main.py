"""The table of commands, the demo's arguments and shell completion."""

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from jobs.commands.main import JOBS, MODEL_JOBS, ROOT, demo_arguments, main
from pivot_udfs import __version__
from pivot_udfs.load_settings import load_settings
from pivot_udfs.settings import Settings


@pytest.fixture(autouse=True)
def _unchanged_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))


def test_every_job_has_a_command() -> None:
    named = {job.module.rpartition(".")[2] for job in JOBS.values()}
    assert named == {path.stem for path in (ROOT / "jobs").glob("[a-z]*.py")}
    named = {job.module.rpartition(".")[2] for job in MODEL_JOBS.values()}
    assert named == {path.stem for path in (ROOT / "jobs" / "gpu").glob("[a-z]*.py")}


@pytest.mark.parametrize("name", JOBS)
def test_a_command_runs_the_main_function_of_its_job(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(importlib.import_module(JOBS[name].module).main)
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    assert f"usage: {JOBS[name].module.rpartition('.')[2]} " in capsys.readouterr().out


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
