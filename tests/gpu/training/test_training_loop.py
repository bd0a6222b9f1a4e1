"""The pieces of training: loss, order of sequences, learning rate, FLOPs."""

# ruff: noqa: E402
import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")
pytest.importorskip("deltalake", reason="needs the gpu extra (deltalake)")

from tiny_models import tiny_model

from jobs.gpu.common.settings import Training
from jobs.gpu.training.model_flops_utilization import flops_per_token, peak_flops
from jobs.gpu.training.optimizer import learning_rate
from jobs.gpu.training.token_loss import summed_loss
from jobs.gpu.training.training_loop import step_indices

pytestmark = pytest.mark.torch


def test_the_loss_equals_cross_entropy() -> None:
    torch.manual_seed(0)
    values, targets = torch.randn(2, 11, 7), torch.randint(0, 7, (2, 11))
    targets[0, 3] = -1
    whole, rows = values.clone().requires_grad_(), values.clone().requires_grad_()
    expected = torch.nn.functional.cross_entropy(
        whole.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="sum"
    )
    found = summed_loss(rows, targets)
    expected.backward()
    found.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.allclose(whole.grad, rows.grad, atol=1e-6)


def test_every_sequence_occurs_once_per_epoch() -> None:
    seen = np.concatenate([step_indices(step, 4, 10, seed=3) for step in range(5)])
    assert sorted(seen[:10]) == list(range(10))
    assert sorted(seen[10:]) == list(range(10))
    assert list(seen[:10]) != list(seen[10:])
    assert list(step_indices(0, 4, 10, 3)) != list(step_indices(0, 4, 10, 4))


def test_an_epoch_is_shuffled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real, drawn = np.random.default_rng, []
    monkeypatch.setattr(np.random, "default_rng", lambda seed: drawn.append(seed) or real(seed))
    for step in range(5):
        step_indices(step, 4, 10, seed=12345)
    assert drawn == [[12345, 0], [12345, 1]]


def test_the_learning_rate_warms_up_and_decays() -> None:
    options = Training(learning_rate=1.0, warmup_share=0.1, final_learning_rate_share=0.1, decay="linear")
    rates = [learning_rate(step, 100, options) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 11)
    assert rates[10] == max(rates) == 1.0
    assert rates[55] == pytest.approx(0.55)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    cosine = Training(learning_rate=1.0, warmup_share=0.0, final_learning_rate_share=0.0)
    assert learning_rate(50, 100, cosine) == pytest.approx(0.5)


def test_flops_follow_the_formula() -> None:
    model = tiny_model("smollm", vocabulary=400)
    weights = sum(weight.numel() for weight in model.parameters())
    assert flops_per_token(model, 16) == 6 * weights + 12 * 3 * 32 * 16
    untied = tiny_model("llama", vocabulary=400)
    weights = sum(weight.numel() for weight in untied.parameters()) - 400 * 32
    assert flops_per_token(untied, 16) == 6 * weights + 12 * 3 * 32 * 16
    untied.config.head_dim = 16  # heads need not divide the hidden size (Gemma, Qwen 3)
    assert flops_per_token(untied, 16) == 6 * weights + 12 * 3 * 16 * untied.config.num_attention_heads * 16


def test_the_peak_is_that_of_the_named_device(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = {"NVIDIA L4": 121e12, "NVIDIA L40": 181e12, "NVIDIA L40S": 362e12, "NVIDIA A100-SXM4-80GB": 312e12}
    for name, peak in peaks.items():
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device, name=name: name)
        assert peak_flops(torch.device("cuda")) == peak


def test_the_global_batch_must_be_whole_sequences() -> None:
    with pytest.raises(ValueError, match="is not a multiple of sequence_length"):
        Training(sequence_length=100, global_batch_tokens=250)
