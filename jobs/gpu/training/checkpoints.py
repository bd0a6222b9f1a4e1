"""Checkpoints of a training run: whole or not at all, and only for the run they belong to.

A checkpoint is a folder ``step-<n>``: ``model/`` (Hugging Face safetensors, with configuration and tokenizer),
``optimizer.safetensors`` with its groups, ``state.json``: the step, what the run is made from, and size
and SHA-256 of every other file. It is written beside, synced, and renamed: a kill at any moment leaves the
last good one. No file is a pickle.
"""

import json
import os
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
from jobs.gpu.common.run_job import write_json
from jobs.gpu.models.load_model import save_model
from jobs.gpu.packing.packed_file import file_sha256, sync_folder
from pivot_udfs.tokenization.backends import TokenizerSpec

_NAME = re.compile(r"^step-(\d+)$")
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
_Kept = dict[str, Any]


@dataclass(frozen=True)
class RunState:
    """What a checkpoint says beside weights and optimizer.

    Attributes:
        step: optimizer steps done.
        tokens: tokens trained on.
        run: what the run is made from (base model, packed file, settings): a checkpoint of another is refused.
        processes: how many processes trained; resuming is bit-identical only with as many.
    """

    step: int
    tokens: int
    run: dict[str, Any]
    processes: int


def save_checkpoint(
    folder: Path,
    model: Any,
    optimizer: Any,
    state: RunState,
    tokenizer: TokenizerSpec,
    keep: int,
    accelerator: Accelerator,
) -> None:
    """Saves ``folder/step-<n>`` and removes all but the newest ``keep``; all processes call it, the first writes."""
    weights = whole_weights(model)
    moments: _Kept = dict(get_optimizer_state_dict(model, optimizer.optimizer, options=_WHOLE))
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
    whole = {"step": state.step, "tokens": state.tokens, "run": state.run, "processes": state.processes}
    write_json(partial / "state.json", whole | {"files": described})
    sync_folder(partial)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    sync_names(folder)
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old)


def sync_names(folder: Path) -> None:
    """Makes sure that the names in a folder are on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def whole_weights(model: Any) -> _Kept:
    """All weights by name, in main memory, in the first process; every process calls it. Tied ones stand once."""
    found, names = dict(get_model_state_dict(model, options=_WHOLE)), dict[int, str]()
    for name, weight in getattr(model, "module", model).named_parameters(remove_duplicate=False):
        if names.setdefault(id(weight), name) != name:
            found.pop(name, None)
    return found


def list_checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    found = [path for path in folder.glob("step-*") if _NAME.match(path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def read_state(checkpoint: Path, run: dict[str, Any]) -> RunState:
    """Checks a checkpoint's files and that it belongs to this run.

    Raises:
        CheckpointError: a file is missing, cut short or altered, or the run is another one.
    """
    try:
        whole = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{checkpoint} has no readable state.json ({error}): delete this folder") from None
    for name, wanted in whole["files"].items():
        path = checkpoint / name
        if not path.is_file() or path.stat().st_size != wanted["bytes"] or file_sha256(path) != wanted["sha256"]:
            raise CheckpointError(
                f"{path} is missing, cut short or altered: delete {checkpoint}, so that the one before it is used"
            )
    different = _first_difference(whole["run"], json.loads(json.dumps(run)))
    if different is not None:
        name, there, now = different
        raise CheckpointError(
            f"{checkpoint} belongs to another run: {name} is {there!r} there, {now!r} now; set another results.path, "
            "or delete the checkpoints"
        )
    return RunState(whole["step"], whole["tokens"], whole["run"], whole["processes"])


def _first_difference(there: _Kept, now: _Kept) -> tuple[str, Any, Any] | None:
    """Name and both values of the first key, in order, in which two runs differ."""
    for name in sorted(there.keys() | now.keys()):
        a, b = there.get(name), now.get(name)
        if a == b:
            continue
        if not (isinstance(a, dict) and isinstance(b, dict)):
            return name, a, b
        key = next(key for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key))
        return key if key.startswith(f"{name}.") else f"{name}.{key}", a.get(key), b.get(key)
    return None


def load_checkpoint(checkpoint: Path, model: Any, optimizer: Any, accelerator: Accelerator) -> None:
    """Puts a checkpoint's weights and optimizer state into a model of the same run.

    Every process calls it; the first reads, and sends each of the others what it keeps.
    """
    first, several = accelerator.is_main_process, accelerator.num_processes > 1
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=several)
    weights = _read_weights(checkpoint / "model", accelerator.unwrap_model(model)) if first else {}
    set_model_state_dict(model, weights, options=options)
    restored: Any = _read_optimizer(checkpoint) if first else {}
    set_optimizer_state_dict(model, optimizer.optimizer, restored, options=options)


def _read_weights(folder: Path, model: Any) -> _Kept:
    weights: _Kept = {}
    for path in sorted(folder.glob("*.safetensors")):
        weights |= load_file(path)
    names = dict(model.named_parameters(remove_duplicate=False))
    for name in names.keys() - weights.keys():  # tied weights are saved once
        weights[name] = next(weights[other] for other in _tied(names, name) if other in weights)
    return weights


def _read_optimizer(checkpoint: Path) -> _Kept:
    state: dict[str, dict[str, Tensor]] = {}
    for key, value in load_file(checkpoint / "optimizer.safetensors").items():
        name, entry = key.rsplit("/", 1)
        state.setdefault(name, {})[entry] = value
    groups = json.loads((checkpoint / "optimizer_groups.json").read_text(encoding="utf-8"))
    return {"state": state, "param_groups": groups}


def _tied(names: _Kept, name: str) -> list[str]:
    """Names of the same parameter as ``name``."""
    return [other for other, weight in names.items() if weight is names[name]]


def _flat(moments: _Kept) -> dict[str, Tensor]:
    """Optimizer state as ``<parameter>/<entry>`` tensors."""
    return {
        f"{name}/{entry}": value.contiguous()
        for name, entries in moments["state"].items()
        for entry, value in entries.items()
    }
