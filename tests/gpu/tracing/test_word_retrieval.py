"""Lexical retrieval by the cosine of the layers' outputs."""

# ruff: noqa: E402
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from small_world import write_tokenizer
from tiny_models import tiny_model

from jobs.gpu.models.output_head import find_layers
from jobs.gpu.tracing.word_retrieval import retrieval_ranks
from jobs.gpu.translation.prompt_runner import PromptRunner
from jobs.gpu.translation.translation_task import TaskWord
from jobs.gpu.translation.word_tokens import WordTokens
from pivot_udfs.tokenization.backends import load_tokenizer

pytestmark = pytest.mark.torch
PAIRS = [("water", "eau"), ("river", "fleuve"), ("stream", "fleuve"), ("to sleep", "dormir"), ("train", "trains")]
"""Two words share a translation, one begins another, and one has two words."""


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
@pytest.mark.parametrize("reuse", [True, False])
def test_ranks_equal_those_of_single_forward_passes(family: str, reuse: bool, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(write_tokenizer(tmp_path / "tokenizer.json")))
    tokens, model = WordTokens(tokenizer, "<|endoftext|>"), tiny_model(family, vocabulary=400)

    def outputs(text: str) -> list[np.ndarray]:
        found: list[np.ndarray] = []
        hooks = [
            layer.register_forward_hook(
                lambda _m, _i, out: found.append((out[0] if isinstance(out, tuple) else out)[0, -1])
            )
            for layer in find_layers(model)
        ]
        with torch.no_grad():
            model(torch.tensor([[0, *tokens.ids(text)]]))
        for hook in hooks:
            hook.remove()
        return [np.array(vector / vector.norm()) for vector in found]

    asked = {en: outputs(f"English: {en}") for en, _ in PAIRS}
    offered = {fr: outputs(f"French: {fr}") for _, fr in PAIRS}
    expected = [
        [
            sum(
                asked[en][k] @ other[k] >= asked[en][k] @ offered[fr][k]
                for word, other in offered.items()
                if word != fr
            )
            for k in range(3)
        ]
        for en, fr in PAIRS
    ]
    words = [TaskWord("en-fr", k, en, fr, ()) for k, (en, fr) in enumerate(PAIRS)]
    assert retrieval_ranks(PromptRunner(model, 2, reuse), find_layers(model), tokens, words) == expected
    assert {rank for ranks in expected for rank in ranks} > {0, 1}
