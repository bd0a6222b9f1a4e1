"""Runs a model over prompts that share a prefix and computes the shared prefix once.

The remaining tokens of the prompts and the answers scored after them form a prefix tree per batch, laid out in one row
(``TokenTree``): nothing is padded, and no keys are copied for each prompt. With ``reuse=False`` every sequence is a row
that is computed in full, for models without such a cache.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from jobs.framework.log_lines import say
from jobs.gpu.translation.token_tree import TokenTree

Result = TypeVar("Result")
_FOR_ANY_SHAPE = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""All backends but cuDNN, which builds a new plan for every shape; here almost every batch has a shape of its own."""
_READ_TOGETHER = 256
"""Positions whose logits are converted to float32 at once: 256 MB for a vocabulary of 256,000."""
_Batch = tuple[list[int], dict[str, Any], list[list[int]]]
"""Indices of sequences, the model's input, and per sequence the places that predict its tail and the token after it."""


@dataclass(frozen=True)
class LastPositions:
    """The last tokens of some prompts (``rows``) in a forward pass, batch and length flattened (``places``)."""

    rows: list[int]
    places: Tensor

    def of(self, output: Tensor) -> Tensor:
        """Selects from an output of shape (batch, length, size) the last positions: (len(rows), size)."""
        return output.flatten(0, 1)[self.places]


