"""Saves and resumes checkpoints of a training run.

A checkpoint is a folder ``step-<n>``: ``model/`` (Hugging Face safetensors with configuration and tokenizer),
``optimizer.safetensors``, and ``state.json``: the step, the run's provenance, and size and SHA-256 of every other file.
A kill at any moment leaves the last complete checkpoint. No file is a pickle.
"""

import json
import re
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

from jobs.gpu.common.files import file_sha256, publish, write_json
from jobs.gpu.models.load_model import save_model
from pivot_udfs.errors import CheckpointError
from pivot_udfs.provenance import Provenance, difference
from pivot_udfs.tokenization.backends import TokenizerSpec

_NAME = re.compile(r"^step-(\d+)$")


@dataclass(frozen=True)
class RunState:
    """Steps done, tokens trained on, processes and provenance of a run; with as many processes it resumes exactly."""

    step: int
    tokens: int
    processes: int
    run: Provenance


def save_checkpoint(
    folder: Path, model: Any, optimizer: Any, state: RunState, tokenizer: TokenizerSpec, keep: int
) -> None:
    """Saves ``folder/step-<n>`` and deletes all but the newest ``keep``. Only the first process calls it."""

    def write(partial: Path) -> None:
        save_model(model, partial / "model", tokenizer)
        moments: Any = get_optimizer_state_dict(model, optimizer)["state"]
        tensors = {f"{name}/{entry}": value for name, found in moments.items() for entry, value in found.items()}
        save_file(tensors, partial / "optimizer.safetensors")
        written = [path for path in sorted(partial.rglob("*")) if path.is_file()]
        files = {
            str(path.relative_to(partial)): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
            for path in written
        }
        numbers = {"step": state.step, "tokens": state.tokens, "processes": state.processes}
        write_json(partial / "state.json", numbers | {"files": files, "provenance": state.run.to_tree()})

    publish(folder / f"step-{state.step:08d}", write)
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old)


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    found = [path for path in folder.glob("step-*") if _NAME.match(path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def read_state(checkpoint: Path, run: Provenance) -> RunState:
    """Verifies the files of a checkpoint and that it belongs to this run.

    Raises CheckpointError where a file is missing, cut short or altered, or the checkpoint belongs to another run.
    """
    try:
        state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{checkpoint} has no readable state.json ({error}): delete this folder") from None
    for name, wanted in state["files"].items():
        path = checkpoint / name
        if not path.is_file() or path.stat().st_size != wanted["bytes"] or file_sha256(path) != wanted["sha256"]:
            raise CheckpointError(
                f"{path} is missing, cut short or altered: delete {checkpoint}, and the one before it is used"
            )
    stale = difference(Provenance.from_tree(state.get("provenance")), run)
    if stale:
        raise CheckpointError(
            f"{checkpoint} belongs to another run, made from {stale}: set another results.path, or delete the "
            "checkpoints"
        )
    return RunState(state["step"], state["tokens"], state["processes"], run)


def load_checkpoint(checkpoint: Path, model: Any, optimizer: Any) -> None:
    """Loads the weights and optimizer state of a checkpoint into a model of the same run. All processes call it."""
    for path in sorted((checkpoint / "model").glob("*.safetensors")):
        model.load_state_dict(load_file(path), strict=False)  # tied weights are stored once
    moments: Any = defaultdict(dict)
    for key, value in load_file(checkpoint / "optimizer.safetensors").items():
        name, entry = key.rsplit("/", 1)
        moments[name][entry] = value
    groups = get_optimizer_state_dict(model, optimizer)["param_groups"]  # of the settings, which are those of the run
    set_optimizer_state_dict(model, optimizer, {"state": moments, "param_groups": groups})
