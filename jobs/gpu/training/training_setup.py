"""What a training run is made from: the model ready to train, its wrapping for several processes, its identity."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator, init_empty_weights
from transformers import AutoModelForCausalLM

from jobs.gpu.common.errors import ModelError, PackedFileError, TrainingError
from jobs.gpu.common.processes import Processes, processes_of
from jobs.gpu.common.run_job import say
from jobs.gpu.common.settings import Model, ModelSettings, Training
from jobs.gpu.models.load_model import load_model
from jobs.gpu.models.output_head import find_layers
from jobs.gpu.models.vocabulary_check import check_vocabulary
from jobs.gpu.pack_dataset import held_out_folder
from jobs.gpu.packing.packed_file import PackedFile, open_packed
from jobs.gpu.training.training_loop import make_optimizer
from pivot_udfs.load_settings import result_settings
from pivot_udfs.tokenization.backends import TokenizerSpec


@contextmanager
def deterministic(on: bool) -> Iterator[None]:
    """Torch's deterministic algorithms while a run lasts, where ``training.deterministic`` wants them.

    With them the backward pass of flash attention adds up in one order, which it does not otherwise.
    """
    if not on:
        yield
        return
    options: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), options.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=False)
    options.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        options.fill_uninitialized_memory = before[1]


def load_for_training(settings: ModelSettings, accelerator: Accelerator, tokenizer: TokenizerSpec) -> Any:
    """The base model with float32 weights on this process's device.

    Where it is to be sharded, the first process has it in main memory and the others its empty shape: ``wrap`` sends
    every process its part, so that no GPU ever holds the whole.
    """
    processes = processes_of(accelerator)
    options = settings.model.model_copy(update={"device": str(processes.device), "dtype": "float32"})
    model = _to_be_sharded(options, processes) if accelerator.is_fsdp2 else load_model(options)
    check_vocabulary(settings.model, model, tokenizer)
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if limit and settings.training.sequence_length > limit:
        raise TrainingError(
            f"training.sequence_length = {settings.training.sequence_length}, but the model reads at most {limit}"
        )
    if settings.training.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    return model


def _to_be_sharded(settings: Model, processes: Processes) -> Any:
    """The model in the first process, its shape in the others."""
    loaded: list[Any] = []

    def load() -> Any:
        loaded.append(load_model(settings.model_copy(update={"device": "cpu"})))
        check_shardable(loaded[0])
        return loaded[0].config

    config = processes.from_first(load)
    model = loaded[0] if loaded else empty_model(config)
    if processes.from_first(lambda: _shapes(model)) != _shapes(model):
        raise ModelError(f"{settings.path}: its weights do not have the shapes that its configuration gives")
    return model


def empty_model(config: Any) -> Any:
    """A model of a configuration with float32 weights that take up no memory before somebody writes them."""
    auto: Any = AutoModelForCausalLM
    with init_empty_weights(include_buffers=False):
        model = auto.from_config(config, dtype=torch.float32)
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                room = torch.empty_like(weight, device="cpu")
                module._parameters[name] = torch.nn.Parameter(room, weight.requires_grad)
    model.tie_weights()
    return model.eval()


def check_shardable(model: Any) -> None:
    """Refuses a model that keeps more than weights in its files: only weights are sent from process to process.

    Raises:
        ModelError: names the first of what it keeps.
    """
    weights = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    others = sorted(model.state_dict().keys() - weights)
    if others:
        raise ModelError(
            f"family {model.config.model_type!r} keeps {others[0]} beside its weights and cannot be sharded: set "
            "training.fsdp = false, or use another model"
        )


def _shapes(model: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(weight.shape)) for name, weight in model.named_parameters()]


def wrap(model: Any, options: Training, accelerator: Accelerator) -> tuple[Any, Any]:
    """The model compiled, sharded (FSDP2) or replicated, as settings and processes want, and its optimizer.

    Layers are compiled one by one: a model compiled whole makes an explicit mask, and flash attention takes none.
    """
    layers = find_layers(model)
    if options.compile:
        for layer in layers:
            layer.compile()
    if accelerator.is_fsdp2:
        accelerator.state.fsdp_plugin.transformer_cls_names_to_wrap = sorted({type(layer).__name__ for layer in layers})
    wrapped, optimizer = accelerator.prepare(model, make_optimizer(model, options))
    inner = accelerator.unwrap_model(wrapped)
    if "_original_forward" in vars(inner):  # Accelerate's own makes all logits float32 at once; the loop casts itself
        del inner.forward, inner._original_forward
    return wrapped, optimizer


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
