"""What a session adds to the configuration of the cluster: Delta beside other extensions, and warnings about memory."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark import SparkContext

from jobs.framework import spark_session
from jobs.framework.spark_session import LateSession, memory_warning, with_delta
from pivot_udfs.load_settings import load_settings
from pivot_udfs.settings import Settings, Spark

ROOT = Path(__file__).parents[2]
DELTA = "io.delta.sql.DeltaSparkSessionExtension"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, DELTA),
        ("", DELTA),
        (DELTA, DELTA),
        ("org.example.Other", f"org.example.Other,{DELTA}"),
        (f"{DELTA}, org.example.Other", f"{DELTA},org.example.Other"),
    ],
)
def test_delta_joins_the_extensions_that_are_there(given: str | None, wanted: str) -> None:
    assert with_delta(given) == wanted


def conf(cores: str | None, overhead: str | None, task_cpus: str | None = None) -> dict[str, str]:
    found = {
        "spark.executor.cores": cores,
        "spark.executor.memoryOverhead": overhead,
        "spark.task.cpus": task_cpus,
    }
    return {key: value for key, value in found.items() if value is not None}


@pytest.mark.parametrize(
    ("cores", "overhead", "task_cpus"),
    [("4", "4g", None), ("4", "8191", None), ("4", "8191m", None), ("8", "8191MB", "2"), ("1", "2097151k", None)],
)
def test_too_little_memory_for_the_workers_is_warned_of(cores: str, overhead: str, task_cpus: str | None) -> None:
    warning = memory_warning(conf(cores, overhead, task_cpus).get, 2048)
    assert warning is not None
    assert "spark.executor.memoryOverhead" in warning
    assert "memory_budget_mb = 2048" in warning


@pytest.mark.parametrize(
    ("cores", "overhead", "task_cpus"),
    [("4", "8g", None), ("4", "8192", None), ("8", "8g", "2"), (None, "1g", None), ("4", None, None), ("4", "?", None)],
)
def test_enough_or_unknown_memory_is_not_warned_of(
    cores: str | None, overhead: str | None, task_cpus: str | None
) -> None:
    assert memory_warning(conf(cores, overhead, task_cpus).get, 2048) is None


def test_the_cluster_command_and_its_configuration_agree() -> None:
    settings = load_settings(str(ROOT / "conf" / "cluster.toml"), [], Settings)
    command = re.findall(r"--executor-cores (\d+)", (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8"))
    assert command
    for cores in command:
        found = settings.spark.conf | {"spark.executor.cores": cores}
        assert settings.spark.conf["spark.executor.memoryOverhead"]
        assert memory_warning(found.get, settings.cooccurrence.memory_budget_mb) is None


@pytest.mark.parametrize(
    ("master", "given", "level"),
    [
        ("yarn", {}, "WARN"),
        ("spark://host:7077", {}, "WARN"),
        ("k8s://https://h:1", {}, "WARN"),
        ("local-cluster[2,1,1024]", {}, "ERROR"),
        ("local[2]", {}, "ERROR"),
        ("yarn", {"spark.log.level": "INFO"}, "INFO"),
        ("local[2]", {"spark.log.level": "DEBUG"}, "DEBUG"),
    ],
)
def test_the_lines_of_spark_begin_at_warnings_unless_another_level_is_set(
    master: str, given: dict[str, str], level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SparkContext, "_jvm", None)  # else its properties are among the settings
    assert spark_session._conf("a job", Spark(master=master, conf=given)).get("spark.log.level") == level


def test_a_session_starts_when_it_is_first_used_and_once() -> None:
    started: list[str] = []

    def start() -> Any:
        started.append("a session")
        return SimpleNamespace(version="4.2.0", range=lambda n: list(range(n)))

    session: Any = LateSession(start)
    assert started == []
    assert (session.version, session.range(2)) == ("4.2.0", [0, 1])
    assert started == ["a session"]


def test_an_attribute_error_while_a_session_starts_is_shown() -> None:
    def start() -> Any:
        raise AttributeError("no JVM")

    with pytest.raises(AttributeError, match="no JVM"):
        _ = LateSession(start).version
