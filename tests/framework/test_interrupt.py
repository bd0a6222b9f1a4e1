"""Ctrl-C in a terminal, which signals the whole group of processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small_corpus import write_small_corpus

pytestmark = [pytest.mark.spark, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "awaited",
    [
        pytest.param("tokenize_corpus: runs: ", marks=pytest.mark.nightly),
        "count_cooccurrence: runs: ",
    ],
)
def test_a_run_that_is_interrupted_ends_with_one_line(awaited: str, tmp_path: Path) -> None:
    corpus = write_small_corpus(tmp_path)
    command = [sys.executable, ROOT / "jobs" / "rebuild_corpus.py", "--config", corpus.config]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell job ignores it, and passes that on
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    assert any(awaited in line for line in process.stderr)
    os.killpg(process.pid, signal.SIGINT)
    errors = [line for line in process.stderr.read().splitlines() if line and not line.startswith("[")]
    assert (process.wait(), errors) == (130, ["rebuild_corpus: interrupted"])
