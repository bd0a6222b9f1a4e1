"""Changes to a model that make the forward pass of training faster; results are equal up to rounding."""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

UNMASKED = "unmasked_sdpa"
AttentionInterface.register(UNMASKED, sdpa_attention_forward)


def skip_mask_creation(model: Any, length: int) -> None:
    """Makes attention causal without a mask, unless a 4-D mask is passed.

    Otherwise transformers checks in every forward pass whether the positions are those of several packed sequences,
    and waits for the device to answer. Models with a sliding window shorter than ``length`` (tokens of a sequence) need
    their masks and are left as they are.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if config._attn_implementation == "sdpa" and (window is None or window >= length):
        model.set_attn_implementation(UNMASKED)


def keep_residual_in_bfloat16(model: Any) -> None:
    """Casts the embeddings' output, and so the sum of all layers' outputs, to bfloat16.

    Under autocast the layers' outputs are bfloat16, but their sum has the dtype of the float32 embeddings, and every
    norm and addition moves twice the bytes. The weights stay float32.
    """
    model.get_input_embeddings().register_forward_hook(_to_bfloat16)


def _to_bfloat16(_module: torch.nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    return output.to(torch.bfloat16)
