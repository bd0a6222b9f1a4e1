"""One process, or several that were started by ``torchrun``: one per GPU (nccl), or sharing a CPU (gloo)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, patch_environment

from jobs.gpu.common.settings import Training
from jobs.gpu.models.load_model import pick_dtype

_TIMEOUT = timedelta(hours=2)
"""The other processes wait while the first writes a model; the default of ten minutes can be short."""


@contextmanager
def started_accelerator(device: torch.device, options: Training) -> Iterator[Accelerator]:
    """An ``Accelerator`` for one run; its global state is reset afterwards."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    place = {} if several else {"ACCELERATE_TORCH_DEVICE": str(device)}
    threads, joined = torch.get_num_threads(), dist.is_initialized()
    with patch_environment(**place):
        _reset_state()
        accelerator = _accelerator(device, options)
        torch.set_num_threads(threads)  # Accelerate sets its own number for CPU processes
        try:
            yield accelerator
        finally:
            accelerator.free_memory()
            if dist.is_initialized() and not joined:
                dist.destroy_process_group()
            _reset_state()


def _reset_state() -> None:
    """Accelerate keeps one state per process; a run must not see that of the previous run."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def _accelerator(device: torch.device, options: Training) -> Accelerator:
    # DDP rebuilds its buckets after the first step, so that a resumed run of three or more processes would sum
    # gradients in another order; with find_unused_parameters, which costs time at every step, it keeps them.
    replicated = DistributedDataParallelKwargs(find_unused_parameters=options.deterministic, broadcast_buffers=False)
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision="bf16" if pick_dtype(options.precision, device) == torch.bfloat16 else "no",
        kwargs_handlers=[replicated, InitProcessGroupKwargs(timeout=_TIMEOUT)],
    )
