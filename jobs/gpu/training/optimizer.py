"""The optimizer and its learning rate schedule."""

import math
from typing import Any

import torch

from jobs.gpu.common.settings import Training


def make_optimizer(model: Any, settings: Training) -> torch.optim.AdamW:
    """Fused AdamW without weight decay for one-dimensional weights (norms, biases)."""
    decaying = [w for w in model.parameters() if w.requires_grad and w.ndim > 1]
    others = [w for w in model.parameters() if w.requires_grad and w.ndim <= 1]
    groups = [{"params": decaying, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        fused=True,
    )


def learning_rate(step: int, n_steps: int, settings: Training) -> float:
    """The learning rate of step ``step`` (from 0) of ``n_steps``: linear warm-up, then decay to the final share."""
    warmup = round(settings.warmup_share * n_steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, n_steps - warmup)
    shape = 0.5 * (1 + math.cos(math.pi * done)) if settings.decay == "cosine" else 1 - done
    floor = settings.final_learning_rate_share
    return settings.learning_rate * (floor + (1 - floor) * shape)
