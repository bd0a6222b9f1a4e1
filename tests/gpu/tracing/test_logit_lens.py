"""The lens' readings and the behaviour label."""

# ruff: noqa: E402
import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from tiny_models import tiny_model

from jobs.gpu.models.output_head import captured_outputs, find_output_head
from jobs.gpu.tracing import logit_lens
from jobs.gpu.tracing.logit_lens import Compared, join_readings, read_layers

pytestmark = pytest.mark.torch
IDS = torch.tensor([[[1, 2], [3, -1], [-1, -1], [7, 7]], [[4, -1], [-1, -1], [5, 6], [8, -1]]])
"""First tokens of four concepts in two languages."""


def _compared(rows: int) -> Compared:
    return Compared(IDS, [[0, 0]] * rows)


@pytest.mark.parametrize("family", ["llama", "olmo2", "gemma2", "gpt2"])
def test_readings_equal_the_full_distributions(family: str) -> None:
    model = tiny_model(family)
    head = find_output_head(model)
    sets = [[[1, 2, 2], [5], []], [[7], [8, 9], [3]]]
    with torch.no_grad(), captured_outputs(head.layers) as outputs:
        logits = model(torch.tensor([[4, 9, 20], [5, 11, 2]])).logits[:, -1]
        got = read_layers(head, [output[:, -1] for output in outputs], sets, 4, _compared(2))
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
    together = read_layers(head, hidden, sets, 5, _compared(4))
    monkeypatch.setattr(logit_lens, "_MAX_LOGITS", 1)
    alone = read_layers(head, hidden, sets, 5, _compared(4))
    assert torch.equal(together.top_ids, alone.top_ids)
    torch.testing.assert_close(together.top_probabilities, alone.top_probabilities, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(together.set_probabilities, alone.set_probabilities, atol=1e-6, rtol=1e-5)


def test_batches_are_joined_in_the_words_order() -> None:
    head = find_output_head(tiny_model())
    hidden = [torch.randn(5, 32, generator=torch.Generator().manual_seed(k)) for k in range(3)]
    sets = [[[k], [k + 1], []] for k in range(5)]
    whole, order = read_layers(head, hidden, sets, 4, _compared(5)), [3, 0, 4, 1, 2]
    parts = [
        read_layers(head, [layer[rows] for layer in hidden], [sets[row] for row in rows], 4, _compared(len(rows)))
        for rows in (order[:2], order[2:])
    ]
    joined = join_readings(parts, order)
    assert torch.equal(joined.top_ids, whole.top_ids)
    torch.testing.assert_close(joined.set_probabilities, whole.set_probabilities)


def test_reached_is_the_share_of_other_concepts_that_are_as_probable() -> None:
    head = find_output_head(tiny_model())
    hidden = [torch.randn(3, 32, generator=torch.Generator().manual_seed(k)) for k in range(3)]
    concepts = [[0, 0, 3, 3], [1, 1, 2, 2], [2, 2, -1, -1]]
    firsts = [[[token for token in ids if token >= 0] for ids in of_language] for of_language in IDS.tolist()]
    sets = [[[9]] + [[] if c < 0 else firsts[k % 2][c] for k, c in enumerate(row)] for row in concepts]
    got = read_layers(head, hidden, sets, 2, Compared(IDS, concepts))
    for layer, of_layer in enumerate(hidden):
        p = head.logits(of_layer).softmax(-1)
        for row, of_row in enumerate(concepts):
            for k, own in enumerate(of_row):
                sums = {c: sum(float(p[row, t].detach()) for t in ids) for c, ids in enumerate(firsts[k % 2]) if ids}
                mine = float(got.set_probabilities[row, layer, 1 + k])
                others = [value for c, value in sums.items() if c != own]
                expected = sum(value >= mine for value in others) / len(others)
                assert float(got.reached[row, layer, k]) == pytest.approx(expected)
