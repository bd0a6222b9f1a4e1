"""Removes unembedding directions from the residual stream at the answer position, and measures the effect."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from jobs.gpu.models.output_head import OutputHead, captured_outputs
from jobs.gpu.tracing.lenses import Lens
from jobs.gpu.translation.prompt_runner import LastPositions, PromptRunner


class Removal(NamedTuple):
    """The directions removed from the output of a layer: an orthonormal basis, float32 (hidden size, directions)."""

    layer: int
    basis: Tensor


class Unembedding:
    """The directions of the residual stream from which the lens reads tokens.

    A token's direction is its row of the output head less the mean of all rows (which moves all logits alike and no
    probability), times the gain of the final norm; it is centred if the norm subtracts the mean.
    """

    @torch.no_grad()
    def __init__(self, head: OutputHead, lens: Lens | None = None) -> None:
        self._lens = lens or Lens()
        self._rows = cast(nn.Linear, head.head).weight
        self._mean = self._rows.mean(dim=0, dtype=torch.float32)
        self._gain, self._is_centred = torch.ones_like(self._mean), False
        if head.norm is not None:
            signs = torch.ones_like(self._rows[:1])
            signs[:, 1::2] = -1
            self._gain = ((head.norm(signs) - head.norm(-signs)) / 2 * signs)[0].float()
            self._is_centred = torch.allclose(head.norm(signs), head.norm(signs + 1), atol=1e-2)

    @torch.no_grad()
    def directions(self, tokens: Sequence[int]) -> Tensor:
        """The direction of each token, float32 (tokens, hidden size)."""
        found = (self._rows[list(tokens)].float() - self._mean) * self._gain
        return found - found.mean(dim=-1, keepdim=True) if self._is_centred else found

    def basis(self, tokens: Sequence[int], answer: int, layer: int) -> Tensor:
        """Orthonormal basis, float32 (hidden size, tokens), of the tokens' directions orthogonal to the answer's.

        The directions are those along which the lens reads the output of ``layer``.

        Removing it leaves what the lens reads of the answer as it is, up to the norm's scale: an effect on the answer
        comes from what later layers make of the rest.
        """
        read = self._lens.pulled_back(self.directions([answer, *tokens]), layer)
        basis: Tensor = torch.linalg.qr(read.T).Q[:, 1:]
        return basis


@torch.no_grad()
def target_log_probabilities(
    runner: PromptRunner,
    head: OutputHead,
    prompts: Sequence[Sequence[int]],
    targets: Sequence[int],
    removals: Sequence[Removal | None],
) -> list[float]:
    """The model's log-probability (nats) of a token after each prompt, with directions removed at its last place."""
    found = [0.0] * len(prompts)
    for rows in _apart(prompts):
        hooks = _Hooks(head.layers, [removals[row] for row in rows])
        with hooks.active(), captured_outputs(head.layers[-1:]) as outputs:
            for last in runner.run([prompts[row] for row in rows], before=hooks.aim):
                logs = head.logits(last.of(outputs[0])).log_softmax(dim=-1)
                for k, row in enumerate(last.rows):
                    found[rows[row]] = float(logs[k, targets[rows[row]]])
    return found


def _apart(prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Groups of indices, in none of which one prompt begins another: its last position would be the other's as well."""
    groups: list[list[int]] = []
    for row in sorted(range(len(prompts)), key=lambda row: list(prompts[row])):
        # In this order, a prompt that begins another also begins all prompts between them.
        fit = (group for group in groups if not _begins(prompts[group[-1]], prompts[row]))
        if (group := next(fit, None)) is None:
            groups.append(group := [])
        group.append(row)
    return groups


def _begins(start: Sequence[int], whole: Sequence[int]) -> bool:
    return list(start) == list(whole[: len(start)])


class _Hooks:
    """Forward hooks that remove each prompt's directions from the output of its layer."""

    def __init__(self, layers: nn.ModuleList, removals: Sequence[Removal | None]) -> None:
        self._layers, self._removals = layers, removals
        self._last = LastPositions([], torch.zeros(0, dtype=torch.int64))

    def aim(self, last: LastPositions) -> None:
        """Sets the positions of the next forward pass."""
        self._last = last

    @contextmanager
    def active(self) -> Iterator[None]:
        """Hooks the layers at which something is removed."""
        wanted = {removal.layer for removal in self._removals if removal is not None}
        handles = [self._layers[layer].register_forward_hook(self._hook(layer)) for layer in wanted]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, layer: int) -> Any:
        def change(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            hidden = output[0] if isinstance(output, tuple) else output
            flat = hidden.flatten(0, 1).clone()
            for row, place in zip(self._last.rows, self._last.places.tolist(), strict=True):
                removal = self._removals[row]
                if removal is not None and removal.layer == layer:
                    before = flat[place].float()
                    flat[place] = (before - removal.basis @ (removal.basis.T @ before)).to(flat.dtype)
            changed = flat.view_as(hidden)
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        return change
