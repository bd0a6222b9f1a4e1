"""On a standalone cluster that loses a worker, or a Python process, in a run, the tables are those of a local run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pyspark
import pytest
from changing_shards import CHECKED, table
from deltalake import DeltaTable
from small_corpus import SmallCorpus
from standalone_cluster import kill, python_workers, standalone_cluster

from pivot_udfs.arms import DEFAULT_ARMS
from pivot_udfs.schemas import PINNED

pytestmark = [pytest.mark.nightly, pytest.mark.cluster, pytest.mark.spark, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
CONF = {
    "spark.executor.memory": "800m",
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.shuffle.partitions": "6",
    "spark.ui.enabled": "false",
}
SPECULATION = {"spark.speculation": "true", "spark.speculation.quantile": "0.3", "spark.speculation.multiplier": "1.2"}
TABLES = (*CHECKED, *PINNED, "document_scores", *(f"datasets/{arm}" for arm in DEFAULT_ARMS))


@pytest.fixture
def python_without_this_code(tmp_path: Path) -> str:
    """An interpreter with the installed packages, but no path to this checkout."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    (packages,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    (packages / "more.pth").write_text(f"{Path(pyspark.__file__).parents[1]}\n")
    return str(tmp_path / "env" / "bin" / "python")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The URL of a master, and three workers."""
    with standalone_cluster(tmp_path, 3) as started:
        yield started


def rebuild_with_fault(
    corpus: SmallCorpus, folder: Path, conf: dict[str, str], stage: str, fault: Callable[[], object]
) -> None:
    """Rebuilds into ``folder/warehouse``; a second after a stage has begun something happens."""
    settings = ", ".join(f'"{key}" = "{value}"' for key, value in {**CONF, **conf}.items() if key != "spark.master")
    sets = (f"spark.master={conf['spark.master']}", f"warehouse.path={folder}/warehouse", f"spark.conf={{{settings}}}")
    command = [sys.executable, str(ROOT / "jobs" / "rebuild_corpus.py"), "--config", corpus.config]
    command += [part for setting in sets for part in ("--set", setting)]
    log = folder / "run.log"
    with log.open("wb") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as run:
        while f"{stage}: runs" not in log.read_text(encoding="utf-8") and run.poll() is None:
            time.sleep(0.1)
        time.sleep(1)
        fault()
        run.wait(timeout=600)
    text = log.read_text(encoding="utf-8")
    assert run.returncode == 0, text[-4000:]
    for name in TABLES:
        assert table(folder / "warehouse", name) == table(corpus.folder / "warehouse", name), name
        assert DeltaTable(folder / "warehouse" / name).version() == 0, name


@pytest.mark.parametrize("stage", ["tokenize_corpus", "count_cooccurrence", "score_documents", "filter_documents"])
def test_a_run_that_loses_a_worker_ends_with_the_tables_of_a_local_run(
    corpus: SmallCorpus,
    cluster: tuple[str, list[subprocess.Popen[bytes]]],
    python_without_this_code: str,
    tmp_path: Path,
    stage: str,
) -> None:
    url, workers = cluster
    conf = {"spark.master": url, "spark.pyspark.python": python_without_this_code}
    rebuild_with_fault(corpus, tmp_path, conf, stage, lambda: kill(workers[2]))


@pytest.mark.parametrize("stage", ["tokenize_corpus", "count_cooccurrence"])
@pytest.mark.parametrize("sent", [signal.SIGSTOP, signal.SIGKILL])
def test_a_run_with_a_stopped_or_killed_python_worker_ends_with_the_tables_of_a_local_run(
    corpus: SmallCorpus,
    cluster: tuple[str, list[subprocess.Popen[bytes]]],
    python_without_this_code: str,
    tmp_path: Path,
    stage: str,
    sent: signal.Signals,
) -> None:
    """The task of a stopped worker never ends: speculation runs it a second time on another."""
    url, workers = cluster
    conf = {"spark.master": url, "spark.pyspark.python": python_without_this_code, **SPECULATION}
    hit: list[int] = []

    def send() -> None:
        deadline = time.monotonic() + 60
        while not hit and time.monotonic() < deadline:
            hit.extend(python_workers(workers[2]))
            time.sleep(0.1)
        assert hit
        for pid in hit:
            os.kill(pid, sent)

    try:
        rebuild_with_fault(corpus, tmp_path, conf, stage, send)
    finally:
        for pid in hit:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
