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

    Each worker has an address of its own, as Spark starts no second attempt of a task on the host of the first.
    ``folder`` takes logs, and for each worker a folder ``work<number>``.
    """
    url = f"spark://127.0.0.1:{free_port()}"
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, host: str, *arguments: str) -> None:
        command = [str(spark_home / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", "--host", host]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYSPARK", "SPARK"))}
        environment |= {
            "SPARK_HOME": str(spark_home),
            "SPARK_DAEMON_MEMORY": "300m",
            "SPARK_DAEMON_JAVA_OPTS": os.environ["SPARK_SUBMIT_OPTS"],
        }
        with (folder / f"{len(started)}.log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    [*command, "--webui-port", "0", *arguments],
                    env=environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    try:
        start("master.Master", "127.0.0.1", "--port", url.rpartition(":")[2])
        for number in range(n_workers):
            address = f"127.0.0.{number + 1}"
            start(
                "worker.Worker",
                address,
                "--cores",
                "1",
                "--memory",
                memory,
                "--work-dir",
                f"{folder}/work{number}",
                url,
            )
        yield url, started[1:]
    finally:
        for process in started:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a worker and its executors, or the master, and waits for the end."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def python_workers(worker: subprocess.Popen[bytes]) -> list[int]:
    """The ids of the Python processes that run the tasks of a worker's executors, or wait for tasks."""
    parents, daemons = {}, set()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if b"pyspark.daemon" in (path / "cmdline").read_bytes():
                daemons.add(int(path.name))
    return [pid for pid in daemons if parents[pid] in daemons and worker.pid in _above(pid, parents)]


def _above(pid: int, parents: dict[int, int]) -> set[int]:
    found = set[int]()
    while pid := parents.get(pid, 0):
        found.add(pid)
    return found
