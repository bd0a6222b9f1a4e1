"""A real process on a machine that is not as it should be: one line and exit code 2, or it works all the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.spark, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]


def tokenize(folder: Path, *overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The job in a process of its own, on one short document."""
    (folder / "a.jsonl").write_text('{"id": "1", "source": "s", "text": "water", "lang": "en"}\n', encoding="utf-8")
    sets = [f"corpus.inputs={folder}/a.jsonl", "spark.master=local[1]", f"warehouse.path={folder}/w", *overrides]
    command = [sys.executable, "jobs/tokenize_corpus.py", "--config", "conf/demo.toml"]
    command += [part for override in sets for part in ("--set", override)]
    env = {key: value for key, value in os.environ.items() if key != "LC_ALL"} | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=500, check=False)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            'spark.conf={"spark.driver.extraJavaOptions" = "-Xms9999t"}',
            "lower spark.driver.memory",
        ),
        ('spark.conf={"spark.memory.offHeap.size" = "3 bananas"}', "spark.memory.offHeap.size"),
    ],
)
def test_what_only_the_jvm_can_find_is_one_line_without_its_traces(tmp_path: Path, override: str, line: str) -> None:
    done = tokenize(tmp_path, override)
    *progress, error = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert line in error
    assert [said for said in progress if "] tokenize_corpus: " not in said] == []


def test_paths_beyond_ascii_work_in_the_posix_locale(tmp_path: Path) -> None:
    done = tokenize(tmp_path, f"warehouse.path={tmp_path}/été", LC_ALL="POSIX")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "été" / "documents" / "_delta_log").is_dir()
    assert [line for line in done.stderr.splitlines() if "tokenize_corpus: " not in line] == []
