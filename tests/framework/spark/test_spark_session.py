"""What a session adds to the configuration of the cluster: Delta beside other extensions, and its log level."""

from types import SimpleNamespace
from typing import Any

import pytest
from pyspark import SparkContext

from jobs.framework.spark import spark_session
from jobs.framework.spark.spark_session import LateSession, with_delta
from pivot_udfs.settings import Spark

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
