"""Forward passes over prompts that begin alike: whatever several of them begin with is computed once.

The prompts of one draw share some eighty tokens of examples and differ in the last ten or so. The shared part's keys
and values are computed once. The prompts' own tokens and the answers tried after them follow as trees, those of a whole
batch in one row (``TokenTree``), so that nothing is padded, and no key is copied for each prompt. With
``reuse=False`` every prompt is computed whole, for models without such a cache and as the reference the other way is
tested against.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from jobs.gpu.common.run_job import say
from jobs.gpu.translation.prompt_batches import (
    batches_of_neighbours,
    batches_of_one_length,
    shared_prefix_length,
    whole_sequences,
)
from jobs.gpu.translation.token_tree import TokenTree

_FOR_ANY_SHAPE = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""Attention without cuDNN's, which plans anew for every size of batch and prompt, and hardly two batches are alike."""
_READ_TOGETHER = 256
"""Places whose logits are summed in float32 together: 256 MB for a vocabulary of 256,000."""


@dataclass(frozen=True)
class Ends:
    """Where the prompts of a batch end in a forward pass.

    Attributes:
        rows: which of the prompts these are.
        batch: int64 (len(rows),), the row of the model's input that each stands in.
        places: int64 (len(rows),), the place in that row of each one's last token.
    """

    rows: list[int]
    batch: Tensor
    places: Tensor

    def of(self, output: Tensor) -> Tensor:
        """(len(rows), size): what an output of shape (batch, places, size) is at the prompts' last tokens."""
        return output[self.batch, self.places]


@dataclass(frozen=True)
class _Beginning:
    """What all prompts begin with: its tokens, and the model's keys and values of them (None for no token)."""

    length: int
    cache: Any


