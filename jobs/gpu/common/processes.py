"""One process, or several that were started by ``torchrun``: one per GPU (nccl), or sharing a CPU (gloo)."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    DistributedType,
    FullyShardedDataParallelPlugin,
    InitProcessGroupKwargs,
)

from jobs.gpu.common.settings import Training
from jobs.gpu.models.load_model import pick_dtype
from pivot_udfs.errors import SemanticPivotsError

T = TypeVar("T")
_TIMEOUT = timedelta(hours=2)
"""The other processes wait while the first reads, hashes or writes a model; the default of ten minutes can be short."""
# Set by Accelerate in the environment; the next run of this process may be of another kind.
_SET_BY_ACCELERATE = ("ACCELERATE_USE_FSDP", "FSDP_CPU_RAM_EFFICIENT_LOADING", "ACCELERATE_TORCH_DEVICE")


def from_first(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """Runs ``work`` in the first process; its result is returned, or its error raised, in all processes."""
    if accelerator.num_processes == 1:
        return work()
    outcome: list[Any] = [None, None]
    if accelerator.is_main_process:
        try:
            outcome[0] = work()
        except SemanticPivotsError as error:
            outcome[1] = error
    dist.broadcast_object_list(outcome, 0, device=accelerator.device)
    if outcome[1] is not None:
        raise outcome[1]
    result: T = outcome[0]
    return result


@contextmanager
def started_accelerator(device: torch.device, options: Training) -> Iterator[Accelerator]:
    """An ``Accelerator`` for one run; its global state is reset afterwards."""
    before = {name: os.environ.get(name) for name in _SET_BY_ACCELERATE}
    threads, joined = torch.get_num_threads(), dist.is_initialized()
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
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})


def _reset_state() -> None:
    """Accelerate keeps one state per process; a run must not see that of the previous run."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def _accelerator(device: torch.device, options: Training) -> Accelerator:
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not several:
        os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)
    precision = pick_dtype(options.precision, device)
    plugin = _sharding(precision) if options.fsdp and several else None
    # With find_unused_parameters DDP keeps its buckets; otherwise it rebuilds them after the first step, and a resumed
    # run of three or more processes would sum gradients in another order.
    replicated = DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision="bf16" if precision == torch.bfloat16 else "no",
        fsdp_plugin=plugin,
        kwargs_handlers=[replicated, InitProcessGroupKwargs(timeout=_TIMEOUT)],
    )
    if plugin is not None and accelerator.distributed_type == DistributedType.MULTI_CPU:
        _shard_on_cpus(plugin)
    return accelerator


def _sharding(precision: torch.dtype) -> FullyShardedDataParallelPlugin:
    """FSDP2 by layer, from weights that only the first process holds; gradients are summed in float32."""
    from torch.distributed.fsdp import MixedPrecisionPolicy

    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        reshard_after_forward=True,
        mixed_precision_policy=MixedPrecisionPolicy(param_dtype=precision, reduce_dtype=torch.float32),
        cpu_ram_efficient_loading=True,
    )


def _shard_on_cpus(plugin: FullyShardedDataParallelPlugin) -> None:
    """Accelerate ignores the plugin on CPUs, although torch can shard there."""
    AcceleratorState._shared_state["distributed_type"] = DistributedType.FSDP
    AcceleratorState._shared_state["fsdp_plugin"] = plugin
