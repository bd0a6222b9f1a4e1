"""Prepares a training run: its provenance, its model and optimizer, its held-out file."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from jobs.framework.log_lines import say
from jobs.gpu.common.settings import ModelSettings, Training
from jobs.gpu.models.load_model import load_model
from jobs.gpu.models.model_files import model_hashes, model_settings
from jobs.gpu.models.output_head import find_layers
from jobs.gpu.models.special_tokens import warn_without_start_token
from jobs.gpu.models.vocabulary_check import check_vocabulary
from jobs.gpu.pack_dataset import held_out_folder
from jobs.gpu.packing.packed_file import PackedFile, open_packed
from jobs.gpu.training.optimizer import make_optimizer
from pivot_udfs.errors import PackedFileError, TrainingError
from pivot_udfs.load_settings import result_settings
from pivot_udfs.provenance import Provenance
from pivot_udfs.tokenization.backends import TokenizerSpec

VERSION = 2
"""Of training: raised when the same run gives other weights."""
UNMASKED = "unmasked_sdpa"
AttentionInterface.register(UNMASKED, sdpa_attention_forward)


@contextmanager
def deterministic(on: bool) -> Iterator[None]:
    """Enables torch's deterministic algorithms for the duration of a run if ``on``.

    Without them the backward pass of flash attention sums in varying order.
    """
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(on or before)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def load_for_training(settings: ModelSettings, device: torch.device, tokenizer: TokenizerSpec) -> Any:
    """The base model with float32 weights on a device."""
    model = load_model(settings.model.model_copy(update={"device": str(device), "dtype": "float32"}))
    check_vocabulary(settings.model, model, tokenizer)
    start = settings.training.start_token
    warn_without_start_token(settings.model, settings.tokenizer.path, "training.start_token", start)
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if limit and settings.training.sequence_length > limit:
        raise TrainingError(
            f"training.sequence_length = {settings.training.sequence_length}, but the model supports at most {limit}"
        )
    if settings.training.gradient_checkpointing:
        checkpoint_activations(model)
    return model


def checkpoint_activations(model: Any) -> None:
    """Makes layers compute activations again in the backward pass; older transformers name the method otherwise."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def wrap(model: Any, options: Training, accelerator: Accelerator) -> tuple[Any, Any]:
    """The model, prepared for fast forward passes and replicated for several processes, and its optimizer.

    Layers are compiled one by one: a model compiled as a whole builds an explicit attention mask, which flash attention
    does not accept.
    """
    skip_mask_creation(model, options.sequence_length)
    if accelerator.mixed_precision == "bf16":
        keep_residual_in_bfloat16(model)
    for layer in find_layers(model) if options.compile else ():
        layer.compile()
    wrapped, optimizer = accelerator.prepare(model, make_optimizer(model, options))
    inner = accelerator.unwrap_model(wrapped)
    if "_original_forward" in vars(inner):  # Accelerate's own makes all logits float32 at once; the loop casts itself
        del inner.forward, inner._original_forward
    return wrapped, optimizer


def skip_mask_creation(model: Any, length: int) -> None:
    """Makes attention causal without a mask, unless a 4-D mask is passed.

    Otherwise transformers checks in every forward pass whether the positions are those of several packed sequences,
    and waits for the device to answer. Models with a sliding window shorter than ``length`` (tokens of a sequence) need
    their masks and are left as they are.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if config._attn_implementation == "sdpa" and (window is None or window >= length):
        model.set_attn_implementation(UNMASKED)


def keep_residual_in_bfloat16(model: Any) -> None:
    """Casts the embeddings' output, and so the sum of all layers' outputs, to bfloat16.

    Under autocast the layers' outputs are bfloat16, but their sum has the dtype of the float32 embeddings, and every
    norm and addition moves twice the bytes. The weights stay float32.
    """
    model.get_input_embeddings().register_forward_hook(lambda _module, _inputs, output: output.to(torch.bfloat16))


def open_held_out(settings: ModelSettings, tokenizer: TokenizerSpec, packed: PackedFile) -> PackedFile | None:
    """The held-out file, or None if there is none.

    Raises PackedFileError where training would see held-out documents.
    """
    if not (held_out_folder(settings) / "manifest.json").is_file():
        say("no held-out part is packed: bits per byte are not measured")
        return None
    held_out = replace(open_packed(held_out_folder(settings), tokenizer.sha256), start_id=packed.start_id)
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
    chosen = {name: value for name, value in chosen.items() if name != "model.dtype"}
    tokens = {"packed": str(manifest["file"]["sha256"])}
    files = {**packed.files, **tokens, **model_hashes(settings.model)}
    return Provenance("continue_pretraining", VERSION, chosen, packed.tables, files)
