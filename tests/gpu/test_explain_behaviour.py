"""Attribution: AUC and correlation against their definitions, and the joined table."""

import itertools
import json
import math
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
from jobs.gpu.attribution import auc_interval, behaviour_auc, count_score_correlation
from jobs.gpu.bootstrap import crossed_interval, mean_interval, sign_flip_p_value
from jobs.gpu.load_model import save_model

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
    assert found["versions"] == {"pair_pivots": 0, "word_cooccurrence": 0, "word_totals": 0}
