"""The lens' readings and the behaviour label."""

# ruff: noqa: E402
import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from tiny_models import tiny_model

from jobs.gpu.models.output_head import captured_outputs, find_output_head
from jobs.gpu.tracing import logit_lens
from jobs.gpu.tracing.behaviour_labels import behaviour, word_behaviour
from jobs.gpu.tracing.logit_lens import join_readings, read_layers

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("family", ["llama", "olmo2", "gemma2", "gpt2"])
def test_readings_equal_the_full_distributions(family: str) -> None:
    model = tiny_model(family)
    head = find_output_head(model)
    sets = [[[1, 2, 2], [5], []], [[7], [8, 9], [3]]]
    with torch.no_grad(), captured_outputs(head.layers) as outputs:
        logits = model(torch.tensor([[4, 9, 20], [5, 11, 2]])).logits[:, -1]
        got = read_layers(head, [output[:, -1] for output in outputs], sets, top_k=4)
        full = [head.logits(output[:, -1]).softmax(-1) for output in outputs]
    assert got.top_ids.shape == (2, 3, 4)
    assert got.set_probabilities.shape == (2, 3, 3)
    for row in range(2):
        for layer in range(3):
            for index, tokens in enumerate(sets[row]):
                expected = sum(float(full[layer][row, token]) for token in set(tokens))
                assert float(got.set_probabilities[row, layer, index]) == pytest.approx(expected, abs=1e-6)
            torch.testing.assert_close(got.top_probabilities[row, layer], full[layer][row].topk(4).values)
    assert torch.equal(got.top_ids[:, -1, 0], logits.argmax(-1)), "the last layer is the model's own answer"


def test_layers_read_together_or_one_by_one_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    head = find_output_head(tiny_model("gemma2"))
    hidden = [torch.randn(4, 32, generator=torch.Generator().manual_seed(k)) for k in range(3)]
    sets = [[[k], [k + 1, 5], []] for k in range(4)]
    together = read_layers(head, hidden, sets, 5)
    monkeypatch.setattr(logit_lens, "_MAX_LOGITS", 1)
    alone = read_layers(head, hidden, sets, 5)
    assert torch.equal(together.top_ids, alone.top_ids)
    torch.testing.assert_close(together.top_probabilities, alone.top_probabilities, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(together.set_probabilities, alone.set_probabilities, atol=1e-6, rtol=1e-5)


def test_batches_are_joined_in_the_words_order() -> None:
    head = find_output_head(tiny_model())
    hidden = [torch.randn(5, 32, generator=torch.Generator().manual_seed(k)) for k in range(3)]
    sets = [[[k], [k + 1], []] for k in range(5)]
    whole, order = read_layers(head, hidden, sets, 4), [3, 0, 4, 1, 2]
    parts = [
        read_layers(head, [layer[rows] for layer in hidden], [sets[row] for row in rows], 4)
        for rows in (order[:2], order[2:])
    ]
    joined = join_readings(parts, order)
    assert torch.equal(joined.top_ids, whole.top_ids)
    torch.testing.assert_close(joined.set_probabilities, whole.set_probabilities)


SOURCE = frozenset([1, 2])


@pytest.mark.parametrize(
    ("ids", "probabilities", "expected"),
    [
        ([5, 7, 9], [0.1, 0.8, 0.5], ("pivot", 1)),  # a third token is the surest
        ([5, 9, 9], [0.1, 0.8, 0.5], ("direct", 1)),  # the surest is already the answer
        ([5, 1, 9], [0.1, 0.8, 0.5], ("direct", 1)),  # a token of the source word is no pivot
        ([7, 5, 9], [0.8, 0.1, 0.8], ("direct", 2)),  # a tie goes to the later layer
        ([9, 7, 9], [0.8, 0.8, 0.1], ("pivot", 1)),
    ],
)
def test_behaviour_labels(ids: list[int], probabilities: list[float], expected: tuple[str, int]) -> None:
    assert behaviour(ids, probabilities, SOURCE) == expected


def test_word_behaviour_skips_layers_whose_top_token_is_blank() -> None:
    ids, probabilities, space = [0, 7, 9], [0.99, 0.6, 0.2], frozenset([0])
    assert behaviour(ids, probabilities, SOURCE) == ("pivot", 0)
    assert word_behaviour(ids, probabilities, SOURCE, space) == ("pivot", 1)
    assert word_behaviour([0, 0, 9], probabilities, SOURCE, space) == ("direct", 2)
    assert word_behaviour([0, 0, 0], probabilities, SOURCE, space) == ("direct", 2)
