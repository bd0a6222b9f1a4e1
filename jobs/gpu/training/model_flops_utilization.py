"""Model FLOPs utilization (MFU): the share of the device's peak that training reaches.

FLOPs per token are counted as in the PaLM paper (Chowdhery et al. 2022, appendix B): 6 for each weight used in a matrix
product, plus 12 x layers x heads x head size x sequence length for attention. Input embeddings are looked up, not
multiplied.
"""

from typing import Any

import torch

# Dense bfloat16 peak in FLOP/s, from data sheets; the first entry contained in the device's name applies.
_PEAKS = (
    ("B200", 2.25e15),
    ("H200", 989e12),
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989e12),
    ("A100", 312e12),
    ("L40S", 362e12),
    ("L40", 181e12),
    ("L4", 121e12),
    ("A10", 125e12),
)


def flops_per_token(model: Any, sequence_length: int) -> float:
    """FLOPs of the forward and backward pass for one token."""
    config = model.config.get_text_config()
    weights = sum(weight.numel() for weight in model.parameters())
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    multiplied = weights if tied else weights - model.get_input_embeddings().weight.numel()
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    attention = 12 * config.num_hidden_layers * config.num_attention_heads * head_size * sequence_length
    return float(6 * multiplied + attention)


def peak_flops(device: torch.device) -> float | None:
    """The device's dense bfloat16 peak in FLOP/s, or None if it is unknown (every CPU)."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAKS if part in name), None)


def mfu(tokens_per_s: float, per_token: float, device: torch.device, n_devices: int) -> float | None:
    """MFU of ``n_devices`` equal devices that together train on ``tokens_per_s``, 0..1; None for an unknown peak."""
    peak = peak_flops(device)
    return None if peak is None else tokens_per_s * per_token / (peak * n_devices)
