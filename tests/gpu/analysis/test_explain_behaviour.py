"""Attribution: AUC and correlation against their definitions, and the joined table."""

import itertools
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from hypothesis import given
from hypothesis import strategies as st
from small_world import make_world, write_pair_tables
from tiny_models import tiny_model

from jobs.gpu import evaluate_translation, explain_behaviour, trace_layers
from jobs.gpu.analysis.auc_and_correlation import auc_interval, behaviour_auc, count_score_correlation
from jobs.gpu.analysis.bootstrap import crossed_interval, mean_interval, sign_flip_p_value
from jobs.gpu.common.run_job import write_json
from jobs.gpu.models.load_model import save_model

pytestmark = pytest.mark.torch


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=30))
def test_auc_is_the_share_of_ordered_pairs(rows: list[tuple[bool, int]]) -> None:
    direct = np.array([row[0] for row in rows])
    counts = np.array([row[1] for row in rows], float)
    wins = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(counts[direct], counts[~direct])]
    got = behaviour_auc(direct, counts)
    assert math.isnan(got) if not wins else got == pytest.approx(sum(wins) / len(wins))


def test_auc_interval_holds_the_auc() -> None:
    random = np.random.default_rng(1)
    direct = random.random(200) < 0.5
    counts = random.poisson(np.where(direct, 8.0, 3.0)).astype(float)
    low, high = auc_interval(direct, counts, 500, 0)
    assert low < behaviour_auc(direct, counts) < high
    assert high - low < 0.2


def test_correlation_is_of_log_counts() -> None:
    counts = np.array([0, 1, 3, 7, 15, 31], float)
    scores = np.array([0.0, 1.1, 1.9, 3.2, 3.9, 5.0])
    got = count_score_correlation(counts, scores)
    assert got.r == pytest.approx(np.corrcoef(np.log2(counts + 1), scores)[0, 1])
    z, width = math.atanh(got.r), 1.959964 / math.sqrt(3)
    assert (got.low, got.high) == pytest.approx((math.tanh(z - width), math.tanh(z + width)))
    assert math.isnan(count_score_correlation(np.ones(9), np.arange(9.0)).r)


def test_intervals_and_p_values() -> None:
    values = np.random.default_rng(0).normal(0.5, 1, 400)
    got = mean_interval(values, 2000, 0)
    assert got.mean == pytest.approx(values.mean())
    assert (got.high - got.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.15)
    assert mean_interval(values, 2000, 0) == got
    assert math.isnan(mean_interval(values[:1], 100, 0).low)
    assert sign_flip_p_value(values, 2000, 0) < 0.001
    assert sign_flip_p_value(values - values.mean(), 2000, 0) > 0.9
    scores = np.random.default_rng(0).normal(0, 1, (3, 50)) + np.array([[0.0], [5.0], [10.0]])
    wide, narrow = crossed_interval(scores, 500, 0), mean_interval(scores.ravel(), 500, 0)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low), "differences between seeds must show"


def test_directions_of_one_concept_are_one_unit() -> None:
    """Four copies of a concept's value are no more evidence than one of it."""
    random = np.random.default_rng(0)
    one, concepts = random.normal(0.5, 1, 40), np.arange(40)
    four, units = np.tile(one, 4), np.tile(concepts, 4)
    alone, together = mean_interval(one, 2000, 0), mean_interval(four, 2000, 0, units)
    assert (together.mean, together.low, together.high) == pytest.approx((alone.mean, alone.low, alone.high))
    assert together.n == 160
    naive = mean_interval(four, 2000, 0)
    assert together.high - together.low > 1.6 * (naive.high - naive.low)
    small = one - one.mean() + 0.2
    assert sign_flip_p_value(np.tile(small, 4), 2000, 0, units) == sign_flip_p_value(small, 2000, 0) > 0.05
    assert sign_flip_p_value(np.tile(small, 4), 2000, 0) < 0.05


def test_units_of_different_size_weigh_as_they_are_large() -> None:
    values, units = np.array([1.0, 1.0, 1.0, 5.0]), np.array([7, 7, 7, 2])
    got = mean_interval(values, 500, 0, units)
    assert (got.mean, got.low, got.high) == (2.0, 1.0, 5.0)
    assert sign_flip_p_value(values, 999, 0, units) == pytest.approx(0.5, abs=0.06), "signs of -3 -5 +3 +5: two of four"


@pytest.fixture(name="config", scope="module")
def _config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    config = make_world(folder, translation={"directions": ["fr-zh", "en-zh"]})
    save_model(tiny_model(vocabulary=400), folder / "model")
    write_pair_tables(folder)
    return config


