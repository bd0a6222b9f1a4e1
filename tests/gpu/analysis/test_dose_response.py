"""Doses: what runs see of each concept, against a count by hand."""

# ruff: noqa: E402
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")
pytest.importorskip("deltalake", reason="needs the gpu extra (deltalake)")

from small_world import write_tokenizer

from jobs.gpu.analysis.dose_response import SequenceDoses, concept_patterns, dose_slopes
from jobs.gpu.common.settings import Training
from jobs.gpu.packing.packed_file import PackedFile
from jobs.gpu.training.training_loop import step_indices
from jobs.gpu.translation.translation_task import Task, TaskWord
from jobs.gpu.translation.word_tokens import WordTokens
from pivot_udfs.provenance import Provenance
from pivot_udfs.tokenization.backends import load_tokenizer

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(("budget", "seed"), [(64, 0), (64, 1), (400, 0)])
def test_doses_are_the_occurrences_in_the_sequences_trained_on(budget: int, seed: int) -> None:
    random, length = np.random.default_rng(0), 8
    tokens = random.integers(0, 4, 203).astype(np.uint32)
    patterns = [[(1,), (3,)], [(1, 2), (2, 2, 1)], [(0, 0)], []]
    packed = PackedFile(Path("none"), {}, tokens)
    options = Training(sequence_length=length, global_batch_tokens=32, token_budget=budget, seed=seed)
    found = SequenceDoses(packed, length, {"words": patterns}).of_run(options)["words"]
    expected = np.zeros(len(patterns))
    for step in range(-(-budget // 32)):
        for row in packed.sequences(step_indices(step, 4, packed.n_sequences(length), seed), length)[:, :-1].tolist():
            for k, of_concept in enumerate(patterns):
                expected[k] += sum(
                    tuple(row[place : place + len(p)]) == p for p in of_concept for place in range(length)
                )
    assert found.tolist() == expected.tolist()
    assert expected[1] > 0


def test_patterns_are_pivots_and_words_with_and_without_a_space(tmp_path: Path) -> None:
    tokens = WordTokens(load_tokenizer(str(write_tokenizer(tmp_path / "tokenizer.json")), "reference"))
    words = [
        TaskWord("fr-zh", 7, "eau", "水", ()),
        TaskWord("fr-zh", 3, "chat", "猫", ()),
        TaskWord("en-zh", 3, "cat", "猫", ()),
    ]
    patterns = concept_patterns(Task(Provenance("task", 1), {}, {}, {}, words, {7: (5, 9)}), tokens)
    assert patterns["pivots"] == [[], [(5,), (9,)]]
    spelled = {space + word: tuple(tokens.ids(space + word)) for word in ("chat", "猫", "cat") for space in ("", " ")}
    assert spelled[" 猫"][1:] == spelled["猫"], "a space of its own before the word"
    expected = {spelled[text] for text in ("chat", " chat", "猫", "cat", " cat")}
    assert set(patterns["words"][0]) == expected
    assert len(patterns["words"][0]) == len(expected), "each sequence counts once"


def test_slopes_separate_the_two_doses() -> None:
    random, n = np.random.default_rng(1), 300
    pivots, words = random.poisson(20, (2, n)).astype(float), random.poisson(5, (2, n)).astype(float)
    steps = np.log1p(pivots[0]) - np.log1p(pivots[1])
    other = np.log1p(words[0]) - np.log1p(words[1])
    gains = 0.7 + 0.5 * steps - 0.2 * other + random.normal(0, 0.01, (3, n))
    arms = [{"pivots": np.tile(pivots[k], (3, 1)), "words": np.tile(words[k], (3, 1))} for k in range(2)]
    slopes = dose_slopes(gains, arms[0], arms[1])
    assert slopes["pivots"].estimate == pytest.approx(0.5, abs=0.01)
    assert slopes["words"].estimate == pytest.approx(-0.2, abs=0.01)
    assert slopes["pivots"].p_value < 1e-3