class PromptRunner:
    """Runs a model over prompts of one draw.

    Args:
        model: a causal language model in evaluation mode.
        batch_size: prompts in one forward pass.
        reuse: whether what prompts begin with is computed once.
    """

    def __init__(self, model: Any, batch_size: int, reuse: bool = True) -> None:
        self._model, self.batch_size, self._reuse = model, batch_size, reuse

    @torch.no_grad()
    def run(self, prompts: Sequence[Sequence[int]]) -> Iterator[Ends]:
        """Runs the model over all prompts (token ids of each) in batches and tells where each one ends, pass by pass.

        What hooks caught of a pass is to be read before the next one.
        """
        if not self._reuse:
            for rows in batches_of_one_length([len(prompt) for prompt in prompts], self.batch_size):
                self._forward(self._tensor([prompts[row] for row in rows]), None, keep=1)
                yield self._ends(rows, range(len(rows)), [len(prompts[row]) - 1 for row in rows])
            return
        start = self._beginning(prompts)
        for rows in batches_of_neighbours(prompts, self.batch_size):
            tree = TokenTree()
            places = [tree.add(prompts[row][start.length :])[-1] for row in rows]
            self._run_tree(tree, start, places[:1])
            yield self._ends(rows, [0] * len(rows), places)

    @torch.no_grad()
    def means(self, prompts: Sequence[Sequence[int]], pairs: Sequence[tuple[int, Sequence[int]]]) -> list[float]:
        """Mean log-probability of each continuation's tokens after its prompt.

        Args:
            prompts: token ids of each.
            pairs: (which prompt, token ids of the continuation).
        """
        if not self._reuse:
            return self._whole(prompts, pairs)
        asked: list[list[int]] = [[] for _ in prompts]
        for index, (prompt, _) in enumerate(pairs):
            asked[prompt].append(index)
        start, found = self._beginning(prompts), [math.nan] * len(pairs)
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
        self, tree: TokenTree, start: _Beginning, wanted: Sequence[tuple[Sequence[int], Sequence[int]]]
    ) -> list[float]:
        """Summed log-probability of tokens, each after its node, for each (nodes, tokens)."""
        if not wanted:
            return []
        read = sorted({node for nodes, _ in wanted for node in nodes})
        place = {node: index for index, node in enumerate(read)}
        logits = self._run_tree(tree, start, read)[0]
        return _summed(logits, [([place[node] for node in nodes], tokens) for nodes, tokens in wanted])

    def _run_tree(self, tree: TokenTree, start: _Beginning, read: Sequence[int]) -> Tensor:
        """Logits (1, len(read), vocabulary) after the nodes to be read, the whole tree after the beginning."""
        positions = start.length + torch.tensor([tree.depths])
        mask = self._mask(tree.sees(self._device), start.length)
        extra = {"attention_mask": mask, "position_ids": positions.to(self._device)}
        keep = torch.tensor(read, device=self._device)
        logits: Tensor = self._forward(self._tensor([tree.tokens]), _copied(start.cache), keep, **extra).logits
        return logits

    def _mask(self, seen: Tensor, n_before: int) -> Tensor:
        """(1, 1, nodes, n_before + nodes): 0 where a token may look, the dtype's least number elsewhere."""
        dtype = self._model.get_input_embeddings().weight.dtype
        mask = torch.zeros(1, 1, len(seen), n_before + len(seen), dtype=dtype, device=self._device)
        mask[..., n_before:].masked_fill_(~seen, torch.finfo(dtype).min)
        return mask

    def _whole(self, prompts: Sequence[Sequence[int]], pairs: Sequence[tuple[int, Sequence[int]]]) -> list[float]:
        """Mean log-probability of each continuation, prompt and continuation together in one pass."""
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

    def _beginning(self, prompts: Sequence[Sequence[int]]) -> _Beginning:
        length = shared_prefix_length(prompts) if len(prompts) > 1 else 0
        if not length:
            return _Beginning(0, None)
        result = self._forward(self._tensor([prompts[0][:length]]), None, keep=1)
        if getattr(result, "past_key_values", None) is None:
            raise NotImplementedError("this model keeps no keys and values")
        return _Beginning(length, result.past_key_values)

    def _forward(self, ids: Tensor, cache: Any, keep: int | Tensor, **extra: Tensor) -> Any:
        known: dict[str, Any] = {} if cache is None else {"past_key_values": cache}
        with sdpa_kernel(_FOR_ANY_SHAPE):
            return self._model(input_ids=ids, use_cache=self._reuse, logits_to_keep=keep, **known, **extra)

    def _ends(self, rows: list[int], batch: Sequence[int], places: Sequence[int]) -> Ends:
        return Ends(rows, torch.tensor(batch, device=self._device), torch.tensor(places, device=self._device))

    def _tensor(self, ids: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor([list(row) for row in ids], dtype=torch.int64, device=self._device)

    @property
    def _device(self) -> torch.device:
        device: torch.device = self._model.device
        return device


def _copied(cache: Any) -> Any:
    """A cache to go on from, so that the cache itself stays as it is (its layers put new tensors for the old)."""
    if cache is None:
        return None
    taken = copy.copy(cache)
    taken.layers = [copy.copy(layer) for layer in cache.layers]
    return taken


def _summed(logits: Tensor, wanted: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
    """Summed log-probability of tokens, each after its place of the logits, for each (places, tokens)."""
    cells = [(k, *cell) for k, (places, tokens) in enumerate(wanted) for cell in zip(places, tokens, strict=True)]
    owner, place, token = (torch.tensor(column, device=logits.device) for column in zip(*cells, strict=True))
    norms = torch.cat([part.float().logsumexp(dim=-1) for part in torch.split(logits, _READ_TOGETHER)])
    values = logits[place, token].float() - norms[place]
    found = torch.zeros(len(wanted), dtype=torch.float64, device=logits.device)
    return [float(total) for total in found.index_add_(0, owner, values.double()).tolist()]


def reuse_is_exact(model: Any, length: int = 160) -> bool:
    """Whether this model gives the same numbers from a shared prefix: tried on a few ids, both ways.

    Models that keep something other than keys and values of all tokens do not (recurrent ones, those with a sliding
    window shorter than the prompts), nor those that take no mask of ours. The trial takes two batches, so
    that a cache which the first one alters is found out.

    Args:
        model: a causal language model in evaluation mode.
        length: tokens of the longest prompt and answer that will be asked.

    Raises:
        torch.OutOfMemoryError: memory does not suffice for four such prompts.
    """
    n_ids = model.get_input_embeddings().weight.shape[0]
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None) or length + 16
    start = range(1, max(2, min(length, longest - 16)))
    prompts = [[(7919 * k) % n_ids for k in (*start, *tail)] for tail in ((5, 6), (7, 8), (9, 10, 11))]
    pairs = [(0, [1, 2, 4]), (0, [3]), (1, [5, 6, 7, 8]), (1, [2, 9]), (2, [4, 4])]
    try:
        found = [PromptRunner(model, 2, reuse).means(prompts, pairs) for reuse in (True, False)]
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, TypeError, ValueError, IndexError, RuntimeError, NotImplementedError) as error:
        say("this model failed the trial of a shared prefix", error=f"{type(error).__name__}: {str(error)[:200]}")
        return False
    in_full = next(model.parameters()).dtype == torch.float32 and not torch.is_autocast_enabled(model.device.type)
    differences = [abs(a - b) for a, b in zip(*found, strict=True)]
    # In bfloat16, one step of a logit between 16 and 32 is an eighth.
    most, mean = (1e-3, 1e-3) if in_full else (0.5, 0.2)
    return bool(max(differences) < most and sum(differences) / len(differences) < mean)
