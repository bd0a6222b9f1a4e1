"""Removing directions against a forward pass written by hand."""

# ruff: noqa: E402
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from tiny_models import tiny_model

from jobs.gpu.models.output_head import captured_outputs, find_output_head
from jobs.gpu.tracing.ablation import Removal, Unembedding, target_log_probabilities
from jobs.gpu.translation.prompt_runner import PromptRunner

pytestmark = pytest.mark.torch
PROMPTS = [[4, 9, 20, 7], [4, 9, 21], [4, 9, 20, 7], [4, 9, 22, 3, 5], [4, 9, 20], [4, 9, 20, 7, 8]]
"""The first and the third are equal; all begin alike; the fifth begins the first, which begins the last."""
TARGETS = [50, 51, 52, 53, 54, 55]


def _by_hand(model: Any, prompt: list[int], token: int, layer: int | None, removed: list[int]) -> float:
    """The log-probability of a token by Llama's equations, with tokens' directions removed from a layer's output."""
    body = model.model
    hidden = body.embed_tokens(torch.tensor([prompt]))
    angles = body.rotary_emb(hidden, torch.arange(len(prompt))[None])
    for number, block in enumerate(body.layers):
        output = block(hidden, attention_mask=None, position_embeddings=angles)
        hidden = output[0] if isinstance(output, tuple) else output
        if number == layer:
            weight = model.lm_head.weight
            rows, answer = ((weight[ids] - weight.mean(0)) * body.norm.weight for ids in (removed, [token]))
            rows = rows - (rows @ answer.T) @ answer / (answer @ answer.T)  # what the answer's direction does not hold
            solved = torch.linalg.lstsq(rows.T, hidden[0, -1]).solution  # the nearest combination of the directions
            hidden = hidden.clone()
            hidden[0, -1] -= rows.T @ solved
    return float(model.lm_head(body.norm(hidden))[0, -1].log_softmax(-1)[token])


@pytest.mark.parametrize("reuse", [True, False])
@pytest.mark.parametrize("family", ["llama", "smollm"])
@torch.no_grad()
def test_removal_equals_a_forward_pass_by_hand(family: str, reuse: bool) -> None:
    model = tiny_model(family)
    head, wanted = find_output_head(model), [(0, [11, 12]), None, (1, [30]), (1, [40, 41]), (0, [13]), (0, [14])]
    unembedding = Unembedding(head)
    bases = [None if w is None else unembedding.basis(w[1], 50 + row, w[0]) for row, w in enumerate(wanted)]
    removals = [None if w is None else Removal(w[0], b) for w, b in zip(wanted, bases, strict=True)]
    for size in (1, 8):
        runner = PromptRunner(model, size, reuse)
        got = target_log_probabilities(runner, head, PROMPTS, TARGETS, removals)
        for row, prompt in enumerate(PROMPTS):
            layer, tokens = wanted[row] or (None, [])
            assert got[row] == pytest.approx(_by_hand(model, prompt, 50 + row, layer, tokens), abs=1e-4)
    untouched = target_log_probabilities(runner, head, PROMPTS, TARGETS, [None] * 6)
    assert untouched[1] == pytest.approx(got[1], abs=1e-5)
    assert max(abs(untouched[row] - got[row]) for row in (0, 2, 3, 4, 5)) > 1e-3
    logits = model(torch.tensor([PROMPTS[3]])).logits[0, -1].log_softmax(-1)
    assert untouched[3] == pytest.approx(float(logits[53]), abs=1e-4)


@pytest.mark.parametrize(
    "family", ["llama", "olmo", "olmo2", "gemma", "gpt2", "gpt_neox", "cohere", "granite", "qwen3", "smollm"]
)
@torch.no_grad()
def test_directions_are_what_the_lens_reads(family: str) -> None:
    model = tiny_model(family)
    head = find_output_head(model)
    with captured_outputs(head.layers) as outputs:
        model(torch.tensor([PROMPTS[0]]))
        hidden = outputs[1][0, -1]
    read = head.logits(hidden) - head.logits(torch.zeros_like(hidden))  # without biases
    directions = Unembedding(head).directions(range(len(read)))
    expected, found = read - read.mean(), directions @ hidden
    assert torch.cosine_similarity(expected, found, dim=0) > 1 - 1e-5


@torch.no_grad()
def test_the_basis_spans_the_tokens_up_to_the_answer() -> None:
    unembedding = Unembedding(find_output_head(tiny_model("gpt2")))
    basis, (answer, *tokens) = unembedding.basis([11, 12], 13, 0), unembedding.directions([13, 11, 12])
    assert torch.allclose(basis.T @ basis, torch.eye(2), atol=1e-5)
    assert (basis.T @ answer).abs().max() < 1e-4 * answer.norm()
    for token in tokens:
        rest = token - basis @ (basis.T @ token)
        assert torch.cosine_similarity(rest, answer, dim=0).abs() > 1 - 1e-4
