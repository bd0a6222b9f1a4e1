"""Cross entropy of the next tokens, without float32 copies of all logits.

The float32 logits of a batch are by far its largest arrays (3.3 GB for eight sequences of 2,048 tokens and a
vocabulary of 50,304), and a plain cross entropy holds several copies. Compiled, it reads the logits as they are and
keeps one number per token. Not compiled, one part of the sequence is in float32 at a time, and the backward pass
computes the softmax of each part again.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

LOGITS_AT_ONCE = 1 << 26
Loss = Callable[[Tensor, Tensor], Tensor]


def loss_function(compiled: bool) -> Loss:
    """``summed_loss`` of logits and targets, compiled as a whole or computed in parts."""
    return torch.compile(_part_loss, dynamic=False) if compiled else summed_loss


def summed_loss(logits: Tensor, targets: Tensor, at_once: int = LOGITS_AT_ONCE) -> Tensor:
    """Summed cross entropy in nats, a float32 scalar.

    Args:
        logits: (batch, length, vocabulary), any floating dtype.
        targets: int64 (batch, length); -1 is ignored.
        at_once: number of logits in float32 at a time.
    """
    batch, _, vocabulary = logits.shape
    length = max(1, at_once // (batch * vocabulary))
    parts = list(zip(torch.split(logits, length, dim=1), torch.split(targets, length, dim=1), strict=True))
    if len(parts) == 1:
        return _part_loss(logits, targets)
    if not torch.is_grad_enabled():
        return torch.stack([_part_loss(*part) for part in parts]).sum()
    losses = [checkpoint(_part_loss, *part, use_reentrant=False, preserve_rng_state=False) for part in parts]
    return torch.stack(losses).sum()


def _part_loss(logits: Tensor, targets: Tensor) -> Tensor:
    flat = logits.float().flatten(0, 1)
    return cross_entropy(flat, targets.flatten(), ignore_index=-1, reduction="sum")
