"""The logit lens: the output of every layer at the answer position, decoded by the model's own norm and output head.

Layers are decoded together as far as memory allows. Only the top k tokens and a few summed probabilities are kept: the
distributions of all layers over the whole vocabulary would take gigabytes for a few thousand prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import cast

import torch
from torch import Tensor, nn

from jobs.gpu.models.output_head import OutputHead

_MAX_LOGITS = 1 << 26
"""Logits decoded at once; 256 MB."""


@dataclass(frozen=True)
class LayerReadings:
    """What the lens reads for a batch of prompts, layer by layer.

    Attributes:
        top_ids: int64 (prompts, layers, k), most probable first.
        top_probabilities: float32 (prompts, layers, k).
        set_probabilities: float32 (prompts, layers, sets), summed over each token set, 0..1.
    """

    top_ids: Tensor
    top_probabilities: Tensor
    set_probabilities: Tensor


@torch.no_grad()
def read_layers(head: OutputHead, hidden: list[Tensor], token_sets: list[list[list[int]]], top_k: int) -> LayerReadings:
    """Reads every layer at one position of each prompt.

    Args:
        head: the model's verified output head.
        hidden: per layer (prompts, hidden size), the output of the layer.
        token_sets: per prompt, the same number of sets of token ids; a set may be empty.
        top_k: tokens kept for each layer.
    """
    rows, tokens, sets = _flatten(token_sets, hidden[0].device)
    n_rows, n_sets, matrix = len(token_sets), len(token_sets[0]), cast(nn.Linear, head.head).weight
    step, found = max(1, _MAX_LOGITS // (len(hidden[0]) * len(matrix))), []
    for start in range(0, len(hidden), step):
        probabilities = head.logits(torch.stack(hidden[start : start + step])).softmax(dim=-1)
        top, total = probabilities.topk(top_k), probabilities.new_zeros(len(probabilities), n_rows * n_sets)
        total.index_add_(1, rows * n_sets + sets, probabilities[:, rows, tokens])
        found.append((top.indices, top.values, total.view(-1, n_rows, n_sets)))
    return LayerReadings(*(torch.cat(parts).transpose(0, 1) for parts in zip(*found, strict=True)))


def join_readings(readings: Sequence[LayerReadings], order: Sequence[int]) -> LayerReadings:
    """Concatenates readings of several batches on the CPU; ``order`` maps their rows to rows of the result."""
    place = torch.tensor(order).argsort()
    names = [field.name for field in fields(LayerReadings)]
    return LayerReadings(*(torch.cat([getattr(part, name) for part in readings]).cpu()[place] for name in names))


def _flatten(token_sets: list[list[list[int]]], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """(prompt, token id, set) of every member of every set, each int64; a token counts once in a set."""
    members = [
        (row, token, index)
        for row, sets in enumerate(token_sets)
        for index, tokens in enumerate(sets)
        for token in sorted(set(tokens))
    ]
    flat = torch.tensor(members or [], dtype=torch.int64, device=device).view(-1, 3)
    return flat[:, 0], flat[:, 1], flat[:, 2]
