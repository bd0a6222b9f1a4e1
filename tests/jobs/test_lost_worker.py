"""On a standalone cluster that loses a worker in the middle of a run, the tables are those of a local run."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyspark
import pytest
from changing_shards import CHECKED, table
from deltalake import DeltaTable
from small_corpus import SmallCorpus

from pivot_udfs.arms import DEFAULT_ARMS
from pivot_udfs.schemas import PINNED

pytestmark = [pytest.mark.nightly, pytest.mark.cluster, pytest.mark.spark, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
SPARK = Path(pyspark.__file__).parent
CONF = {
    "spark.executor.memory": "800m",
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.shuffle.partitions": "6",
    "spark.ui.enabled": "false",
}
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
    """The URL of a master, and three workers of one core each, with their executors in their process groups."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"spark://127.0.0.1:{free.getsockname()[1]}"
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *arguments: str) -> None:
        command = [str(SPARK / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", "--host", "127.0.0.1"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYSPARK", "SPARK"))}
        log = (tmp_path / f"{len(started)}.log").open("wb")
        started.append(
            subprocess.Popen(
                [*command, "--webui-port", "0", *arguments],
                env=environment | {"SPARK_HOME": str(SPARK), "SPARK_DAEMON_MEMORY": "300m"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        )

    start("master.Master", "--port", url.rpartition(":")[2])
    for number in range(3):
        start("worker.Worker", "--cores", "1", "--memory", "1g", "--work-dir", f"{tmp_path}/work{number}", url)
    yield url, started[1:]
    for process in started:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("stage", ["tokenize_corpus", "count_cooccurrence", "score_documents", "filter_documents"])
def test_a_run_that_loses_a_worker_ends_with_the_tables_of_a_local_run(
    corpus: SmallCorpus,
    cluster: tuple[str, list[subprocess.Popen[bytes]]],
    python_without_this_code: str,
    tmp_path: Path,
    stage: str,
) -> None:
    url, workers = cluster
    conf = ", ".join(f'"{k}" = "{v}"' for k, v in {**CONF, "spark.pyspark.python": python_without_this_code}.items())
    settings = (f"spark.master={url}", f"warehouse.path={tmp_path}/warehouse", f"spark.conf={{{conf}}}")
    command = [sys.executable, str(ROOT / "jobs" / "rebuild_corpus.py"), "--config", corpus.config]
    command += [part for setting in settings for part in ("--set", setting)]
    log = tmp_path / "run.log"
    with log.open("wb") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as run:
        while f"{stage}: runs" not in log.read_text(encoding="utf-8") and run.poll() is None:
            time.sleep(0.1)
        time.sleep(1)
        kill(workers[2])
        run.wait(timeout=600)
    text = log.read_text(encoding="utf-8")
    assert run.returncode == 0, text[-4000:]
    for name in TABLES:
        assert table(tmp_path / "warehouse", name) == table(corpus.folder / "warehouse", name), name
        assert DeltaTable(tmp_path / "warehouse" / name).version() == 0, name
