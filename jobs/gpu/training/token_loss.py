"""Cross entropy of the next tokens, without a float32 copy of all logits.

Logits are by far the largest arrays of a training step: in float32, 3.3 GB for eight sequences of 2,048 tokens and a
vocabulary of 50,304, and a plain cross entropy holds several copies. Compiled, it reads the logits in their dtype and
keeps one number per token. Otherwise one sequence at a time is in float32.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

Loss = Callable[[Tensor, Tensor], Tensor]


def loss_function(compiled: bool) -> Loss:
    """``summed_loss``, or one compiled kernel that computes the same."""
    return torch.compile(_loss, dynamic=False) if compiled else summed_loss


def summed_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Summed cross entropy in nats, a float32 scalar, of logits (batch, length, vocabulary) in any floating dtype.

    ``targets`` are int64 (batch, length); -1 is ignored.
    """
    return torch.stack([_loss(*row) for row in zip(logits, targets, strict=True)]).sum()


def _loss(logits: Tensor, targets: Tensor) -> Tensor:
    flat = logits.float().view(-1, logits.shape[-1])
    return cross_entropy(flat, targets.reshape(-1), ignore_index=-1, reduction="sum")