def test_the_jobs_explanation(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--config", str(config)]
    assert explain_behaviour.main(arguments) == 2
    assert "run jobs.gpu.trace_layers first" in capsys.readouterr().err
    assert trace_layers.main(arguments) == 0
    assert explain_behaviour.main(arguments) == 2
    assert "run jobs.gpu.evaluate_translation first" in capsys.readouterr().err
    assert evaluate_translation.main(arguments) == 0
    assert explain_behaviour.main(arguments) == 0
    pairs = pq.read_table(config.parent / "results" / "explained_pairs.parquet").to_pylist()
    for row in pairs:
        assert row["pair_count"] == (row["concept"] * 7) % 11
        assert row["target_count"] == 10 + row["concept"]
        assert row["n_pivots"] == 3
    found = json.loads((config.parent / "results" / "explanation.json").read_text())
    one = found["directions"]["fr-zh"]
    mine = [row for row in pairs if row["direction"] == "fr-zh"]
    assert one["n_pairs"] == len(mine) == one["behaviour"]["direct"] + one["behaviour"]["pivot"]
    assert one["left_out"]["no distractors"] > 0
    assert one["left_out"]["not traced"] == one["left_out"]["not scored"] == 0
    assert found["versions"] == {"pair_pivots": 0, "word_cooccurrence": 0, "word_totals": 0}


def _fail(config: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert explain_behaviour.main(["--config", str(config), *options]) == 2
    return capsys.readouterr().err


@pytest.fixture(name="whole")
def _whole(config: Path, tmp_path: Path) -> Path:
    """A world of its own with traces and scores; gives its configuration."""
    for job in (evaluate_translation, trace_layers):
        assert job.main(["--config", str(config)]) == 0
    shutil.copytree(config.parent, tmp_path / "world")
    text = config.read_text().replace(str(config.parent), str(tmp_path / "world"))
    text = text.replace(str(tmp_path / "world" / "model"), str(config.parent / "model"))  # results name the model
    (tmp_path / "world" / config.name).write_text(text)
    return tmp_path / "world" / config.name


def test_traces_and_scores_of_two_models_are_not_joined(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain_behaviour.main(["--config", str(whole)]) == 0
    save_model(tiny_model(seed=5, vocabulary=400), whole.parent / "other")
    shutil.rmtree(whole.parent / "results" / "traces")
    assert trace_layers.main(["--config", str(whole), "--set", f"model.path={whole.parent / 'other'}"]) == 0
    error = _fail(whole, capsys)
    assert "holds traces of the model" in error
    assert "different in files, path: delete one" in error


def test_a_killed_trace_is_not_explained(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (whole.parent / "results" / "traces" / "en-zh.parquet").unlink()
    error = _fail(whole, capsys)
    assert "traces lacks en-zh: run the job that makes them again" in error
    assert trace_layers.main(["--config", str(whole)]) == 0
    (whole.parent / "results" / "scores" / "fr-zh-draw1.parquet").unlink()
    assert "scores lacks fr-zh-draw1" in _fail(whole, capsys)


def test_words_without_a_trace_are_counted(whole: Path) -> None:
    path = whole.parent / "results" / "traces" / "fr-zh.parquet"
    pq.write_table(pq.read_table(path).slice(2), path)
    assert explain_behaviour.main(["--config", str(whole)]) == 0
    found = json.loads((whole.parent / "results" / "explanation.json").read_text())["directions"]
    assert [found[name]["left_out"]["not traced"] for name in ("fr-zh", "en-zh")] == [2, 0]


def test_results_of_another_task_or_table_are_not_explained(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "traces was made with n_pivots = 50, now it is 7" in _fail(whole, capsys, "--set", "trace.n_pivots=7")
    write_pair_tables(whole.parent)
    assert "traces was made with pair_pivots_version = 0, now it is 1: delete" in _fail(whole, capsys)
    task = whole.parent / "results" / "task.jsonl"
    task.write_text("".join(task.read_text().splitlines(keepends=True)[:-1]))
    assert "traces was made with task = " in _fail(whole, capsys)


def test_numbers_that_are_not_finite_are_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": [math.nan, 1.5, (math.inf, {"y": -math.inf})], "z": "NaN"})

    def refuse(name: str) -> None:
        raise ValueError(name)

    found = json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse)
    assert found == {"x": [None, 1.5, [None, {"y": None}]], "z": "NaN"}
