"""Forward passes over prompts that begin alike: the shared beginning is computed once.

The prompts of one draw share some eighty tokens of examples and differ in the last ten or so. The shared
part's keys and values are computed once and repeated for each batch; and the answers tried for one source
word share its prompt, so that only their own tokens are added. Prompts of a batch have one length: there is
no padding, and so no mask to get wrong. With ``reuse=False`` every prompt is computed whole, for models
without such a cache and as the reference the other way is tested against.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jobs.gpu.prompt_batches import batches_of_one_length, shared_prefix_length, side_by_side, whole_sequences


@dataclass(frozen=True)
class Answered:
    """A batch of prompts after one forward pass.

    Attributes:
        rows: which of the prompts these are.
        log_probabilities: float32 (len(rows), vocabulary), of the token after each prompt.
        cache: the model's keys and values of these prompts, or None without reuse.
    """

    rows: list[int]
    log_probabilities: Tensor
    cache: Any


class PromptRunner:
    """Runs a model over prompts of one draw.

    Args:
        model: a causal language model in evaluation mode.
        batch_size: prompts in one forward pass.
        reuse: whether the shared prefix is computed once.
    """

    def __init__(self, model: Any, batch_size: int, reuse: bool = True) -> None:
        self._model, self.batch_size, self._reuse = model, batch_size, reuse

    @torch.no_grad()
    def answers(self, prompts: Sequence[Sequence[int]]) -> Iterator[Answered]:
        """The distribution of the next token for every prompt (token ids of each), in batches."""
        shared = shared_prefix_length(prompts) if self._reuse and len(prompts) > 1 else 0
        prefix = self._prefix_cache(prompts[0][:shared]) if shared else None
        for rows in batches_of_one_length([len(prompt) for prompt in prompts], self.batch_size):
            ids = self._tensor([list(prompts[row][shared:]) for row in rows])
            cache = _repeated(prefix, [0] * len(rows)) if prefix is not None else None
            result = self._forward(ids, cache, keep=1)
            after = getattr(result, "past_key_values", None)
            yield Answered(rows, result.logits[:, -1].float().log_softmax(-1), after)

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
        found = [math.nan] * len(pairs)
        for answered in self.answers(prompts):
            cells = [(place, k) for place, row in enumerate(answered.rows) for k in asked[row]]
            values = self.continuations(answered, prompts, [(place, pairs[k][1]) for place, k in cells])
            for (_, k), value in zip(cells, values, strict=True):
                found[k] = value
        return found

    @torch.no_grad()
    def continuations(
        self, answered: Answered, prompts: Sequence[Sequence[int]], pairs: Sequence[tuple[int, Sequence[int]]]
    ) -> list[float]:
        """Mean log-probability of each continuation's tokens.

        Args:
            answered: a batch from ``answers``.
            prompts: the same prompts.
            pairs: (place in ``answered.rows``, token ids of the continuation).
        """
        if not self._reuse:
            return self._whole(prompts, [(answered.rows[place], ids) for place, ids in pairs])
        firsts = answered.log_probabilities[[place for place, _ in pairs], [ids[0] for _, ids in pairs]]
        totals = firsts.double().cpu().tolist()
        longer = [index for index, (_, ids) in enumerate(pairs) if len(ids) > 1]
        rests = self._siblings(answered, prompts, [pairs[k] for k in longer])
        for index, value in zip(longer, rests, strict=True):
            totals[index] += value
        return [total / len(ids) for total, (_, ids) in zip(totals, pairs, strict=True)]

    def _siblings(
        self, answered: Answered, prompts: Sequence[Sequence[int]], pairs: Sequence[tuple[int, Sequence[int]]]
    ) -> list[float]:
        """Summed log-probability of all but the first token, all continuations of a prompt side by side.

        They lie in one row after their prompt's keys and values, at the positions each would have alone, and a mask
        keeps them from seeing each other. The cache is used up.
        """
        if not pairs:
            return []
        starts, width = side_by_side(pairs, len(answered.rows))
        length = len(prompts[answered.rows[0]])
        ids = torch.zeros(len(answered.rows), width, dtype=torch.int64)
        positions = torch.full_like(ids, length)
        seen = torch.zeros(len(ids), width, width, dtype=torch.bool)
        for (row, tokens), start in zip(pairs, starts, strict=True):
            n = len(tokens) - 1
            ids[row, start : start + n] = torch.tensor(tokens[:-1])
            positions[row, start : start + n] += torch.arange(n)
            seen[row, start : start + n, start : start + n] = torch.ones(n, n, dtype=torch.bool).tril()
        mask = self._additive_mask(seen, length)
        logits = self._forward(
            ids.to(self._model.device), answered.cache, width, mask, positions.to(self._model.device)
        ).logits.float()
        return _summed(logits, [(row, start, tokens[1:]) for (row, tokens), start in zip(pairs, starts, strict=True)])

    def _additive_mask(self, seen: Tensor, length: int) -> Tensor:
        """(rows, 1, width, length + width): 0 where a token may look, the dtype's least number elsewhere."""
        dtype = self._model.get_input_embeddings().weight.dtype
        open_prompt = torch.ones(*seen.shape[:2], length, dtype=torch.bool)
        allowed = torch.cat([open_prompt, seen], dim=2)[:, None]
        return torch.where(allowed, 0.0, torch.finfo(dtype).min).to(device=self._model.device, dtype=dtype)

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
            logits = self._forward(self._tensor(rows), None, width).logits[:, -width:].float()
            read = [
                (row, width - 1 - len(sequences[k][1]), index) for row, k in enumerate(chosen) for index in hosted[k]
            ]
            values = _summed(logits, [(row, start, pairs[index][1]) for row, start, index in read])
            for (_, _, index), value in zip(read, values, strict=True):
                found[index] = value / len(pairs[index][1])
        return found

    def _prefix_cache(self, ids: Sequence[int]) -> Any:
        cache = getattr(self._forward(self._tensor([list(ids)]), None, keep=1), "past_key_values", None)
        if cache is None:
            raise NotImplementedError("this model keeps no keys and values")
        return cache

    def _forward(
        self, ids: Tensor, cache: Any, keep: int, mask: Tensor | None = None, positions: Tensor | None = None
    ) -> Any:
        extra: dict[str, Any] = {} if cache is None else {"past_key_values": cache}
        extra |= {} if mask is None else {"attention_mask": mask, "position_ids": positions}
        return self._model(input_ids=ids, use_cache=self._reuse, logits_to_keep=keep, **extra)

    def _tensor(self, ids: list[list[int]]) -> Tensor:
        return torch.tensor(ids, dtype=torch.int64, device=self._model.device)


