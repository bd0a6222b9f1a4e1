"""Saves and resumes checkpoints of a training run.

A checkpoint is a folder ``step-<n>``: ``model/`` (Hugging Face safetensors with configuration and tokenizer),
``optimizer.safetensors`` and its parameter groups, and ``state.json``: the step, the run's provenance, and size and
SHA-256 of every other file. It is written to a temporary folder, synced and renamed, so that a kill at any moment
leaves the last complete checkpoint. No file is a pickle.
"""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from jobs.gpu.common.errors import CheckpointError
from jobs.gpu.common.files import file_sha256, sync, sync_folder, write_json
from jobs.gpu.common.provenance import from_tree, to_tree, why_stale
from jobs.gpu.models.load_model import save_model
from pivot_udfs.provenance import Provenance
from pivot_udfs.tokenization.backends import TokenizerSpec

_NAME = re.compile(r"^step-(\d+)$")
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
_State = dict[str, Any]


@dataclass(frozen=True)
class RunState:
    """The state of a run besides weights and optimizer.

    Attributes:
        step: optimizer steps done.
        tokens: tokens trained on.
        processes: number of processes that trained; resuming is bit-identical only with the same number.
        run: provenance of the run.
    """

    step: int
    tokens: int
    processes: int
    run: Provenance


def save_checkpoint(
    folder: Path,
    model: Any,
    optimizer: Any,
    state: RunState,
    tokenizer: TokenizerSpec,
    keep: int,
    accelerator: Accelerator,
) -> None:
    """Saves ``folder/step-<n>`` and deletes all but the newest ``keep``. All processes call it, the first writes."""
    weights = whole_weights(model)
    moments: _State = dict(get_optimizer_state_dict(model, optimizer.optimizer, options=_WHOLE))
    if not accelerator.is_main_process:
        return
    folder.mkdir(parents=True, exist_ok=True)
    partial, final = folder / f".partial-step-{state.step:08d}", folder / f"step-{state.step:08d}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    save_model(accelerator.unwrap_model(model), partial / "model", tokenizer, weights)
    save_file(_flat(moments), partial / "optimizer.safetensors")
    write_json(partial / "optimizer_groups.json", moments["param_groups"])
    files = [path for path in sorted(partial.rglob("*")) if path.is_file()]
    described = {
        str(path.relative_to(partial)): {"bytes": path.stat().st_size, "sha256": file_sha256(path)} for path in files
    }
    numbers = {"step": state.step, "tokens": state.tokens, "processes": state.processes}
    write_json(partial / "state.json", numbers | {"files": described, "provenance": to_tree(state.run)})
    publish(partial, final)
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old)


def publish(partial: Path, final: Path) -> None:
    """Replaces a folder by a complete one, and makes sure that it is on disk."""
    sync_folder(partial)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    sync(final.parent)


def whole_weights(model: Any) -> _State:
    """All weights by name, in main memory of the first process; all processes call it. Tied weights occur once."""
    found, names = dict(get_model_state_dict(model, options=_WHOLE)), dict[int, str]()
    for name, weight in getattr(model, "module", model).named_parameters(remove_duplicate=False):
        if names.setdefault(id(weight), name) != name:
            found.pop(name, None)
    return found


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    found = [path for path in folder.glob("step-*") if _NAME.match(path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def read_state(checkpoint: Path, run: Provenance) -> RunState:
    """Verifies the files of a checkpoint and that it belongs to this run.

    Raises:
        CheckpointError: a file is missing, cut short or altered, or the checkpoint belongs to another run.
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
    stale = why_stale(from_tree(state), run)
    if stale:
        raise CheckpointError(
            f"{checkpoint} belongs to another run, made from {stale}: set another results.path, or delete the "
            "checkpoints"
        )
    return RunState(state["step"], state["tokens"], state["processes"], run)


def load_checkpoint(checkpoint: Path, model: Any, optimizer: Any, accelerator: Accelerator) -> None:
    """Loads the weights and optimizer state of a checkpoint into a model of the same run.

    All processes call it; the first reads the files and sends the others their part.
    """
    first, several = accelerator.is_main_process, accelerator.num_processes > 1
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=several)
    weights = _read_weights(checkpoint / "model", accelerator.unwrap_model(model)) if first else {}
    set_model_state_dict(model, weights, options=options)
    restored: Any = _read_optimizer(checkpoint) if first else {}
    set_optimizer_state_dict(model, optimizer.optimizer, restored, options=options)


def _read_weights(folder: Path, model: Any) -> _State:
    weights: _State = {}
    for path in sorted(folder.glob("*.safetensors")):
        weights |= load_file(path)
    names = dict(model.named_parameters(remove_duplicate=False))
    for name in names.keys() - weights.keys():  # tied weights are stored once
        weights[name] = next(weights[other] for other in _tied(names, name) if other in weights)
    return weights


def _read_optimizer(checkpoint: Path) -> _State:
    state: dict[str, dict[str, Tensor]] = {}
    for key, value in load_file(checkpoint / "optimizer.safetensors").items():
        name, entry = key.rsplit("/", 1)
        state.setdefault(name, {})[entry] = value
    groups = json.loads((checkpoint / "optimizer_groups.json").read_text(encoding="utf-8"))
    return {"state": state, "param_groups": groups}


def _tied(names: _State, name: str) -> list[str]:
    """Names of the same parameter as ``name``."""
    return [other for other, weight in names.items() if weight is names[name]]


def _flat(moments: _State) -> dict[str, Tensor]:
    """Optimizer state as ``<parameter>/<entry>`` tensors."""
    return {
        f"{name}/{entry}": value.contiguous()
        for name, entries in moments["state"].items()
        for entry, value in entries.items()
    }
