"""Steps of ``on_a_gpu`` about training OLMo-1B's shape with random weights at sequence length 2,048."""

import statistics
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.gpu.context import Context, SkippedError
from jobs.gpu.common.processes import started_accelerator
from jobs.gpu.common.settings import Training
from jobs.gpu.packing.packed_file import PackedFile
from jobs.gpu.training.model_flops_utilization import flops_per_token, mfu
from jobs.gpu.training.token_loss import summed_loss
from jobs.gpu.training.training_loop import StepResult, Trainer
from jobs.gpu.training.training_setup import checkpoint_activations, wrap
from pivot_udfs.errors import TrainingError

Row = dict[str, Any]
_MICRO_BATCH = 8


@dataclass(frozen=True)
class Variant:
    """One way to train; all but the default replace one part by a plainer or another one."""

    compile: bool = True
    micro_batch: int = _MICRO_BATCH
    residual: str = "bfloat16"
    loss: str = "compiled"
    attention: str = ""
    gradient_checkpointing: bool = False


VARIANTS = (
    Variant(),
    Variant(loss="by sequence"),
    Variant(residual="float32"),
    Variant(compile=False, loss="by sequence"),
    Variant(attention="CUDNN_ATTENTION"),
    Variant(micro_batch=4),
    Variant(micro_batch=16),
    Variant(micro_batch=16, gradient_checkpointing=True),
)
"""The most informative ones first."""


def check_training(context: Context) -> Iterator[Row]:
    """Twenty steps, compiled and not: the loss falls, and both begin with the same loss."""
    first: list[float] = []
    for variant in (Variant(compile=False, loss="by sequence"), Variant()):
        row, losses = measure(context, variant, 6 if context.toy else 20)
        first.append(losses[0])
        falls, equal = losses[-1] < losses[0], abs(first[0] - first[-1]) < 0.02 * first[0]
        yield row | {"first_loss": losses[0], "last_loss": losses[-1], "passed": bool(falls and equal)}


def measure_variants(context: Context) -> Iterator[Row]:
    """Tokens per second, MFU and peak memory of every variant; one that fails does not stop the others."""
    for variant in VARIANTS[: 4 if context.toy else None]:
        try:
            yield measure(context, variant, 4 if context.toy else 8)[0]
        except (TrainingError, RuntimeError) as error:
            yield {"variant": vars(variant), "error": f"{type(error).__name__}: {error}"[:300]}


def measure(context: Context, variant: Variant, n_steps: int) -> tuple[Row, list[float]]:
    """One row about the steps of a new model, and the loss of each step."""
    trainer = _Training(context, variant, n_steps)
    results = list(trainer.steps())
    rate = trainer.options.global_batch_tokens / statistics.median(r.seconds for r in results[n_steps // 2 :])
    cuda = context.device.type == "cuda"
    return {
        "variant": vars(variant),
        "tokens_per_s": round(rate, 1),
        "mfu": mfu(rate, trainer.flops, context.device, 1),
        "micro_batch_used": trainer.micro_batch,
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9 if cuda else None,
        "first_step_s": round(results[0].seconds, 2),
    }, [result.loss for result in results]


class _Training:
    """A new model of the shape and the trainer of a variant; the job's own code trains it."""

    def __init__(self, context: Context, variant: Variant, n_steps: int) -> None:
        if not context.toy and context.device.type != "cuda":
            raise SkippedError("a model of a billion weights needs a GPU")
        length, per_step = (32, 8) if context.toy else (2048, 16)
        self.options = Training(
            sequence_length=length,
            global_batch_tokens=length * per_step,
            micro_batch=min(variant.micro_batch, per_step),
            token_budget=length * per_step * n_steps,
            warmup_share=0.0,
            compile=variant.compile,
            precision="bfloat16",
            gradient_checkpointing=variant.gradient_checkpointing,
        )
        self._context, self._variant, self.micro_batch, self.flops = context, variant, 0, 0.0

    def steps(self) -> Generator[StepResult, None, None]:
        """Runs the steps."""
        context, options = self._context, self.options
        torch.compiler.reset()
        if context.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        with started_accelerator(context.device, options) as accelerator:
            model = context.shape()
            if options.gradient_checkpointing:
                checkpoint_activations(model)
            self.flops = flops_per_token(model, options.sequence_length)
            wrapped, optimizer = wrap(model, options, accelerator)
            if self._variant.residual == "float32":
                model.get_input_embeddings()._forward_hooks.clear()
            packed = _random_tokens(model.config.vocab_size, options)
            trainer = Trainer(wrapped.train(), optimizer, packed, options, accelerator)
            if self._variant.loss == "by sequence":
                trainer.loss = summed_loss
            kernel = self._variant.attention
            with sdpa_kernel(getattr(SDPBackend, kernel)) if kernel else nullcontext():
                yield from trainer.steps(0)
            self.micro_batch = trainer.micro_batch


def _random_tokens(size: int, options: Training) -> PackedFile:
    """Token ids with a frequency of 1 / rank, which a model learns in a few steps."""
    n = options.token_budget + 1
    weights = 1 / np.arange(1, size + 1)
    ids: NDArray[Any] = np.random.default_rng(0).choice(size, n, p=weights / weights.sum()).astype(np.uint32)
    return PackedFile(Path("random"), {}, ids)


def check_memory(context: Context) -> Iterator[Row]:
    """Out of memory: the micro batch is halved once, then a message says what to do."""
    variant = Variant(compile=False, loss="by sequence", micro_batch=8 if context.toy else 1024)
    training = _Training(context, variant, 1)
    if context.device.type == "cuda":
        # The global batch of one step is as large as the micro batch.
        training.options = training.options.model_copy(
            update={"micro_batch": 1024, "global_batch_tokens": 1024 * 2048, "token_budget": 1024 * 2048}
        )
        message = _message(training)
    else:
        with torch.nn.modules.module.register_module_forward_pre_hook(_out_of_memory):
            message = _message(training)
    yield {"message": message, "passed": "out of memory with training.micro_batch" in message}


def _message(training: _Training) -> str:
    try:
        list(training.steps())
    except TrainingError as error:
        return str(error)
    return "memory sufficed"


def _out_of_memory(_module: Any, _inputs: Any) -> None:
    raise torch.OutOfMemoryError("rehearsal")


def profile(context: Context) -> Iterator[Row]:
    """A table of the operations of five steps, as ``profile.txt``, and the share of the time the GPU works."""
    training = _Training(context, Variant(), 8)
    steps = training.steps()
    for _ in range(3):
        next(steps)
    with torch.profiler.profile() as found:
        seconds = sum(next(steps).seconds for _ in range(5))
    steps.close()
    events = found.key_averages()
    by = "self_device_time_total" if context.device.type == "cuda" else "self_cpu_time_total"
    (context.out / "profile.txt").write_text(events.table(sort_by=by, row_limit=40, max_name_column_width=90))
    kernels = [event for event in events if event.device_type.name != "CPU" and not event.is_user_annotation]
    busy = sum(event.self_device_time_total for event in kernels) / 1e6
    yield {"file": "profile.txt", "step_s": seconds / 5, "device_share": busy / seconds}
