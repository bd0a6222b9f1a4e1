"""The logit lens: the output of every layer at the answer position, decoded by the model's own norm and output head.

Layers are decoded together as far as memory allows. Only the top k tokens and a few summed probabilities are kept: the
distributions of all layers over the whole vocabulary would take gigabytes for a few thousand prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from jobs.gpu.models.output_head import OutputHead

_MAX_LOGITS = 1 << 26
"""Logits decoded at once; 256 MB."""
_BLOCK = 64


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
    members, n_sets = _flatten(token_sets, hidden[0].device), len(token_sets[0])
    matrix: Any = head.head.weight
    step = max(1, _MAX_LOGITS // (len(hidden[0]) * len(matrix)))
    found = [
        _read_together(head, torch.stack(hidden[start : start + step]), members, n_sets, top_k)
        for start in range(0, len(hidden), step)
    ]
    ids, tops, sums = (torch.cat(parts).transpose(0, 1) for parts in zip(*found, strict=True))
    return LayerReadings(ids, tops, sums)


def _read_together(
    head: OutputHead, hidden: Tensor, members: tuple[Tensor, Tensor, Tensor], n_sets: int, top_k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Top ids, their probabilities, and the sets' probabilities, each (layers, prompts, ...)."""
    rows, columns, sets = members
    n_layers, n_rows = hidden.shape[:2]
    probabilities = head.logits(hidden).softmax(dim=-1)
    values, ids = largest(probabilities, top_k)
    total = torch.zeros(n_layers, n_rows * n_sets, device=hidden.device)
    total.index_add_(1, rows * n_sets + sets, probabilities[:, rows, columns])
    return ids, values, total.view(n_layers, n_rows, n_sets)


def largest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` largest values of the last axis and their indices, like ``Tensor.topk`` (ties in any order).

    They lie in the ``k`` blocks with the largest maxima: the vocabulary is read once, and only those blocks are sorted.
    """
    n_blocks = values.shape[-1] // _BLOCK
    if n_blocks <= k:
        top = values.topk(k)
        return top.values, top.indices
    whole = n_blocks * _BLOCK
    best = values[..., :whole].view(*values.shape[:-1], n_blocks, _BLOCK).amax(-1).topk(k).indices
    inside = (best[..., None] * _BLOCK + torch.arange(_BLOCK, device=values.device)).flatten(-2)
    after = torch.arange(whole, values.shape[-1], device=values.device).expand(*values.shape[:-1], -1)
    places = torch.cat([inside, after], -1)
    top = values.gather(-1, places).topk(k)
    return top.values, places.gather(-1, top.indices)


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
