"""Training that is stopped in the middle: in this process, and in each of several.

As a script: for each way named, a run stopped after step 3 and resumed, and one that was not stopped, in as many
processes as are named. They are forked by the agent of ``torchrun``, so that torch is imported once.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.nn.parallel import DistributedDataParallel

from jobs.gpu import continue_pretraining
from jobs.gpu.training.training_run import TrainingRun

WAYS: dict[str, list[str]] = {
    "replicated": ["training.deterministic=true"],
    "compiled": ["training.deterministic=true", "training.compile=true", "training.precision=bfloat16"],
}


def stop_after(step: int, arguments: list[str]) -> None:
    """Trains until ``step`` is done, then stops as ^C does."""
    log_step = TrainingRun._log_step

    def log_and_stop(self: Any, result: Any, bar: Any) -> None:
        log_step(self, result, bar)
        if result.step == step:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingRun, "_log_step", log_and_stop)
        assert continue_pretraining.main(arguments) == 130


@contextmanager
def eager_compiling() -> Iterator[None]:
    """``torch.compile`` without the slow part: graphs are taken, and run as they are."""
    real = torch.compile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", lambda function, **_: real(function, backend="eager"))
        yield
    torch.compiler.reset()


@contextmanager
def _watched() -> Iterator[None]:
    """Models must be replicated."""
    resume = TrainingRun._resume

    def checked(self: TrainingRun) -> int:
        assert isinstance(self.model, DistributedDataParallel)
        return resume(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingRun, "_resume", checked)
        yield


def _main(count: str, *arguments: str) -> None:
    single_node = LaunchConfig(1, 1, int(count), rdzv_backend="c10d", rdzv_endpoint="localhost:0", start_method="fork")
    elastic_launch(single_node, _train)(*arguments)


def _train(config: str, folder: str, *ways: str) -> None:
    dist.init_process_group("gloo")
    for way in ways:
        for name in ("stopped", "whole"):
            chosen = [*WAYS[way], f"results.path={folder}/{name}-{way}"]
            arguments = ["--config", config, *(part for option in chosen for part in ("--set", option))]
            with _watched(), eager_compiling():
                if name == "stopped":
                    stop_after(3, arguments)
                assert continue_pretraining.main(arguments) == 0
    dist.destroy_process_group()


if __name__ == "__main__":
    _main(*sys.argv[1:])