class PromptRunner:
    """Runs a causal language model over the prompts of one draw, ``batch_size`` of them in one forward pass."""

    def __init__(self, model: Any, batch_size: int, reuse: bool = True) -> None:
        self._model, self.batch_size, self._reuse, self._halved = model, batch_size, reuse, False

    def within_memory(self, work: Callable[["PromptRunner"], Result]) -> Result:
        """The result of ``work``; the first time memory runs out it is repeated with half the batch size for good."""
        try:
            return work(self)
        except (torch.OutOfMemoryError, MemoryError):
            if self._halved or self.batch_size == 1:
                raise
        self.batch_size, self._halved = self.batch_size // 2, True
        say("out of memory: continuing with half the batch size", batch_size=self.batch_size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return work(self)

    @torch.no_grad()
    def run(
        self, prompts: Sequence[Sequence[int]], before: Callable[[LastPositions], None] | None = None
    ) -> Iterator[LastPositions]:
        """Runs the model over all prompts (token ids of each) in batches; yields the last positions after each pass.

        Outputs captured by hooks must be read before the iterator is advanced. ``before`` is called with the positions
        before each pass.
        """
        for rows, inputs, places in self._batches(prompts, [(row, ()) for row in range(len(prompts))]):
            last = LastPositions(rows, self._tensor([place for (place,) in places]))
            if before is not None:
                before(last)
            self._forward(inputs, 1)
            yield last

    @torch.no_grad()
    def mean_log_probabilities(
        self, prompts: Sequence[Sequence[int]], pairs: Sequence[tuple[int, Sequence[int]]]
    ) -> list[float]:
        """Mean log-probability (nats) of the tokens of each continuation: (index of its prompt, token ids)."""
        asked: dict[tuple[int, tuple[int, ...]], list[int]] = {}
        for index, (prompt, ids) in enumerate(pairs):
            asked.setdefault((prompt, tuple(ids[:-1])), []).append(index)
        found, owners = [math.nan] * len(pairs), list(asked.values())
        for chosen, inputs, places in self._batches(prompts, list(asked)):
            length = inputs["input_ids"].shape[1]
            columns = sorted({place % length for of_one in places for place in of_one})
            logits = self._forward(inputs, self._tensor(columns)).logits.flatten(0, 1)
            kept = {column: index for index, column in enumerate(columns)}
            read = [[place // length * len(columns) + kept[place % length] for place in of_one] for of_one in places]
            wanted = [(of_one, index) for of_one, k in zip(read, chosen, strict=True) for index in owners[k]]
            totals = _summed(logits, [(of_one, pairs[index][1]) for of_one, index in wanted])
            for (_, index), total in zip(wanted, totals, strict=True):
                found[index] = total / len(pairs[index][1])
        return found

    def _batches(
        self, prompts: Sequence[Sequence[int]], tails: Sequence[tuple[int, tuple[int, ...]]]
    ) -> Iterator[_Batch]:
        """Batches that hold every (index of a prompt, token ids after it) once; see ``_Batch``."""
        if not self._reuse:
            whole = [[*prompts[prompt], *tail] for prompt, tail in tails]
            for chosen in batches_of_one_length([len(ids) for ids in whole], self.batch_size):
                ends = [(row + 1) * len(whole[k]) for row, k in enumerate(chosen)]
                places = [[*range(end - len(tails[k][1]) - 1, end)] for end, k in zip(ends, chosen, strict=True)]
                yield chosen, {"input_ids": self._tensor([whole[k] for k in chosen])}, places
            return
        of_prompt: list[list[int]] = [[] for _ in prompts]
        for k, (prompt, _) in enumerate(tails):
            of_prompt[prompt].append(k)
        length, cache = self._shared_prefix(prompts)
        for rows in batches_of_neighbours(prompts, self.batch_size):
            tree, nodes = TokenTree(), dict[int, list[int]]()
            for row in rows:
                last = tree.add(prompts[row][length:])[-1]
                nodes |= {k: [last, *tree.add(tails[k][1], last)] for k in of_prompt[row]}
            if nodes:
                yield list(nodes), self._tree_inputs(tree, length, cache), list(nodes.values())

    def _shared_prefix(self, prompts: Sequence[Sequence[int]]) -> tuple[int, Any]:
        """The length in tokens of the prefix that all prompts share, and the model's cache of it (None if empty)."""
        length = shared_prefix_length(prompts) if len(prompts) > 1 else 0
        if not length:
            return 0, None
        result = self._forward({"input_ids": self._tensor([prompts[0][:length]])}, 1)
        if getattr(result, "past_key_values", None) is None:
            raise NotImplementedError("this model returns no keys and values")
        return length, result.past_key_values

    def _tree_inputs(self, tree: TokenTree, n_before: int, cache: Any) -> dict[str, Any]:
        """Input for a tree after ``n_before`` cached tokens; its additive mask is (1, 1, nodes, n_before + nodes)."""
        dtype, device = self._model.get_input_embeddings().weight.dtype, self._model.device
        mask = torch.zeros(1, 1, len(tree), n_before + len(tree), dtype=dtype, device=device)
        mask[..., n_before:].masked_fill_(~tree.attention_mask(device), torch.finfo(dtype).min)
        places = {"position_ids": n_before + self._tensor([tree.depths]), "attention_mask": mask}
        past = {} if cache is None else {"past_key_values": _copied(cache)}
        return {"input_ids": self._tensor([tree.tokens]), **places, **past}

    def _forward(self, inputs: dict[str, Any], keep: int | Tensor) -> Any:
        with sdpa_kernel(_FOR_ANY_SHAPE):
            return self._model(use_cache=self._reuse, logits_to_keep=keep, **inputs)

    def _tensor(self, values: Sequence[Any]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self._model.device)


def shared_prefix_length(prompts: Sequence[Sequence[int]]) -> int:
    """Length in tokens of the prefix that all prompts share; at least one token of each prompt remains after it."""
    shortest = min(len(prompt) for prompt in prompts)
    for place in range(shortest - 1):
        if any(prompt[place] != prompts[0][place] for prompt in prompts):
            return place
    return shortest - 1


def batches_of_one_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Batches of at most ``batch_size`` indices of equal lengths, shortest first; equal lengths keep their order."""
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    start = 0
    while start < len(order):
        end = start + 1
        while end < min(len(order), start + batch_size) and lengths[order[end]] == lengths[order[start]]:
            end += 1
        yield order[start:end]
        start = end


def batches_of_neighbours(prompts: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Batches of at most ``batch_size`` indices; prompts with common prefixes are neighbours."""
    order = sorted(range(len(prompts)), key=lambda index: (list(prompts[index]), index))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def _copied(cache: Any) -> Any:
    """A shallow copy of a cache: appending to it replaces tensors of the copy and leaves the original unchanged."""
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
    shorter than the prompts), or that do not accept a custom attention mask. The test runs two batches, so that a cache
    modified by the first batch is detected.
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
