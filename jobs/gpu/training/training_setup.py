"""Prepares a training run: its provenance, its model and optimizer for one or several processes, its held-out file."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator, init_empty_weights
from transformers import AutoModelForCausalLM

from jobs.framework.messages import say
from jobs.gpu.common.errors import ModelError, PackedFileError, TrainingError
from jobs.gpu.common.processes import from_first
from jobs.gpu.common.provenance import provenance
from jobs.gpu.common.settings import Model, ModelSettings, Training
from jobs.gpu.models.load_model import load_model
from jobs.gpu.models.model_files import model_hashes, model_settings
from jobs.gpu.models.output_head import find_layers
from jobs.gpu.models.vocabulary_check import check_vocabulary
from jobs.gpu.pack_dataset import held_out_folder
from jobs.gpu.packing.packed_file import PackedFile, open_packed
from jobs.gpu.training.training_loop import make_optimizer
from pivot_udfs.load_settings import result_settings
from pivot_udfs.provenance import Provenance
from pivot_udfs.tokenization.backends import TokenizerSpec

VERSION = 1
"""Of training: raised when the same run gives other weights."""


@contextmanager
def deterministic(on: bool) -> Iterator[None]:
    """Enables torch's deterministic algorithms for the duration of a run if ``on``.

    Without them the backward pass of flash attention sums in varying order.
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

    If it is to be sharded, the first process holds it in main memory and the others hold a model with uninitialized
    weights: ``wrap`` distributes the shards, so that no GPU ever holds the whole model.
    """
    options = settings.model.model_copy(update={"device": str(accelerator.device), "dtype": "float32"})
    model = _to_be_sharded(options, accelerator) if accelerator.is_fsdp2 else load_model(options)
    check_vocabulary(settings.model, model, tokenizer)
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if limit and settings.training.sequence_length > limit:
        raise TrainingError(
            f"training.sequence_length = {settings.training.sequence_length}, but the model supports at most {limit}"
        )
    if settings.training.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    return model


def _to_be_sharded(settings: Model, accelerator: Accelerator) -> Any:
    """The model in the first process, a model with uninitialized weights in the others."""
    loaded: list[Any] = []

    def load() -> Any:
        loaded.append(load_model(settings.model_copy(update={"device": "cpu"})))
        check_shardable(loaded[0])
        return loaded[0].config

    config = from_first(accelerator, load)
    model = loaded[0] if loaded else empty_model(config)
    if from_first(accelerator, lambda: _shapes(model)) != _shapes(model):
        raise ModelError(f"{settings.path}: the shapes of its weights do not match its config.json")
    return model


def empty_model(config: Any) -> Any:
    """A model with uninitialized float32 weights, which use no memory until they are written."""
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
    """Refuses a model whose state has tensors other than weights: only weights are sent from process to process.

    Raises:
        ModelError: names the first such tensor.
    """
    weights = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    others = sorted(model.state_dict().keys() - weights)
    if others:
        raise ModelError(
            f"family {model.config.model_type!r} stores {others[0]} besides its weights and cannot be sharded: set "
            "training.fsdp = false, or use another model"
        )


def _shapes(model: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(weight.shape)) for name, weight in model.named_parameters()]


def wrap(model: Any, options: Training, accelerator: Accelerator) -> tuple[Any, Any]:
    """The model, compiled, sharded (FSDP2) or replicated according to the settings, and its optimizer.

    Layers are compiled one by one: a model compiled as a whole builds an explicit attention mask, which flash attention
    does not accept.
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
    """The held-out file, or None if there is none.

    Raises:
        PackedFileError: training would see held-out documents.
    """
    if not (held_out_folder(settings) / "manifest.json").is_file():
        say("no held-out part is packed: bits per byte are not measured")
        return None
    held_out = open_packed(held_out_folder(settings), tokenizer.sha256)
    shares = [file.provenance.settings["packing.held_out_share"] for file in (packed, held_out)]
    if shares[0] != shares[1]:
        raise PackedFileError(
            f"{packed.folder} was packed with held_out_share = {shares[0]}, {held_out.folder} with {shares[1]}: pack "
            "both again, or training would see held-out documents"
        )
    return held_out


def run_provenance(settings: ModelSettings, manifest: Mapping[str, Any], packed: Provenance) -> Provenance:
    """What a training run is made from, given the manifest and provenance of its packed file; nothing is loaded."""
    chosen = result_settings(settings.training) | model_settings(settings.model) | dict(packed.settings)
    chosen = {name: value for name, value in chosen.items() if name not in ("training.packed_path", "model.dtype")}
    tokens = {"packed": str(manifest["files"]["tokens.bin"]["sha256"])}
    files = {**packed.files, **tokens, **model_hashes(settings.model)}
    return provenance("continue_pretraining", VERSION, chosen, packed.tables, files)
