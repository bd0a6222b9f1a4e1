"""The arithmetic of the comparison of arms."""

# ruff: noqa: E402
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")
pytest.importorskip("deltalake", reason="needs the gpu extra (deltalake)")


from jobs.gpu.analysis.compare_arms import compare, markdown_table
from jobs.gpu.analysis.contrasts import RunResult, holm
from jobs.gpu.training.scored_runs import read_bits
from pivot_udfs.arms import CROSSOVER
from pivot_udfs.errors import TaskError

pytestmark = pytest.mark.torch
DIRECTIONS, CONCEPTS = ["fr-zh"] * 4 + ["en-fr"] * 4, [0, 1, 4, 9] * 2
HALF_A, HALF_B = {0, 4}, {1, 9}


def _scores(values: Sequence[float]) -> pa.Table:
    return pa.table(
        {"direction": DIRECTIONS, "concept": CONCEPTS, "contrast": [10 * value for value in values], "score": values}
    )


def _run(values: Sequence[float], after: float = 1.5) -> RunResult:
    doses = {"pivots": np.array([1.0, 2, 3, 5]), "words": np.array([3.0, 1, 4, 1])}
    return RunResult(_scores(values), {"before": {"fr": 2.0}, "after": {"fr": after}}, doses)


BASE = np.array([0.0, 0.2, 0.4, 0.6] * 2)


def test_a_plain_contrast_is_the_mean_over_concepts_and_seeds() -> None:
    runs = {
        ("pivot", 0): _run((BASE + 0.2).tolist()),
        ("matched", 0): _run((BASE + 0.1).tolist()),
        ("pivot", 1): _run((BASE + 0.4 + np.array([0.1, 0, 0, 0] * 2)).tolist(), 2.5),
        ("matched", 1): _run((BASE + 0.1).tolist(), 2.5),
        ("pivot", 2): _run(BASE.tolist()),
    }
    found = compare(_scores(BASE.tolist()), runs, ["pivot-matched", CROSSOVER], HALF_A)
    assert found["before"]["score"]["all"]["mean"] == pytest.approx(0.3)
    assert found["after"]["score"]["matched"]["fr-zh"]["mean"] == pytest.approx(0.4)
    assert found["change"]["score"]["matched"]["mean"] == pytest.approx(0.1)
    assert found["change"]["contrast"]["pivot"]["mean"] == pytest.approx(10 * (0.2 + 0.425) / 3)
    assert found["seeds"] == {"pivot": [0, 1, 2], "matched": [0, 1]}
    (contrast,) = found["contrasts"]
    assert (contrast["kind"], contrast["seeds"]) == ("difference", [0, 1])
    assert contrast["effects"]["score"]["by_seed"] == pytest.approx([0.1, 0.325])
    assert contrast["effects"]["contrast"]["mean"] == pytest.approx(2.125)
    assert contrast["effects"]["contrast"]["n"] == 4, "a concept is one unit in all directions"
    assert contrast["gain"]["score"]["mean"] == pytest.approx((0.2 + 0.1 + 0.425 + 0.1) / 4)
    assert found["bits_per_byte"]["matched"]["fr"] == {"before": 2.0, "after": 2.0, "lowest": 1.5, "highest": 2.5}
    rows = [*contrast["effects"].values(), *contrast["doses"].values()]
    assert len(rows) == 4
    assert all(row["p_holm"] >= row["p_value"] or np.isnan(row["p_value"]) for row in rows)
    table = markdown_table(found)
    assert "| pivot-matched | difference: contrast | +2.1250 [" in table
    assert "by seed: 0: +1.0000, 1: +3.2500." in table
    assert contrast["dose_effects"]["pivots"]["mean"] == 0, "both arms have the same doses"


def test_bits_per_byte_that_were_not_measured_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "training.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    run = RunResult(_scores(BASE.tolist()), read_bits(tmp_path), _run(BASE.tolist()).doses)
    runs = {("pivot", 0): run, ("matched", 0): run}
    found = compare(_scores(BASE.tolist()), runs, ["pivot-matched"], HALF_A)
    assert found["bits_per_byte"] == {"pivot": {}, "matched": {}}
    assert "bits per byte" not in markdown_table(found)


