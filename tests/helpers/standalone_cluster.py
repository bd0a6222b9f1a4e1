"""A standalone cluster of Spark on this machine: a master and workers of one core, each a process of its own."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyspark
from s3_server import free_port

SPARK = Path(pyspark.__file__).parent


@contextmanager
def standalone_cluster(
    folder: Path, n_workers: int, memory: str = "1g", spark_home: Path = SPARK
) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The URL of the master, and the workers, with their executors in their process groups.

    ``folder`` takes logs, and for each worker a folder ``work<number>``.
    """
    url = f"spark://127.0.0.1:{free_port()}"
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *arguments: str) -> None:
        command = [str(spark_home / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", "--host", "127.0.0.1"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYSPARK", "SPARK"))}
        with (folder / f"{len(started)}.log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    [*command, "--webui-port", "0", *arguments],
                    env=environment | {"SPARK_HOME": str(spark_home), "SPARK_DAEMON_MEMORY": "300m"},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    try:
        start("master.Master", "--port", url.rpartition(":")[2])
        for number in range(n_workers):
            start("worker.Worker", "--cores", "1", "--memory", memory, "--work-dir", f"{folder}/work{number}", url)
        yield url, started[1:]
    finally:
        for process in started:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a worker and its executors, or the master, and waits for the end."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
