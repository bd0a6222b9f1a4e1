"""Curves over layers, their bands, and precision at 1."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from jobs.gpu.analysis.explain_direction import precision_table
from jobs.gpu.analysis.layer_curves import language_curves, mean_band, precision_at_1, role_curves

pytestmark = pytest.mark.torch


def test_a_band_covers_the_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    held = [
        band["low"][0] <= 0.3 <= band["high"][0]
        for band in (mean_band((random.random((60, 1)) < 0.3).astype(float), 400, k) for k in range(200))
    ]
    assert 0.88 <= np.mean(held) <= 0.99


def test_a_band_is_the_quantiles_of_means_of_resampled_words() -> None:
    values = np.random.default_rng(0).random((40, 3))
    band = mean_band(values, 4000, 1)
    random = np.random.default_rng(7)
    means = np.array([values[random.integers(0, 40, 40)].mean(axis=0) for _ in range(4000)])
    assert band["mean"] == pytest.approx(values.mean(axis=0).tolist())
    assert band["low"] == pytest.approx(np.quantile(means, 0.025, axis=0).tolist(), abs=0.01)
    assert band["high"] == pytest.approx(np.quantile(means, 0.975, axis=0).tolist(), abs=0.01)
    assert np.isnan(mean_band(values[:1], 100, 0)["low"]).all()


def _row(concept: int, direction: str, **columns: list[float] | None) -> dict[str, object]:
    empty = {f"{kind}_{k}": None for kind in ("p", "control") for k in ("en", "fr", "zh")}
    return {"concept": concept, "direction": direction, **empty, **columns}


def test_curves_are_of_the_words_that_have_tokens_in_a_language() -> None:
    rows = [
        _row(0, "fr-zh", p_en=[0.2, 0.4], control_en=[0.0, 0.1], p_zh=[0.5, 0.9]),
        _row(1, "fr-zh", p_en=[0.4, 0.0]),
    ]
    found = language_curves(rows, ["en", "fr", "zh"], 100, 0)
    assert {name: (curve["mean"], curve["n"]) for name, curve in found.items()} == {
        "en": ([pytest.approx(0.3), 0.2], 2),
        "zh": ([0.5, 0.9], 1),
        "control en": ([0.0, 0.1], 1),
    }


def test_a_concept_is_one_unit_of_the_curves_of_all_directions() -> None:
    rows = [
        _row(0, "fr-zh", p_en=[0.2], p_fr=[0.1], control_en=[0.3]),
        _row(0, "zh-fr", p_en=[0.4], p_zh=[0.3]),
        _row(1, "en-fr", p_zh=[0.9], p_en=[0.5]),
    ]
    found = role_curves(rows, ["en", "fr", "zh"], 100, 0)
    assert {name: (curve["mean"], curve["n"]) for name, curve in found.items()} == {
        "source": ([pytest.approx((0.2 + 0.5) / 2)], 2),
        "third language": ([pytest.approx((0.3 + 0.9) / 2)], 2),
        "control": ([0.3], 1),
    }


def test_precision_at_1_is_the_share_of_words_that_are_retrieved_first() -> None:
    ranks = [[0, 3, 0], [1, 0, 0], [0, 2, 0], [5, 1, 0]] * 3
    found = precision_at_1([{"retrieval_rank": ranks_of_word} for ranks_of_word in ranks], 200, 0)
    assert (found["mean"], found["n"]) == ([0.5, 0.25, 1.0], 12)
    assert found["low"][0] < 0.5 < found["high"][0]


def test_the_table_has_the_layers_of_the_published_one_in_proportion() -> None:
    p = {"mean": [k / 64 for k in (1, 9, 7, 2, 3, 5, 8, 4)], "low": [0.0] * 8, "high": [0.5] * 8}
    assert precision_table({"fr-zh": {"precision_at_1": p, "n_pairs": 250}, "all": {}}).splitlines()[2:] == [
        "| fr-zh | 250 | 0.016 (1) | 0.109 (3) | 0.047 (5) | 0.062 (8) | 0.141 [0.000, 0.500] (2) |"
    ]
