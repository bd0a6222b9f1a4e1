"""Faster forward passes of training: equal to the plain ones, bit for bit or within rounding to bfloat16."""

# ruff: noqa: E402
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")
pytest.importorskip("accelerate", reason="needs the gpu extra (accelerate)")

from tiny_models import FAMILIES, WITHOUT_REUSE, tiny_model
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import masking_utils

from jobs.gpu.common.processes import started_accelerator
from jobs.gpu.common.settings import Training
from jobs.gpu.models.load_model import save_model
from jobs.gpu.models.output_head import captured_outputs, find_layers
from jobs.gpu.packing.packed_file import PackedFile
from jobs.gpu.training import training_setup
from jobs.gpu.training.token_loss import loss_function, summed_loss
from jobs.gpu.training.training_loop import Trainer
from jobs.gpu.training.training_setup import keep_residual_in_bfloat16, skip_mask_creation

pytestmark = pytest.mark.torch
LENGTH = 64
MASKED = ("gemma2", "bloom", "mamba", "mistral", "openai-gpt")
"""Families that keep their masks: a window shorter than the sequences, or an attention of their own."""


def _gradients(model: Any, in_bfloat16: bool = False) -> Any:
    """The gradients of a step of two sequences, as one vector."""
    ids = torch.randint(0, 96, (2, LENGTH), generator=torch.Generator().manual_seed(0))
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16):
        logits = model(input_ids=ids, use_cache=False).logits
    summed_loss(logits, ids.roll(-1, 1)).backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


@pytest.mark.parametrize("family", sorted({**FAMILIES, **WITHOUT_REUSE}))
def test_attention_without_a_mask_gives_the_same_bits(family: str) -> None:
    model = tiny_model(family)
    before = _gradients(model)
    skip_mask_creation(model, LENGTH)
    assert torch.equal(_gradients(model), before)
    assert (model.config._attn_implementation == "unmasked_sdpa") == (family not in MASKED)


def test_positions_are_not_checked_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check waits for the device in every forward pass."""
    checks: list[Any] = []
    monkeypatch.setattr(masking_utils, "find_packed_sequence_indices", checks.append)
    model = tiny_model("olmo")
    _gradients(model)
    assert len(checks) == 1
    skip_mask_creation(model, LENGTH)
    _gradients(model)
    assert len(checks) == 1


class _Reads(TorchDispatchMode):
    """Counts how often the host reads a number from a tensor, for which it waits on a GPU."""

    n = 0

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.n += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("masks", [False, True])
def test_a_step_does_not_wait_for_the_device_before_its_end(masks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four micro batches; with masks, each of them waits."""
    if masks:
        monkeypatch.setattr(training_setup, "skip_mask_creation", lambda *_: None)
    options = Training(sequence_length=16, global_batch_tokens=128, micro_batch=2, token_budget=256)
    tokens = PackedFile(Path("random"), {}, np.arange(999, dtype=np.uint32) % 96)
    with started_accelerator(torch.device("cpu"), options) as accelerator:
        model, optimizer = training_setup.wrap(tiny_model("olmo"), options, accelerator)
        steps = Trainer(model.train(), optimizer, tokens, options, accelerator).steps(0)
        next(steps)
        with _Reads() as reads:
            next(steps)
    assert reads.n == (4 if masks else 0)


def test_a_saved_model_asks_for_the_usual_attention(tmp_path: Path) -> None:
    model = tiny_model("olmo")
    skip_mask_creation(model, LENGTH)
    save_model(model, tmp_path)
    assert "sdpa" not in (tmp_path / "config.json").read_text()


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_residual_in_bfloat16_changes_gradients_by_rounding_only(family: str) -> None:
    """Within 5 % of the float32 gradients, and at most twice as far from them as with a float32 residual."""
    model = tiny_model(family)
    exact = _gradients(model)
    before = (_gradients(model, in_bfloat16=True) - exact).norm() / exact.norm()
    keep_residual_in_bfloat16(model)
    with captured_outputs(find_layers(model)) as outputs:
        after = (_gradients(model, in_bfloat16=True) - exact).norm() / exact.norm()
    assert float(after) < min(0.05, 2 * float(before))
    learned_positions = family == "gpt2"  # they are added to the embeddings in float32
    assert {output.dtype for output in outputs} == {torch.float32 if learned_positions else torch.bfloat16}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_the_compiled_loss_equals_the_loss_of_each_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 1e-6 of the loss, and 1e-6 of the gradients in float32; as a graph, without the slow C++ compiler."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager_decomp_partition"))
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 11, 300, generator=generator) * 4
    targets = torch.randint(0, 300, (2, 11), generator=generator)
    targets[0, 3] = -1
    whole, rows = values.clone().requires_grad_(), values.clone().requires_grad_()
    expected, found = summed_loss(rows, targets), loss_function(True)(whole, targets)
    expected.backward()
    found.backward()
    torch.compiler.reset()
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.allclose(whole.grad, rows.grad, atol=1e-6)


@pytest.mark.parametrize("deterministic", [False, True])
def test_unused_parameters_are_looked_for_only_where_runs_must_be_deterministic(deterministic: bool) -> None:
    with started_accelerator(torch.device("cpu"), Training(deterministic=deterministic)) as accelerator:
        assert accelerator.ddp_handler.find_unused_parameters == deterministic
