"""Ctrl-C in a terminal, which signals the whole group of processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from small_corpus import SmallCorpus, run_job

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("awaited", "changed"),
    [
        pytest.param("tokenize_corpus: runs: ", "corpus.max_document_bytes=500", marks=pytest.mark.nightly),
        ("count_cooccurrence: runs: ", "cooccurrence.window=20"),
    ],
)
def test_a_run_that_is_interrupted_ends_with_one_line(awaited: str, changed: str, copied: SmallCorpus) -> None:
    command = [sys.executable, ROOT / "jobs" / "rebuild_corpus.py", "--config", copied.config]
    command += ["--set", f"warehouse.path={copied.warehouse}", "--set", changed]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell job ignores it, and passes that on
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    assert any(awaited in line for line in process.stderr)
    os.killpg(process.pid, signal.SIGINT)
    errors = [line for line in process.stderr.read().splitlines() if line and not line.startswith("[")]
    assert (process.wait(), errors) == (130, ["rebuild_corpus: interrupted"])


def test_the_jvm_of_an_interrupted_run_writes_nothing_more(
    spark: "SparkSession", corpus: SmallCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs import rebuild_corpus

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    levels: list[str] = []
    monkeypatch.setattr(rebuild_corpus, "run_changed", interrupt)
    monkeypatch.setattr(type(spark.sparkContext), "setLogLevel", lambda _, level: levels.append(level))
    code, _, _ = run_job(rebuild_corpus.main, corpus)
    assert (code, levels) == (130, ["OFF"])
