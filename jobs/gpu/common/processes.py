"""One process or several, kept by Accelerate: who this process is, and what they tell each other.

Started by plain python there is one; started by ``torchrun`` there is one a GPU (nccl) or one a CPU share (gloo).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
_PATIENCE = timedelta(hours=2)
"""The others wait while the first process reads, hashes or writes a model; ten minutes, the default, can be too few."""
# What Accelerate leaves in the environment; the next run of this process may be another kind of run.
_LEFT_BEHIND = ("ACCELERATE_USE_FSDP", "FSDP_CPU_RAM_EFFICIENT_LOADING", "ACCELERATE_TORCH_DEVICE")


@dataclass(frozen=True)
class Processes:
    """This process among all: ``rank`` of ``count``, on ``device``."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that reads and writes files and prints."""
        return self.rank == 0

    def total(self, *values: float) -> list[float]:
        """Each value summed over all processes."""
        if self.count == 1:
            return [float(value) for value in values]
        numbers = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(numbers)
        return [float(number) for number in numbers.tolist()]

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()

    def from_first(self, work: Callable[[], T]) -> T:
        """What ``work`` gives in the first process, for all of them; an error of ours there is raised in all."""
        if self.count == 1:
            return work()
        told: list[Any] = [None, None]
        if self.first:
            try:
                told[0] = work()
            except SemanticPivotsError as error:
                told[1] = error
        dist.broadcast_object_list(told, 0, device=self.device)
        if told[1] is not None:
            raise told[1]
        found: T = told[0]
        return found


def processes_of(accelerator: Accelerator) -> Processes:
    """The processes that Accelerate started."""
    return Processes(accelerator.process_index, accelerator.num_processes, accelerator.device)


@contextmanager
def started_accelerator(device: torch.device, options: Training) -> Iterator[Accelerator]:
    """Accelerate for one run, with the processes that ``torchrun`` started, if it did; it is forgotten at the end.

    Args:
        device: of ``model.device``; each of several GPU processes has its own.
        options: ``precision`` and ``fsdp`` count.
    """
    before = {name: os.environ.get(name) for name in _LEFT_BEHIND}
    threads, joined = torch.get_num_threads(), dist.is_initialized()
    _forget()
    accelerator = _accelerator(device, options)
    torch.set_num_threads(threads)  # Accelerate sets its own number for CPU processes
    try:
        yield accelerator
    finally:
        accelerator.free_memory()
        if dist.is_initialized() and not joined:
            dist.destroy_process_group()
        _forget()
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})


def _forget() -> None:
    """Accelerate keeps one state for the whole process; a run must not see that of the run before."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def _accelerator(device: torch.device, options: Training) -> Accelerator:
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not several:
        os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)
    precision = pick_dtype(options.precision, device)
    plugin = _sharding(precision) if options.fsdp and several else None
    # DDP that looks for unused parameters keeps its buckets; else it orders them anew after its first step, and a
    # resumed run of three or more processes would add gradients up in another order than one that was not stopped.
    replicated = DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision="bf16" if precision == torch.bfloat16 else "no",
        fsdp_plugin=plugin,
        kwargs_handlers=[replicated, InitProcessGroupKwargs(timeout=_PATIENCE)],
    )
    if plugin is not None and accelerator.distributed_type == DistributedType.MULTI_CPU:
        _shard_on_cpus(plugin)
    return accelerator


def _sharding(precision: torch.dtype) -> FullyShardedDataParallelPlugin:
    """FSDP2 layer by layer, from weights that the first process alone holds; gradients are summed in float32."""
    from torch.distributed.fsdp import MixedPrecisionPolicy

    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        reshard_after_forward=True,
        mixed_precision_policy=MixedPrecisionPolicy(param_dtype=precision, reduce_dtype=torch.float32),
        cpu_ram_efficient_loading=True,
    )


def _shard_on_cpus(plugin: FullyShardedDataParallelPlugin) -> None:
    """Accelerate shards over GPUs alone and drops the plugin on CPUs, where torch can shard just as well."""
    AcceleratorState._shared_state["distributed_type"] = DistributedType.FSDP
    AcceleratorState._shared_state["fsdp_plugin"] = plugin
