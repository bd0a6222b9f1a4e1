"""Finds how a model turns a layer's output into logits: final norm, output head, and a scale or cap after it.

There is no list of model classes. The head is the model's output embeddings; the norm is the module outside the stack
of layers with which the last layer's output reproduces the model's own logits on a probe. A family without such
a module is refused, because a lens with a wrong norm gives plausible but wrong numbers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pivot_udfs.errors import ModelError

_PROBE_LENGTH = 12


@dataclass(frozen=True)
class OutputHead:
    """The path from a layer's output to logits, verified on the model.

    Attributes:
        layers: the stack of layers, first to last.
        norm: the final norm; None if the model has none.
        head: (hidden) to (vocabulary).
        scale: factor on the head's output (Cohere, Granite); 1 for most models.
        soft_cap: logits become cap * tanh(logits / cap) (Gemma 2); 0: no cap.
    """

    layers: nn.ModuleList
    norm: nn.Module | None
    head: nn.Module
    scale: float
    soft_cap: float

    def logits(self, hidden: Tensor) -> Tensor:
        """Float32 logits (..., vocabulary) of a layer's output (..., hidden)."""
        normed = hidden if self.norm is None else self.norm(hidden)
        logits = self._projected(normed)
        logits = logits if self.scale == 1.0 else logits * self.scale
        return logits if not self.soft_cap else self.soft_cap * torch.tanh(logits / self.soft_cap)

    def _projected(self, normed: Tensor) -> Tensor:
        """The head's output in float32: rounded to bfloat16, the top tokens of a layer would often be equal."""
        head: Any = self.head
        if type(head) is not nn.Linear or head.weight.dtype == torch.float32:
            found: Tensor = head(normed).float()
            return found
        bias = getattr(head, "bias", None)
        return nn.functional.linear(normed.float(), head.weight.float(), None if bias is None else bias.float())


@torch.no_grad()
def find_output_head(model: Any) -> OutputHead:
    """The verified output head of a causal language model.

    Raises ModelError where the stack of layers or the head is not found, or no norm reproduces the model's logits.
    """
    layers, head = find_layers(model), model.get_output_embeddings()
    if head is None:
        raise ModelError(f"family {model.config.model_type!r}: the model has no output embeddings; use another")
    hidden, logits = _probe(model, layers)
    soft_cap = float(getattr(model.config, "final_logit_softcapping", None) or 0.0)
    errors: dict[str, float] = {}
    for name, norm in _norm_candidates(model, layers):
        try:
            plain = OutputHead(layers, norm, head, 1.0, 0.0).logits(hidden)
        except (RuntimeError, TypeError, ValueError):
            continue  # a module of another shape
        scale = _scale(plain, _uncapped(logits, soft_cap))
        found = OutputHead(layers, norm, head, scale, soft_cap)
        worst = (found.logits(hidden) - logits.float()).abs().max()
        errors[name] = float(worst / logits.float().abs().max().clamp_min(1e-30))
        if errors[name] < (1e-4 if logits.dtype == torch.float32 else 3e-2):
            return found
    tried = ", ".join(f"{name}: {error:.2g}" for name, error in errors.items()) or "no candidate"
    raise ModelError(
        f"family {model.config.model_type!r} cannot be traced: no final norm among its modules reproduces the model's "
        f"logits from its last layer (relative errors: {tried}); use another model"
    )


def find_layers(model: Any) -> nn.ModuleList:
    """The stack of layers: the only ``ModuleList`` of the configured length; else a ``ModelError``."""
    config = model.config.get_text_config()
    stacks = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == config.num_hidden_layers and not _nested(name)
    ]
    if len(stacks) != 1 or model.config.is_encoder_decoder:
        raise ModelError(
            f"family {model.config.model_type!r}: expected one stack of {config.num_hidden_layers} layers, found "
            f"{len(stacks)}; only decoder-only models can be traced"
        )
    return stacks[0]


def _nested(name: str) -> bool:
    """Whether a module is inside a numbered one, such as the experts of a layer."""
    return any(part.isdigit() for part in name.split("."))


def _norm_candidates(model: Any, layers: nn.ModuleList) -> Iterator[tuple[str, nn.Module | None]]:
    """Norms outside the layers, the last first; finally no norm."""
    inside = set(layers.modules())
    outside = [(n, m) for n, m in model.named_modules() if m not in inside and "norm" in type(m).__name__.lower()]
    yield from reversed(outside)
    yield "no norm", None


def _probe(model: Any, layers: nn.ModuleList) -> tuple[Tensor, Tensor]:
    """The last layer's output (length, hidden) and the model's logits (length, vocabulary) on fixed ids."""
    n_ids = model.get_input_embeddings().weight.shape[0]
    ids = (torch.arange(1, _PROBE_LENGTH + 1, device=model.device) * 7919) % n_ids
    with captured_outputs([layers[-1]]) as outputs:
        logits = model(input_ids=ids[None], use_cache=False).logits
    return outputs[0][0], logits[0]


@contextmanager
def captured_outputs(layers: Any) -> Iterator[list[Tensor]]:
    """Captures the output of each layer, in layer order; every forward pass replaces it."""
    outputs: list[Any] = [None] * len(layers)

    def hook(index: int) -> Any:
        def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
            outputs[index] = output[0] if isinstance(output, tuple | list) else output

        return keep

    handles = [layer.register_forward_hook(hook(index)) for index, layer in enumerate(layers)]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _uncapped(logits: Tensor, soft_cap: float) -> Tensor:
    values = logits.float()
    return values if not soft_cap else soft_cap * torch.atanh((values / soft_cap).clamp(-0.999, 0.999))


def _scale(plain: Tensor, expected: Tensor) -> float:
    """The factor between two sets of logits, exactly 1 if it is 1 up to rounding."""
    factor = float((plain * expected).sum() / (plain * plain).sum().clamp_min(1e-30))
    return 1.0 if abs(factor - 1) < 5e-3 else factor
