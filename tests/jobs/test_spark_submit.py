"""The whole pipeline by spark-submit on a cluster of two workers, as the README's cluster line starts it.

The Spark has no Delta jars: they come from ``--packages``. Executors import the zip, and tables are the golden ones.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from golden_outputs import read_golden, table_hash
from small_corpus import write_small_corpus
from spark_without_delta import delta_packages, spark_home_without_delta

pytestmark = [pytest.mark.cluster, pytest.mark.spark, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
COMPARED = [
    "documents",
    "quarantine",
    "token_cooccurrence",
    "word_cooccurrence",
    "word_totals",
    "token_totals",
    "pivots",
]
ARMS = ["pivot", "random", "matched", "parallel"]
COMPARED += [f"datasets/{arm}" for arm in ARMS]

WRITE_DOWN = """
import os as _os
with open({log!r}, "a") as _log:
    _log.write(f"{{_os.getpid()}} {{_os.path.abspath(__file__)}}\\n")
"""


def build_zip(path: Path, log: Path) -> None:
    """The zip of `make dist`, in which pivot_udfs logs each process that imports it, and from where."""
    made = path.with_suffix(".made.zip")
    subprocess.run([sys.executable, ROOT / "jobs" / "framework" / "code_zip.py", made], check=True, capture_output=True)
    with zipfile.ZipFile(made) as plain, zipfile.ZipFile(path, "w") as archive:
        for name in plain.namelist():
            added = WRITE_DOWN.format(log=str(log)) if name == "pivot_udfs/__init__.py" else ""
            archive.writestr(name, plain.read(name) + added.encode())


def clean_environment() -> dict[str, str]:
    """No path to this checkout, nothing of Spark's or numba's that this process has set; its python3 first."""
    foreign = ("PYTHON", "PYSPARK", "SPARK", "COV_", "NUMBA_", "XDG_")
    kept = {k: v for k, v in os.environ.items() if k == "SPARK_SUBMIT_OPTS" or not k.startswith(foreign)}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small corpus that was rebuilt on a cluster, from a copy of jobs/, the zip and ``--packages`` alone."""
    folder = tmp_path_factory.mktemp("cluster")
    corpus = write_small_corpus(folder)
    build_zip(folder / "semantic_pivots.zip", folder / "imports.log")
    shutil.copytree(ROOT / "jobs", folder / "app", ignore=shutil.ignore_patterns("gpu", "__pycache__"))
    spark_home = spark_home_without_delta(folder / "spark")
    command = [
        str(spark_home / "bin" / "spark-submit"), *delta_packages(folder), "--master", "local-cluster[2,1,2048]",
        "--conf", "spark.executor.memory=1g", "--driver-memory", "1g", "--conf", "spark.ui.enabled=false",
        "--conf", "spark.sql.shuffle.partitions=3", "--conf", f"spark.sql.warehouse.dir={folder}/spark-warehouse",
        "--conf", "spark.executorEnv.HOME=/dev/null",
        "--conf", f"spark.executor.extraJavaOptions={os.environ['SPARK_SUBMIT_OPTS']}",
        "--py-files", str(folder / "semantic_pivots.zip"), str(folder / "app" / "rebuild_corpus.py"),
        "--config", corpus.config, "--set", f"selection.arms={json.dumps(ARMS)}",
    ]  # fmt: skip
    environment = clean_environment() | {"SPARK_HOME": str(spark_home)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    yield folder
    for path in executor_folders(folder):
        shutil.rmtree(path.parent, ignore_errors=True)


def imports(folder: Path) -> list[tuple[str, Path]]:
    """Process and file of every import of pivot_udfs."""
    lines = [line.split(" ", 1) for line in (folder / "imports.log").read_text(encoding="utf-8").splitlines()]
    return [(process, Path(path)) for process, path in lines]


def executor_folders(folder: Path) -> set[Path]:
    """Where each executor has its copy of the zip: Spark's work folder, app-.../0 and 1."""
    found = {path.parents[2] for _, path in imports(folder)}
    return {path for path in found if path.parent.name.startswith("app-")}


def test_every_process_imported_the_zip(submitted: Path) -> None:
    found = imports(submitted)
    for _, path in found:
        assert path.parts[-3:] == ("semantic_pivots.zip", "pivot_udfs", "__init__.py")
    assert len(executor_folders(submitted)) == 2, found
    assert len({process for process, _ in found}) >= 3, "the driver and a worker on each executor"


@pytest.mark.parametrize("table", COMPARED)
def test_the_cluster_gives_the_local_run_s_rows(submitted: Path, table: str) -> None:
    golden = {name: value for stage in read_golden().values() for name, value in stage["outputs"].items()}
    assert table_hash(submitted / "warehouse" / table, submitted) == golden[table]
