"""The arithmetic of the comparison of arms."""

# ruff: noqa: E402

import pyarrow as pa
import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")
pytest.importorskip("deltalake", reason="needs the gpu extra (deltalake)")


from jobs.gpu.analysis.compare_arms import compare, markdown_table
from jobs.gpu.common.errors import TaskError

pytestmark = pytest.mark.torch


def _scores(values: list[float]) -> pa.Table:
    return pa.table({"direction": ["fr-zh"] * 2 + ["en-fr"] * 2, "concept": [0, 1, 0, 1], "score": values})


def test_means_intervals_and_test_follow_their_definitions() -> None:
    base = _scores([0.0, 0.2, 0.4, 0.6])
    runs = {
        ("pivot", 0): _scores([0.2, 0.4, 0.6, 0.8]),
        ("pivot", 1): _scores([0.4, 0.6, 0.8, 1.0]),
        ("matched", 0): _scores([0.1, 0.3, 0.5, 0.7]),
        ("matched", 1): _scores([0.1, 0.3, 0.5, 0.7]),
    }
    bits = {key: {"before": {"fr": 2.0}, "after": {"fr": 1.5 + key[1]}} for key in runs}
    found = compare(base, runs, bits, "pivot", "matched", 200)
    assert found["before"]["all"]["mean"] == pytest.approx(0.3)
    assert found["after"]["pivot"]["fr-zh"]["mean"] == pytest.approx(0.4)
    assert found["change"]["pivot"]["all"]["mean"] == pytest.approx(0.3)
    assert found["test"]["all"]["mean"] == pytest.approx(0.2)
    assert found["test"]["all"]["low"] == pytest.approx(0.1)
    assert found["test"]["all"]["high"] == pytest.approx(0.3)
    assert found["bits_per_byte"]["matched"]["fr"] == {"before": 2.0, "after": 2.0, "lowest": 1.5, "highest": 2.5}
    assert found["test"]["all"]["by_seed"] == pytest.approx({"0": 0.1, "1": 0.3})
    assert found["test"]["all"]["n_concepts"] == 2
    assert found["test"]["all"]["p_value"] > 0.3, "two concepts in two directions are two units: signs agree by chance"
    table = markdown_table(found)
    assert "| pivot | 0.4000 " in table
    assert "over 2 concepts and 2 seeds" in table
    assert "does not cover other seeds). seed 0: +0.1000, seed 1: +0.3000." in table


def test_only_seeds_that_both_arms_have_are_paired() -> None:
    one, two = _scores([0.1, 0.2, 0.3, 0.4]), _scores([0.2, 0.4, 0.6, 0.8])
    runs = {("pivot", 0): one, ("pivot", 1): two, ("matched", 1): one, ("matched", 2): two}
    bits = {key: {"before": {"fr": 2.0}, "after": {"fr": 1.5}} for key in runs}
    assert compare(one, runs, bits, "pivot", "matched", 100)["test"]["all"]["by_seed"] == pytest.approx({"1": 0.25})
    runs.pop(("matched", 1))
    assert "test" not in compare(one, runs, bits, "pivot", "matched", 100)


def test_scores_of_different_tasks_are_not_compared() -> None:
    other = _scores([0.0] * 4).slice(0, 3)
    with pytest.raises(TaskError, match="scores of different tasks"):
        compare(_scores([0.0] * 4), {("pivot", 0): other}, {}, "pivot", "matched", 100)
