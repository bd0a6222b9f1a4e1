"""Continues the pretraining of a model on a packed file. An interrupted run is resumed exactly.

On GPUs a resumed run is bit-identical with ``training.deterministic = true``, and equal up to rounding without.

    python -m jobs.gpu.continue_pretraining --config conf/olmo-1b.toml [--set training.seed=1] [--dry-run]
    torchrun --nproc-per-node 8 -m jobs.gpu.continue_pretraining --config conf/olmo-1b.toml

Reads ``<results.path>/packed/<arm>`` and ``packed/held_out``; writes ``<results.path>/runs/<arm>-seed<n>/``:
checkpoints (Hugging Face safetensors and the full training state), ``training.jsonl`` (a line per step and per
evaluation), and at the end ``final/``, a model like any other.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from jobs.framework.log_lines import say
from jobs.gpu.common.check_inputs import check_model, check_packed_files, run_checked
from jobs.gpu.common.files import results_path
from jobs.gpu.common.settings import ModelSettings


def train(settings: ModelSettings, base: Any = None, use: Callable[[Any], None] | None = None) -> None:
    """Trains ``[model]`` on the packed file of ``packing.arm`` under ``[training]``.

    ``base`` is the model with float32 weights on its device, which are changed (None: it is loaded); ``use`` is called
    with the trained model, in place of saving its weights.
    """
    from jobs.gpu.common.processes import started_accelerator
    from jobs.gpu.models.load_model import pick_device
    from jobs.gpu.training.training_run import TrainingRun
    from jobs.gpu.training.training_setup import deterministic

    device, options = pick_device(settings.model.device), settings.training
    with deterministic(options.deterministic), started_accelerator(device, options) as accelerator:
        run = TrainingRun(settings, accelerator, base, use)
        if run.finished:
            say("this run is finished already", folder=run.folder)
        else:
            run.train()


def run_folder(settings: ModelSettings) -> Path:
    """Folder of a run."""
    return results_path(settings, "runs", f"{settings.packing.arm}-seed{settings.training.seed}")


def check(settings: ModelSettings) -> list[str]:
    """The packed file of the arm, the held-out part where it is packed, and the model."""
    held_out = ["held_out"] if results_path(settings, "packed", "held_out", "manifest.json").is_file() else []
    return [*check_packed_files(settings, settings.packing.arm, *held_out), *check_model(settings.model)]


main = partial(run_checked, "continue_pretraining", __doc__, train, check)


if __name__ == "__main__":
    raise SystemExit(main())
