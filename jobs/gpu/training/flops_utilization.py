"""Floating-point work of a training step, and the share of the device's peak that it reaches.

Counted as in the PaLM paper (Chowdhery et al. 2022, appendix B): 6 for each weight that multiplies, and 12 times
layers, hidden size and sequence length for attention, a token. Input embeddings are looked up, not multiplied.
"""

from typing import Any

import torch

# Dense bfloat16 peak, FLOP/s, from the makers' data sheets; the first name found in the device's name counts.
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
    """Floating-point operations of forward and backward pass for one token."""
    config = model.config.get_text_config()
    weights = sum(weight.numel() for weight in model.parameters())
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    multiplied = weights if tied else weights - model.get_input_embeddings().weight.numel()
    attention = 12 * config.num_hidden_layers * config.hidden_size * sequence_length
    return float(6 * multiplied + attention)


def peak_flops(device: torch.device) -> float | None:
    """The device's dense bfloat16 peak in FLOP/s, or None where it is not known (every CPU)."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAKS if part in name), None)


def flops_use(tokens_per_s: float, per_token: float, device: torch.device, n_devices: int) -> float | None:
    """Share of all devices' peak in use, 0..1, or None where the peak is not known."""
    peak = peak_flops(device)
    return None if peak is None else tokens_per_s * per_token / (peak * n_devices)
