"""Runs a model over prompts that share a prefix and computes the shared prefix once.

The prompts of one draw share about eighty tokens of examples and differ in the last ten or so. The keys and values of
the shared prefix are computed once. The remaining tokens of the prompts and the answers scored after them form a prefix
tree per batch, laid out in one row (``TokenTree``): nothing is padded, and no keys are copied for each prompt. With
``reuse=False`` every prompt is computed in full, for models without such a cache, and as the reference in tests.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from jobs.framework.messages import say
from jobs.gpu.translation.prompt_batches import (
    batches_of_neighbours,
    batches_of_one_length,
    shared_prefix_length,
    whole_sequences,
)
from jobs.gpu.translation.token_tree import TokenTree

_FOR_ANY_SHAPE = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""All backends but cuDNN, which builds a new plan for every shape; here almost every batch has a shape of its own."""
_READ_TOGETHER = 256
"""Positions whose logits are converted to float32 at once: 256 MB for a vocabulary of 256,000."""


@dataclass(frozen=True)
class LastPositions:
    """Positions of the last tokens of some prompts in the output of a forward pass.

    Attributes:
        rows: indices of the prompts.
        batch: int64 (len(rows),), row of the model's input that holds each prompt.
        places: int64 (len(rows),), position of each prompt's last token in that row.
    """

    rows: list[int]
    batch: Tensor
    places: Tensor

    def of(self, output: Tensor) -> Tensor:
        """Selects from an output of shape (batch, places, size) the last positions: (len(rows), size)."""
        return output[self.batch, self.places]


@dataclass(frozen=True)
class _Prefix:
    """The prefix that all prompts share: its length in tokens, and the model's cache of it (None if it is empty)."""

    length: int
    cache: Any