def test_a_crossover_is_half_the_difference_between_the_halves() -> None:
    """Arm A adds 0.3 to all words and 0.2 to those of half A; arm B adds 0.1 to all and 0.2 to those of half B."""
    in_a = np.tile([True, False, True, False], 2)
    runs = {}
    for seed in (0, 1, 2):
        noise = np.random.default_rng(seed).normal(0, 1e-4, 8)
        runs["half_a", seed] = _run((BASE + 0.3 + 0.2 * in_a + noise).tolist())
        runs["half_b", seed] = _run((BASE + 0.1 + 0.2 * ~in_a).tolist())
    found = compare(_scores(BASE.tolist()), runs, [CROSSOVER], HALF_A)["contrasts"][0]
    assert found["kind"] == "crossover"
    assert found["effects"]["score"]["mean"] == pytest.approx(0.2, abs=1e-3)
    assert found["effects"]["contrast"]["mean"] == pytest.approx(2.0, abs=1e-2)
    assert found["by_direction"]["fr-zh"]["mean"] == pytest.approx(2.0, abs=1e-2)
    other = compare(_scores(BASE.tolist()), runs, [CROSSOVER], HALF_B)["contrasts"][0]
    assert other["effects"]["score"]["mean"] == pytest.approx(-0.2, abs=1e-3)


def test_a_concept_may_lack_a_direction() -> None:
    """The concept's unit is then the mean of the directions that it has."""
    rows = slice(0, 7)
    base = _scores(BASE.tolist()).slice(0, 7)
    changed = np.array([0.1, 0.1, 0.1, 0.5, 0.3, 0.1, 0.1, 9.0])
    runs = {}
    for arm, change in (("pivot", changed), ("matched", 0 * changed)):
        run = _run((BASE + change).tolist())
        runs[arm, 0] = RunResult(run.scores.slice(rows.start, 7), run.bits, run.doses)
    found = compare(base, runs, ["pivot-matched"], HALF_A)["contrasts"][0]
    assert found["effects"]["score"]["mean"] == pytest.approx((0.2 + 0.1 + 0.1 + 0.5) / 4)


def test_scores_of_different_tasks_are_not_compared() -> None:
    other = _run(BASE.tolist())
    cut = RunResult(other.scores.slice(0, 7), other.bits, other.doses)
    with pytest.raises(TaskError, match="scores of different tasks"):
        compare(_scores(BASE.tolist()), {("pivot", 0): cut, ("matched", 0): cut}, ["pivot-matched"], HALF_A)


def test_the_detectable_effect_of_a_pilot_is_that_of_its_own_variances() -> None:
    generator = np.random.default_rng(1)
    arms = [("pivot", 0.2), ("matched", 0.1)]
    runs = {
        (arm, seed): _run((BASE + gain + generator.normal(0, 0.05, 8)).tolist())
        for seed in range(4)
        for arm, gain in arms
    }
    base, name = _scores(BASE.tolist()), "pivot-matched"
    (own,) = compare(base, runs, [name], HALF_A)["contrasts"]
    assert math.isnan(own["effects"]["contrast"]["detectable_by_pilot"]), "no pilot"
    pilot = {"contrasts": [{**own, "name": "other-arms"}, own]}
    (again,) = compare(base, runs, [name], HALF_A, pilot)["contrasts"]
    found = again["effects"]["contrast"]
    assert found["detectable_by_pilot"] == pytest.approx(found["detectable"])
    wider = {
        **own,
        "effects": {m: {"sd": {k: 3 * v for k, v in row["sd"].items()}} for m, row in own["effects"].items()},
    }
    for contrasts in ([wider, own | {"name": "other-arms"}], [own | {"name": "other-arms"}, wider]):
        (again,) = compare(base, runs, [name], HALF_A, {"contrasts": contrasts})["contrasts"]
        row = again["effects"]["contrast"]
        assert row["detectable_by_pilot"] == pytest.approx(3 * row["detectable"]), "the contrast of the same name"
    crossover = {"contrasts": [own | {"kind": "crossover"}]}
    (again,) = compare(base, runs, [name], HALF_A, crossover)["contrasts"]
    assert math.isnan(again["effects"]["contrast"]["detectable_by_pilot"]), "of another kind"
    assert "by the pilot" in markdown_table({**compare(base, runs, [name], HALF_A, pilot)})


def test_holm_multiplies_by_the_number_of_hypotheses_that_are_left() -> None:
    found = holm(np.array([0.01, 0.04, math.nan, 0.03, 0.005]))
    assert found == pytest.approx([0.03, 0.06, math.nan, 0.06, 0.02], nan_ok=True)
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])
