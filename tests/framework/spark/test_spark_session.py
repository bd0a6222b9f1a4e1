"""A session starts when it is first used."""

from types import SimpleNamespace
from typing import Any

import pytest

from jobs.framework.spark.spark_session import LateSession


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