class PromptRunner:
    """Runs a causal language model over the prompts of one draw, ``batch_size`` of them in one forward pass."""

    def __init__(self, model: Any, batch_size: int, reuse: bool = True) -> None:
        self._model, self.batch_size, self._reuse = model, batch_size, reuse

    @torch.no_grad()
    def run(self, prompts: Sequence[Sequence[int]]) -> Iterator[LastPositions]:
        """Runs the model over all prompts (token ids of each) in batches; yields the last positions after each pass.

        Outputs captured by hooks must be read before the iterator is advanced.
        """
        if not self._reuse:
            for rows in batches_of_one_length([len(prompt) for prompt in prompts], self.batch_size):
                self._forward(self._tensor([prompts[row] for row in rows]), None, keep=1)
                yield self._last_positions(rows, range(len(rows)), [len(prompts[row]) - 1 for row in rows])
            return
        start = self._shared_prefix(prompts)
        for rows in batches_of_neighbours(prompts, self.batch_size):
            tree = TokenTree()
            places = [tree.add(prompts[row][start.length :])[-1] for row in rows]
            self._run_tree(tree, start, places[:1])
            yield self._last_positions(rows, [0] * len(rows), places)

    @torch.no_grad()
    def mean_log_probabilities(
        self, prompts: Sequence[Sequence[int]], pairs: Sequence[tuple[int, Sequence[int]]]
    ) -> list[float]:
        """Mean log-probability (nats) of the tokens of each continuation after its prompt.

        Args:
            prompts: token ids of each.
            pairs: (index of the prompt, token ids of the continuation).
        """
        if not self._reuse:
            return self._whole(prompts, pairs)
        asked: list[list[int]] = [[] for _ in prompts]
        for index, (prompt, _) in enumerate(pairs):
            asked[prompt].append(index)
        start, found = self._shared_prefix(prompts), [math.nan] * len(pairs)
        for rows in batches_of_neighbours(prompts, self.batch_size):
            tree, before = TokenTree(), dict[int, list[int]]()
            for row in rows:
                last = tree.add(prompts[row][start.length :])[-1]
                before |= {k: [last, *tree.add(pairs[k][1][:-1], last)] for k in asked[row]}
            totals = self._read_tree(tree, start, [(nodes, pairs[k][1]) for k, nodes in before.items()])
            for k, total in zip(before, totals, strict=True):
                found[k] = total / len(pairs[k][1])
        return found

    def _read_tree(
        self, tree: TokenTree, start: _Prefix, wanted: Sequence[tuple[Sequence[int], Sequence[int]]]
    ) -> list[float]:
        """For each (nodes, tokens): the summed log-probability of the tokens, each predicted at its node."""
        if not wanted:
            return []
        read = sorted({node for nodes, _ in wanted for node in nodes})
        place = {node: index for index, node in enumerate(read)}
        logits = self._run_tree(tree, start, read)[0]
        return _summed(logits, [([place[node] for node in nodes], tokens) for nodes, tokens in wanted])

    def _run_tree(self, tree: TokenTree, start: _Prefix, read: Sequence[int]) -> Tensor:
        """Logits (1, len(read), vocabulary) at the nodes in ``read``; the tree follows the shared prefix."""
        positions = start.length + torch.tensor([tree.depths])
        mask = self._mask(tree.attention_mask(self._device), start.length)
        extra = {"attention_mask": mask, "position_ids": positions.to(self._device)}
        keep = torch.tensor(read, device=self._device)
        logits: Tensor = self._forward(self._tensor([tree.tokens]), _copied(start.cache), keep, **extra).logits
        return logits

    def _mask(self, seen: Tensor, n_before: int) -> Tensor:
        """Additive mask (1, 1, nodes, n_before + nodes): 0 to attend, the minimum of the dtype elsewhere."""
        dtype = self._model.get_input_embeddings().weight.dtype
        mask = torch.zeros(1, 1, len(seen), n_before + len(seen), dtype=dtype, device=self._device)
        mask[..., n_before:].masked_fill_(~seen, torch.finfo(dtype).min)
        return mask

    def _whole(self, prompts: Sequence[Sequence[int]], pairs: Sequence[tuple[int, Sequence[int]]]) -> list[float]:
        """Mean log-probability of each continuation; prompt and continuation are computed in one pass."""
        sequences, hosts = whole_sequences(pairs)
        hosted: list[list[int]] = [[] for _ in sequences]
        for index, host in enumerate(hosts):
            hosted[host].append(index)
        found = [math.nan] * len(pairs)
        lengths = [len(prompts[prompt]) + len(tokens) for prompt, tokens in sequences]
        for chosen in batches_of_one_length(lengths, self.batch_size):
            rows = [[*prompts[sequences[k][0]], *sequences[k][1]] for k in chosen]
            width = 1 + max(len(sequences[k][1]) for k in chosen)
            logits = self._forward(self._tensor(rows), None, width).logits[:, -width:].flatten(0, 1)
            ends = [(row + 1) * width - len(sequences[k][1]) - 1 for row, k in enumerate(chosen)]
            read = [(end, index) for end, k in zip(ends, chosen, strict=True) for index in hosted[k]]
            wanted = [(range(end, end + len(pairs[index][1])), pairs[index][1]) for end, index in read]
            for (_, index), value in zip(read, _summed(logits, wanted), strict=True):
                found[index] = value / len(pairs[index][1])
        return found

    def _shared_prefix(self, prompts: Sequence[Sequence[int]]) -> _Prefix:
        length = shared_prefix_length(prompts) if len(prompts) > 1 else 0
        if not length:
            return _Prefix(0, None)
        result = self._forward(self._tensor([prompts[0][:length]]), None, keep=1)
        if getattr(result, "past_key_values", None) is None:
            raise NotImplementedError("this model returns no keys and values")
        return _Prefix(length, result.past_key_values)

    def _forward(self, ids: Tensor, cache: Any, keep: int | Tensor, **extra: Tensor) -> Any:
        past: dict[str, Any] = {} if cache is None else {"past_key_values": cache}
        with sdpa_kernel(_FOR_ANY_SHAPE):
            return self._model(input_ids=ids, use_cache=self._reuse, logits_to_keep=keep, **past, **extra)

    def _last_positions(self, rows: list[int], batch: Sequence[int], places: Sequence[int]) -> LastPositions:
        return LastPositions(rows, torch.tensor(batch, device=self._device), torch.tensor(places, device=self._device))

    def _tensor(self, ids: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor([list(row) for row in ids], dtype=torch.int64, device=self._device)

    @property
    def _device(self) -> torch.device:
        device: torch.device = self._model.device
        return device


def _copied(cache: Any) -> Any:
    """A shallow copy of a cache: appending to it replaces tensors of the copy and leaves the original unchanged."""
    if cache is None:
        return None
    copied = copy.copy(cache)
    copied.layers = [copy.copy(layer) for layer in cache.layers]
    return copied


def _summed(logits: Tensor, wanted: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
    """For each (places, tokens): the summed log-probability of the tokens, each read at its place of ``logits``."""
    cells = [(k, *cell) for k, (places, tokens) in enumerate(wanted) for cell in zip(places, tokens, strict=True)]
    owner, place, token = (torch.tensor(column, device=logits.device) for column in zip(*cells, strict=True))
    norms = torch.cat([part.float().logsumexp(dim=-1) for part in torch.split(logits, _READ_TOGETHER)])
    values = logits[place, token].float() - norms[place]
    found = torch.zeros(len(wanted), dtype=torch.float64, device=logits.device)
    return [float(total) for total in found.index_add_(0, owner, values.double()).tolist()]


def reuse_is_exact(model: Any, length: int = 160) -> bool:
    """Whether the model gives the same numbers with and without prefix reuse, tested on a few token ids.

    It does not for models whose state is not the keys and values of all tokens (recurrent models, sliding windows
    shorter than the prompts), or that do not accept a custom attention mask. The test runs two batches, so that a
    cache modified by the first batch is detected.

    Raises:
        torch.OutOfMemoryError: memory does not suffice for four such prompts.
    """
    n_ids = model.get_input_embeddings().weight.shape[0]
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None) or length + 16
    start = range(1, max(2, min(length, longest - 16)))
    prompts = [[(7919 * k) % n_ids for k in (*start, *tail)] for tail in ((5, 6), (7, 8), (9, 10, 11))]
    pairs = [(0, [1, 2, 4]), (0, [3]), (1, [5, 6, 7, 8]), (1, [2, 9]), (2, [4, 4])]
    try:
        found = [PromptRunner(model, 2, reuse).mean_log_probabilities(prompts, pairs) for reuse in (True, False)]
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, TypeError, ValueError, IndexError, RuntimeError, NotImplementedError) as error:
        say("the test of prefix reuse failed for this model", error=f"{type(error).__name__}: {str(error)[:200]}")
        return False
    in_float32 = next(model.parameters()).dtype == torch.float32 and not torch.is_autocast_enabled(model.device.type)
    differences = [abs(a - b) for a, b in zip(*found, strict=True)]
    # In bfloat16, one step of a logit between 16 and 32 is an eighth.
    most, mean = (1e-3, 1e-3) if in_float32 else (0.5, 0.2)
    return bool(max(differences) < most and sum(differences) / len(differences) < mean)
