"""What many tests share: the samples' tokenizer, and one local Spark session, started when first used."""

import fcntl
import os
import pickle
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from s3_server import ENVIRONMENT, free_port
from small_corpus import SmallCorpus, must_work, run_job, stages_run, write_small_corpus

from pivot_udfs.tokenization.backends import TokenizerSpec, load_tokenizer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.report.report_types import Report

# Busy machines are slow machines: a deadline would test the machine.
settings.register_profile("project", deadline=None, print_blob=True)
settings.load_profile("project")

SAMPLES = Path(__file__).parent / "samples"
# Matplotlib writes to the home folder otherwise. JVMs live for a minute: the optimizing compiler and parallel
# collection cost more than they give.
os.environ.setdefault("MPLCONFIGDIR", str(Path(tempfile.gettempdir(), f"semantic-pivots-matplotlib-{os.getuid()}")))
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--update-golden`` keeps the outputs of every stage as the ones to compare with."""
    parser.addoption("--update-golden", action="store_true", help="keep this run's outputs in tests/golden")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves ``nightly`` tests out unless ``-m`` names them; in ``addopts`` any other ``-m`` would bring them back.

    What starts Spark comes first, so that other tests fill the time where tests run in several processes. These share
    files (``--dist loadfile``): pytest 9.2 does not give xdist 3.8 the groups of ``--dist loadgroup``.
    """
    if "nightly" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("nightly")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: item.get_closest_marker("spark") is None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What ``tests/jobs/test_killed_anywhere.py`` has tried, as a table of Markdown."""
    tests = terminalreporter.stats.get("passed", [])
    rows = [value for test in tests for name, value in test.user_properties if name == "kills"]
    for row in [("killed run", "operations", "tried", "files left over"), ("---",) * 4, *rows] if rows else []:
        terminalreporter.write_line("| " + " | ".join(map(str, row)) + " |")


@pytest.fixture(scope="session")
def sample_tokenizer() -> TokenizerSpec:
    """The real tokenizer of the samples."""
    return load_tokenizer(str(SAMPLES / "tokenizer.json"))


class FixedEnvironment(dict[str, str]):
    """Of Python workers. Runs do not change it: Spark starts new workers for each address at which a run listens."""

    def __setitem__(self, key: str, value: str) -> None:
        pass


@pytest.fixture(scope="session")
def s3_port() -> int:
    """The port at which Spark expects an S3 server, which a test may start there."""
    return free_port()


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory, s3_port: int) -> Iterator["SparkSession"]:
    """A small Spark session with Delta; importing pyspark waits until a test asks for it."""
    from jobs.framework.spark.spark_session import start_session
    from pivot_udfs.settings import Spark

    root = str(Path(__file__).parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    conf = {
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.memory": "2g",
        "spark.ui.enabled": "false",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",  # VACUUM starts so many tasks
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("spark-warehouse")),
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.sql.adaptive.coalescePartitions.enabled": "true",
        # Compiling a plan takes longer than running it on so few rows; processes of their own do compile.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    }
    with pytest.MonkeyPatch.context() as patch:  # Spark has the environment in which its JVM is started
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3_port}"}.items():
            patch.setenv(name, value)
        session = start_session("tests", Spark(master="local[2]", conf=conf))
    session.sparkContext.environment = FixedEnvironment(session.sparkContext.environment)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def _rebuilt(tmp_path_factory: pytest.TempPathFactory, spark: "SparkSession") -> tuple[SmallCorpus, "Report"]:
    """A small corpus, and the content of its report. The first test process that asks rebuilds it for all others."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "small-corpus"
    kept = folder / "rebuilt.pickle"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            kept.write_bytes(pickle.dumps(_rebuild(folder)))
    made: tuple[SmallCorpus, Report] = pickle.loads(kept.read_bytes())  # noqa: S301 - written above
    return made


def _rebuild(folder: Path) -> tuple[SmallCorpus, "Report"]:
    from jobs import rebuild_corpus
    from jobs.report import read_report

    small, reports = write_small_corpus(folder), []
    read = read_report.read_report
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_report, "read_report", lambda run: reports.append(read(run)) or reports[0])
        log_text = must_work(run_job(rebuild_corpus.main, small))
    assert len(stages_run(log_text)) == 5
    assert "count_cooccurrence: warning: " in log_text
    assert " lexicon words occur in no document, for example " in log_text
    return small, reports[0]


@pytest.fixture(scope="session")
def corpus(_rebuilt: tuple[SmallCorpus, "Report"]) -> SmallCorpus:
    """A small corpus that has been rebuilt once; tests that change its tables ask for ``copied``."""
    return _rebuilt[0]


@pytest.fixture(scope="session")
def report(_rebuilt: tuple[SmallCorpus, "Report"]) -> "Report":
    """The content of that rebuild's page."""
    return _rebuilt[1]


@pytest.fixture
def copied(corpus: SmallCorpus, tmp_path: Path) -> SmallCorpus:
    """The small corpus with a copy of its warehouse."""
    shutil.copytree(corpus.warehouse, tmp_path / "warehouse")
    return replace(corpus, copy=tmp_path / "warehouse")