def _repeated(cache: Any, rows: list[int]) -> Any:
    """A copy of a cache with the given rows of its batch; the cache itself is not touched."""
    taken = copy.copy(cache)
    taken.layers = [copy.copy(layer) for layer in cache.layers]
    taken.batch_select_indices(torch.tensor(rows, device=cache.layers[0].keys.device))
    return taken


def _summed(logits: Tensor, wanted: Sequence[tuple[int, int, Sequence[int]]]) -> list[float]:
    """Summed log-probability of the tokens from a place of a row on, for each (row, place, tokens)."""
    cells = [(k, row, start + n, token) for k, (row, start, ids) in enumerate(wanted) for n, token in enumerate(ids)]
    owner, row, place, token = (list(column) for column in zip(*cells, strict=True))
    values = logits[row, place, token] - logits.logsumexp(dim=-1)[row, place]
    found = torch.zeros(len(wanted), dtype=torch.float64, device=logits.device)
    found.index_add_(0, torch.tensor(owner, device=logits.device), values.double())
    return [float(value) for value in found.tolist()]


def reuse_is_exact(model: Any, length: int = 160) -> bool:
    """Whether this model gives the same numbers from a shared prefix: tried on a few ids, both ways.

    Models that keep something other than keys and values of all tokens do not (recurrent ones, those with a sliding
    window shorter than the prompts), nor those that take no mask of ours.

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
        found = [PromptRunner(model, 4, reuse).means(prompts, pairs) for reuse in (True, False)]
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, TypeError, ValueError, IndexError, RuntimeError, NotImplementedError):
        return False
    in_full = next(model.parameters()).dtype == torch.float32 and not torch.is_autocast_enabled(model.device.type)
    tolerance = 1e-3 if in_full else 0.1
    return all(abs(a - b) < tolerance for a, b in zip(*found, strict=True))
