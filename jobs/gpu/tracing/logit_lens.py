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
        reached: float32 (prompts, layers, compared sets): the share of the lexicon's other concepts whose word in the
            set's language has at least the set's probability, 0..1.
    """

    top_ids: Tensor
    top_probabilities: Tensor
    set_probabilities: Tensor
    reached: Tensor


@dataclass(frozen=True)
class Compared:
    """The sets that are compared with all concepts of the lexicon: the last ones of every prompt.

    Attributes:
        ids: int64 (languages, concepts, 2), the first tokens of every concept; -1 for none.
        sets: per prompt, the concept of each set (-1: none); the sets go through the languages in order, repeatedly.
    """

    ids: Tensor
    sets: Sequence[Sequence[int]]


@torch.no_grad()
def read_layers(
    head: OutputHead, hidden: list[Tensor], token_sets: list[list[list[int]]], top_k: int, compared: Compared
) -> LayerReadings:
    """Reads every layer at one position of each prompt; ``hidden`` has the output of each layer (prompts, hidden size).

    Every prompt has the same number of sets of token ids; a set may be empty.
    """
    rows, tokens, sets = _flatten(token_sets, hidden[0].device)
    n_rows, n_sets, matrix = len(token_sets), len(token_sets[0]), cast(nn.Linear, head.head).weight
    step, found = max(1, _MAX_LOGITS // (n_rows * max(len(matrix), compared.ids.numel()))), []
    for start in range(0, len(hidden), step):
        probabilities = head.logits(torch.stack(hidden[start : start + step])).softmax(dim=-1)
        top, total = probabilities.topk(top_k), probabilities.new_zeros(len(probabilities), n_rows * n_sets)
        total.index_add_(1, rows * n_sets + sets, probabilities[:, rows, tokens])
        sums = total.view(-1, n_rows, n_sets)
        found.append((top.indices, top.values, sums, _reached(probabilities, sums, compared)))
    return LayerReadings(*(torch.cat(parts).transpose(0, 1) for parts in zip(*found, strict=True)))


def _reached(probabilities: Tensor, sums: Tensor, compared: Compared) -> Tensor:
    """(layers, prompts, compared sets), from probabilities (layers, prompts, vocabulary) and all sums of sets."""
    ids, concepts = compared.ids, torch.tensor(compared.sets, device=compared.ids.device)
    n_languages, n_compared = len(ids), concepts.shape[1]
    there = ids.ge(0)
    words = (probabilities[..., ids.clamp_min(0)] * there).sum(dim=-1)  # (layers, prompts, languages, concepts)
    number, found = torch.arange(ids.shape[1], device=ids.device), []
    for k in range(n_compared):
        language, own = k % n_languages, sums[..., sums.shape[-1] - n_compared + k, None]
        others = there[language].any(dim=-1) & (number != concepts[:, k, None])  # (prompts, concepts)
        reach = (words[:, :, language] >= own) & others
        found.append(reach.sum(dim=-1) / others.sum(dim=-1).clamp_min(1))
    return torch.stack(found, dim=-1)


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
