# ruff: noqa: E402
"""The lens' norm and head must be the model's own, for every family."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from tiny_models import FAMILIES, VOCABULARY, WITHOUT_REUSE, tiny_model

from jobs.gpu.models.output_head import captured_outputs, find_layers, find_output_head
from pivot_udfs.errors import ModelError

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("family", [*FAMILIES, *WITHOUT_REUSE])
def test_the_last_layer_gives_the_logits_of_the_model(family: str) -> None:
    model = tiny_model(family)
    head = find_output_head(model)
    ids = torch.randint(0, VOCABULARY, (2, 9), generator=torch.Generator().manual_seed(3))
    with torch.no_grad(), captured_outputs(head.layers) as outputs:
        logits = model(ids).logits
    torch.testing.assert_close(head.logits(outputs[-1]), logits, atol=2e-5, rtol=2e-4)
    assert (head.logits(outputs[0]) - logits).abs().max() > 0.01, "earlier layers must differ from the last"


def test_the_norm_is_not_applied_twice() -> None:
    """What Hugging Face calls the last hidden state is normed already: using it would pass unnoticed."""
    model = tiny_model("olmo2")
    head = find_output_head(model)
    with torch.no_grad(), captured_outputs(head.layers) as outputs:
        result = model(torch.arange(5)[None], output_hidden_states=True)
    assert not torch.allclose(result.hidden_states[-1], outputs[-1])
    torch.testing.assert_close(head.norm(outputs[-1]), result.hidden_states[-1])


def test_scale_and_cap_are_derived() -> None:
    assert find_output_head(tiny_model("granite")).scale == pytest.approx(0.25, rel=1e-4)
    assert find_output_head(tiny_model("cohere")).scale == pytest.approx(0.25, rel=1e-4)
    assert find_output_head(tiny_model("gemma2")).soft_cap == 2.0
    assert find_output_head(tiny_model("llama")).scale == 1.0


def test_a_family_without_a_matching_norm_is_refused_by_name() -> None:
    model = tiny_model("llama")
    forward = model.forward

    def shifted(*args: object, **kwargs: object) -> object:
        result = forward(*args, **kwargs)
        return SimpleNamespace(logits=result.logits.roll(1, dims=-1))

    model.forward = shifted
    with pytest.raises(ModelError, match=r"family 'llama' cannot be traced.*model.norm"):
        find_output_head(model)


def test_a_model_without_one_stack_of_layers_is_refused() -> None:
    model = tiny_model("llama")
    model.config.num_hidden_layers = 7
    with pytest.raises(ModelError, match="expected one stack of 7 layers, found 0"):
        find_layers(model)


def test_the_head_is_found_in_half_precision() -> None:
    head = find_output_head(tiny_model("qwen3").to(torch.bfloat16))
    assert head.norm is not None


def test_lens_logits_are_not_rounded_to_the_models_precision() -> None:
    model = tiny_model().to(torch.bfloat16)
    with torch.no_grad():
        logits = find_output_head(model).logits(torch.randn(4, 32).to(torch.bfloat16))
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.to(torch.bfloat16).float())
