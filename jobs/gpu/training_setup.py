"""What a training run is made from: the model ready to train, its wrapping for several processes, its identity."""

import hashlib
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from jobs.gpu.errors import PackedFileError, TrainingError
from jobs.gpu.load_model import check_vocabulary, load_model, pick_dtype
from jobs.gpu.output_head import find_layers
from jobs.gpu.pack_dataset import held_out_folder
from jobs.gpu.packed_file import PackedFile, open_packed
from jobs.gpu.processes import Processes
from jobs.gpu.run_job import say
from jobs.gpu.settings import ModelSettings
from pivot_udfs.load_settings import result_settings
from pivot_udfs.tokenizer_backends import TokenizerSpec


def load_for_training(settings: ModelSettings, processes: Processes, tokenizer: TokenizerSpec) -> Any:
    """The base model with float32 weights on this process's device."""
    options = {"device": str(processes.device), "dtype": "float32"}
    model = load_model(settings.model.model_copy(update=options))
    check_vocabulary(settings.model, model, tokenizer)
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if limit and settings.training.sequence_length > limit:
        raise TrainingError(
            f"training.sequence_length = {settings.training.sequence_length}, but the model reads at most {limit}"
        )
    if settings.training.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    return model


def wrap(model: Any, settings: ModelSettings, processes: Processes) -> Any:
    """The model compiled, sharded (FSDP2) or replicated, as the settings and the processes want."""
    options = settings.training
    if options.fsdp and processes.count > 1:
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        precision = pick_dtype(options.precision, processes.device)
        policy = MixedPrecisionPolicy(param_dtype=precision, reduce_dtype=torch.float32)
        for layer in find_layers(model):
            fully_shard(layer, mp_policy=policy)
        fully_shard(model, mp_policy=policy)
    if options.compile:
        model = torch.compile(model)
    if processes.count > 1 and not options.fsdp:
        model = DistributedDataParallel(model)
    return model


def open_held_out(settings: ModelSettings, tokenizer: TokenizerSpec, packed: PackedFile) -> PackedFile | None:
    """The held-out file, or None where there is none; refused where training would see its documents."""
    if not (held_out_folder(settings) / "manifest.json").is_file():
        say("no held-out part is packed: bits per byte are not measured")
        return None
    found = open_packed(held_out_folder(settings), tokenizer.sha256)
    if found.manifest["held_out_share"] != packed.manifest["held_out_share"]:
        raise PackedFileError(
            f"{packed.folder} was packed with held_out_share = {packed.manifest['held_out_share']}, {found.folder} "
            f"with {found.manifest['held_out_share']}: pack both again, or training would see held-out documents"
        )
    return found


def identity(settings: ModelSettings, model: Any, packed: PackedFile) -> dict[str, Any]:
    """What a run is made from; a checkpoint of anything else is refused."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().contiguous().cpu().view(torch.uint8).numpy().data)
    origin = ("table", "table_version", "table_fingerprint", "arm", "seed", "tokenizer_sha256")
    return {
        "model_family": model.config.model_type,
        "model_weights_sha256": digest.hexdigest(),
        "packed_sha256": packed.sha256,
        "packed_from": {name: packed.manifest.get(name) for name in origin},
        "training": {k: v for k, v in result_settings(settings.training).items() if not k.endswith("packed_path")},
    }
