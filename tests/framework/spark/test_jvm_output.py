"""Which lines of the JVM are shown, and which are held back for the case of a failure."""

import pytest

from jobs.framework.spark.jvm_output import JvmOutput

WARNING = "WARNING: Using incubator modules: jdk.incubator.vector"
RECORD = "26/11/27 03:50:01 ERROR Executor: Exception in task 0.0 in stage 1.0 (TID 1)"
TRACE = ["Traceback (most recent call last):", '  File "worker.py", line 1', "EOFError", "\tat org.apache.spark.X"]


def shown(capsys: pytest.CaptureFixture[str], output: JvmOutput, *lines: str) -> list[str]:
    for line in lines:
        output._take(line)
    return capsys.readouterr().err.splitlines()


def test_lines_before_the_session_and_after_a_failure_are_held(capsys: pytest.CaptureFixture[str]) -> None:
    output = JvmOutput()
    assert shown(capsys, output, WARNING) == []
    output.session_started(is_local=True)
    assert shown(capsys, output, "a worker's warning \x1b[2J") == ["a worker's warning \\x1b[2J"]
    assert shown(capsys, output, RECORD, *TRACE, "Caused by: y") == []
    assert output.held().splitlines() == [WARNING, RECORD, *TRACE, "Caused by: y"]
    output.show_held()
    assert len(capsys.readouterr().err.splitlines()) == 7


def test_a_traceback_of_a_worker_is_held_without_a_log_record(capsys: pytest.CaptureFixture[str]) -> None:
    output = JvmOutput()
    output.session_started(is_local=True)
    assert shown(capsys, output, *TRACE) == []


def test_the_log_of_a_cluster_s_driver_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    output = JvmOutput()
    output.session_started(is_local=False)
    assert shown(capsys, output, RECORD, TRACE[0]) == [RECORD, TRACE[0]]
