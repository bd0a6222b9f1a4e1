"""The training loop: deterministic steps over a packed file, in one process or several.

The sequences of a step depend only on the seed and the step number, and random numbers are seeded for each step: a run
that was stopped anywhere and resumed gives bit-identical weights. On GPUs this requires ``training.deterministic``;
otherwise the backward pass of attention sums in varying order. Sequences cross document boundaries, as in pretraining;
documents are separated by the end token.
"""

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from jobs.framework.log_lines import say
from jobs.gpu.common.settings import Training
from jobs.gpu.packing.packed_file import PackedFile
from jobs.gpu.training.optimizer import learning_rate
from jobs.gpu.training.token_loss import loss_function
from pivot_udfs.errors import TrainingError


def step_indices(step: int, per_step: int, n_sequences: int, seed: int) -> NDArray[np.int64]:
    """Indices of the sequences of a step, int64 (per_step,): every epoch is a new permutation of all sequences."""
    places = np.arange(step * per_step, (step + 1) * per_step)
    epochs = places // n_sequences
    found = np.empty(per_step, np.int64)
    for epoch in np.unique(epochs):
        order = _epoch_order(seed, int(epoch), n_sequences)
        found[epochs == epoch] = order[places[epochs == epoch] % n_sequences]
    return found


@lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, n_sequences: int) -> NDArray[np.int64]:
    order = np.random.default_rng([seed, epoch]).permutation(n_sequences)
    order.flags.writeable = False
    return order


@dataclass(frozen=True)
class StepResult:
    """One optimizer step: mean loss (nats per token), gradient norm before clipping, learning rate, seconds.

    ``minutes`` are those since the first step of this process, as the mean over processes: equal in all of them.
    """

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float
    seconds: float
    minutes: float


class Trainer:
    """Runs optimizer steps of a model that ``accelerator`` prepared together with its optimizer."""

    def __init__(
        self, model: Any, optimizer: Any, packed: PackedFile, settings: Training, accelerator: Accelerator
    ) -> None:
        self._model, self._optimizer, self._packed = model, optimizer, packed
        self._settings, self._accelerator = settings, accelerator
        self.loss, self._begin = loss_function(settings.compile), time.perf_counter()
        self.per_step = settings.global_batch_tokens // settings.sequence_length
        self.n_steps = math.ceil(settings.token_budget / settings.global_batch_tokens)
        self.n_sequences = packed.n_sequences(settings.sequence_length)
        n_processes = accelerator.num_processes
        self.micro_batch, self._may_halve = min(settings.micro_batch, self.per_step // n_processes), n_processes == 1
        if self.per_step % n_processes:
            raise TrainingError(
                f"{self.per_step} sequences per step cannot be divided among {n_processes} processes: change "
                "training.global_batch_tokens"
            )
        if self.n_sequences < 1:
            raise TrainingError(
                f"{packed.folder} holds {len(packed.tokens)} tokens, less than one sequence of "
                f"{settings.sequence_length}: lower training.sequence_length"
            )

    def epochs(self, step: int) -> float:
        """Number of epochs over the packed file after ``step`` steps."""
        return step * self.per_step / self.n_sequences

    def steps(self, start: int) -> Iterator[StepResult]:
        """Runs the steps from ``start`` to the end of the budget.

        Raises TrainingError where a loss or gradient is not finite; the weights are those of the previous step.
        """
        self._begin = time.perf_counter()
        for step in range(start, self.n_steps):
            yield self._step(step)

    def _step(self, step: int) -> StepResult:
        begin = time.perf_counter()
        means = self._gradients_that_fit(step)
        clipped: Any = self._accelerator.clip_grad_norm_(self._model.parameters(), self._settings.max_gradient_norm)
        # The only synchronization of a step.
        loss, seconds, norm = torch.cat([means, clipped.double().view(1)]).tolist()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(
                f"step {step + 1}: loss {loss}, gradient norm {norm}: not finite. The last checkpoint is "
                "kept; lower training.learning_rate, or check the data of this step"
            )
        rate = learning_rate(step, self.n_steps, self._settings)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        return StepResult(step + 1, loss, norm, rate, time.perf_counter() - begin, seconds / 60)

    def _gradients_that_fit(self, step: int) -> torch.Tensor:
        """Gradients of the step; at the first out-of-memory error they are computed again with half the micro batch."""
        try:
            return self._gradients(step)
        except torch.OutOfMemoryError:
            if not self._may_halve or self.micro_batch == 1:
                raise TrainingError(
                    f"out of memory with training.micro_batch = {self.micro_batch}: lower it (the global batch stays "
                    "the same), or set training.gradient_checkpointing"
                ) from None
        self._may_halve, self.micro_batch = False, self.micro_batch // 2
        say("out of memory: continuing with half the micro batch", micro_batch=self.micro_batch)
        torch.cuda.empty_cache()
        return self._gradients_that_fit(step)

    def _gradients(self, step: int) -> torch.Tensor:
        """Computes the gradients of the global batch; its mean loss, and mean seconds so far: float64 (2,)."""
        torch.manual_seed(hash((self._settings.seed, step, self._accelerator.process_index)) & 0x7FFFFFFF)
        self._optimizer.zero_grad()
        rows = self._rows(step)
        n_tokens = len(rows) * self._settings.sequence_length
        total = torch.zeros((), device=self._accelerator.device)
        parts = torch.split(rows, self.micro_batch)
        for place, batch in enumerate(parts):
            last = place == len(parts) - 1  # replicated gradients are exchanged once a step
            with nullcontext() if last else self._accelerator.no_sync(self._model):
                total += self._backward(batch, n_tokens)
        seconds = torch.full_like(total, time.perf_counter() - self._begin, dtype=torch.float64)
        means: torch.Tensor = self._accelerator.reduce(torch.stack([total.double(), seconds]), "mean")
        return means

    def _rows(self, step: int) -> torch.Tensor:
        """This process's sequences of a step, int64 (sequences, length + 1), on the device."""
        indices = step_indices(step, self.per_step, self.n_sequences, self._settings.seed)
        mine = self.per_step // self._accelerator.num_processes
        found = self._packed.sequences(
            indices[self._accelerator.process_index * mine :][:mine], self._settings.sequence_length
        )
        rows = torch.from_numpy(found)
        if self._accelerator.device.type == "cuda":
            rows = rows.pin_memory()
        return rows.to(self._accelerator.device, non_blocking=True)

    def _backward(self, batch: torch.Tensor, n_tokens: int) -> torch.Tensor:
        """Adds the gradients of one micro batch; returns its share of the process's mean loss."""
        with self._accelerator.autocast():
            logits = self._model(input_ids=batch[:, :-1], use_cache=False).logits
        loss = self.loss(logits, batch[:, 1:]) / n_tokens
        self._accelerator.backward(loss)
        return loss.detach()
