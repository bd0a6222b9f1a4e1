"""Loads any Hugging Face causal language model, safetensors or GGUF, and checks its vocabulary.

No code that comes with a model is run and nothing is unpickled unless the settings say so by name. The
tables' tokenizer is what prompts are encoded with, so a model with another vocabulary is refused: its ids
would mean other words, and every number after that would be wrong in silence.
"""

import ctypes
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM

from jobs.gpu.common.errors import ModelError
from jobs.gpu.common.settings import Model
from jobs.gpu.models.model_files import find_files, model_tokens, tokenizer_tokens
from pivot_udfs.errors import TokenizerError
from pivot_udfs.tokenization.backends import TokenizerSpec

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h
_GPU = Path("/dev/nvidia0")
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: str) -> torch.device:
    """The device of a ``model.device`` value; ``auto`` is the first GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cpu" and torch.version.cuda and _GPU.exists():
            raise ModelError(
                f"{_GPU} is there, but torch {torch.__version__} cannot use it (its driver may be older than CUDA "
                f"{torch.version.cuda}): install a torch that fits the driver, or set model.device = 'cpu'"
            )
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ModelError(f"model.device = {name!r} is no device; use auto, cpu, cuda or cuda:<n>") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"model.device = {name!r}, but torch sees no GPU; use auto or cpu")
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype of a ``model.dtype`` value; ``auto`` is bfloat16 on a GPU and float32 on a CPU."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return _DTYPES[name]


def load_model(settings: Model) -> Any:
    """A causal language model in evaluation mode on its device, every weight of it read from its files.

    Raises:
        ModelError: it cannot be found or read, would need code or pickles that the settings do not allow, or its
            weights are not those that its configuration asks for.
    """
    device, files = pick_device(settings.device), find_files(settings)
    options: dict[str, Any] = {"dtype": pick_dtype(settings.dtype, device), "output_loading_info": True}
    options |= {"trust_remote_code": settings.trust_remote_code, "ignore_mismatched_sizes": True}  # told apart below
    options |= {"revision": files.commit} if files.commit else {}
    if settings.gguf_file:
        options["gguf_file"] = settings.gguf_file
    else:
        options["use_safetensors"] = None if settings.allow_pickle else True
    model, info = _read_weights(settings, files.path, options)
    _check_weights(files.path, info)
    if settings.gguf_file:
        clear_quantization(model)
    model.config.use_cache = True
    if device.type == "cpu":
        keep_freed_memory()
    return model.to(device).eval()


def _read_weights(settings: Model, path: str, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    auto: Any = AutoModelForCausalLM
    try:
        model, info = auto.from_pretrained(path, **options)
    except torch.OutOfMemoryError:
        raise
    except SafetensorError as error:
        raise ModelError(f"{path}: a weight file is cut short or damaged ({error}); copy the model again") from None
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        raise ModelError(_advice(settings, path, error)) from None
    return model, info


def _check_weights(path: str, info: dict[str, Any]) -> None:
    """Refuses what ``transformers`` only warns of: weights it made up, left unused, or found in another shape."""
    mismatched = sorted(info["mismatched_keys"])
    shapes = [f"{name}: {list(found)} in the file, {list(wanted)} wanted" for name, found, wanted in mismatched]
    wrong = {
        "are of another size": shapes,
        "are missing": sorted(info["missing_keys"]),
        "are not part of the model": sorted(info["unexpected_keys"]),
        "cannot be read": sorted(info["error_msgs"]),
    }
    parts = [f"{len(names)} weights {what} ({_some(names)})" for what, names in wrong.items() if names]
    if parts:
        raise ModelError(
            f"{path}: {'; '.join(parts)}: the weights are not those of its config.json; give the whole folder of one "
            "saved model"
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def keep_freed_memory() -> None:
    """Keeps large freed blocks in the process (glibc), which else come back as fresh pages for every layer."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _advice(settings: Model, path: str, error: Exception) -> str:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "trust_remote_code" in str(error):
        return f"{path} needs its own code ({text}); set model.trust_remote_code = true if you trust it"
    if "safetensors" in str(error) and not settings.allow_pickle:
        return f"{path} has no safetensors weights ({text}); set model.allow_pickle = true if you trust it"
    return f"{path} cannot be loaded as a causal language model: {text}; check model.path and model.gguf_file"


def clear_quantization(model: Any) -> None:
    """Lets a model loaded from GGUF, whose weights are plain numbers by now, be moved, trained and saved."""
    for name in ("hf_quantizer", "quantization_method"):
        if hasattr(model, name):
            delattr(model, name)
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def save_model(
    model: Any, folder: Path, tokenizer: TokenizerSpec | None = None, weights: dict[str, Any] | None = None
) -> None:
    """Saves safetensors and, where given, the tokenizer's file beside them.

    Args:
        model: with its configuration; not wrapped.
        folder: created where it is not there.
        tokenizer: the one the model was trained with.
        weights: by name, in place of the model's own (those gathered from several processes).
    """
    model.save_pretrained(folder, state_dict=weights, safe_serialization=True)
    if tokenizer is not None:
        name = "tokenizer.json" if tokenizer.kind == "huggingface" else "tokenizer.model"
        (folder / name).write_bytes(tokenizer.payload)


def check_vocabulary(settings: Model, model: Any, tokenizer: TokenizerSpec) -> None:
    """Refuses a model whose vocabulary is not the tokenizer's, or cannot be compared with it.

    The model's own tokenizer (see ``model_tokens``) must give every id the same token, and the model must have at
    least as many rows as the tokenizer has ids. A model without a tokenizer needs ``model.trust_vocabulary``.

    Raises:
        TokenizerError: they differ (says where), or no file of the model says what its ids mean.
    """
    ours, theirs = tokenizer_tokens(tokenizer), model_tokens(settings)
    rows = model.get_input_embeddings().weight.shape[0]
    if rows < len(ours):
        raise TokenizerError(
            f"{settings.path} has {rows} token embeddings, tokenizer.path has {len(ours)} ids: it is not this model's "
            "tokenizer; give the tokenizer that the tables were made with and a model that uses it"
        )
    if not theirs and not settings.trust_vocabulary:
        raise TokenizerError(
            f"{settings.path} has no tokenizer.json, tokenizer.model or vocab.json, so that its vocabulary cannot be "
            "compared with tokenizer.path: put the model's tokenizer beside its weights, or set "
            "model.trust_vocabulary = true if you know that they are the same"
        )
    different = [(index, a, b) for index, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b]
    if different:
        index, a, b = different[0]
        raise TokenizerError(
            f"{len(different)} ids mean other tokens to {settings.path} than in tokenizer.path (id {index}: model "
            f"{b!r}, tokenizer {a!r}); use a model with the tables' tokenizer, or make the tables with the model's"
        )


def model_summary(settings: Model, model: Any) -> dict[str, Any]:
    """Path, family, number of weights and dtype, for people."""
    return {
        "path": settings.path,
        "family": model.config.model_type,
        "n_weights": sum(weight.numel() for weight in model.parameters()),
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
    }


def new_model(config: dict[str, Any]) -> Any:
    """A model of the given configuration with random float32 weights, for tests and benchmarks."""
    known = AutoConfig.for_model(**config)
    auto: Any = AutoModelForCausalLM
    return auto.from_config(known, dtype=torch.float32).eval()
