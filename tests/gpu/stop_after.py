"""Training that is stopped in the middle: in this process, and in each of several that ``torchrun`` started.

As a script: for each of two ways of sharing, a run stopped after step 3 and resumed, and one that was not stopped.
"""

import sys
from typing import Any

import pytest

from jobs.gpu import continue_pretraining
from jobs.gpu.continue_pretraining import TrainingRun


def stop_after(step: int, arguments: list[str]) -> None:
    """Trains until ``step`` is done, then stops as ^C does."""
    log_step = TrainingRun._log_step

    def log_and_stop(self: Any, result: Any, bar: Any) -> None:
        log_step(self, result, bar)
        if result.step == step:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingRun, "_log_step", log_and_stop)
        with pytest.raises(KeyboardInterrupt):
            continue_pretraining.main(arguments)


def _main(config: str, folder: str) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo")
    for fsdp in ("false", "true"):
        for name in ("stopped", "whole"):
            options = ["--set", f"training.fsdp={fsdp}", "--set", f"results.path={folder}/{name}-{fsdp}"]
            if name == "stopped":
                stop_after(3, ["--config", config, *options])
            assert continue_pretraining.main(["--config", config, *options]) == 0
    dist.destroy_process_group()


if __name__ == "__main__":
    _main(*sys.argv[1:])
