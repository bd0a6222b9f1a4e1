"""Loads and saves Hugging Face causal language models (safetensors or GGUF).

Code that comes with a model is not run, and nothing is unpickled, unless the settings allow it.
"""

import ctypes
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, utils

from jobs.framework.log_lines import say
from jobs.gpu.common.settings import Model
from jobs.gpu.models.model_files import find_files, read_json
from pivot_udfs.errors import ModelError
from pivot_udfs.tokenization.backends import TokenizerSpec

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h
_GPU = Path("/dev/nvidia0")
_LIBRARY_LOGGING: Any = utils.logging
_LIBRARY_LOGGING.disable_progress_bar()  # of loading and saving weights: log lines may be JSON objects
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: str) -> torch.device:
    """The device for a ``model.device`` value; ``auto`` is the first GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cpu" and torch.version.cuda and _GPU.exists():
            raise ModelError(
                f"{_GPU} exists, but torch {torch.__version__} cannot use it (the driver may be older than CUDA "
                f"{torch.version.cuda}): install a torch that matches the driver, or set model.device = 'cpu'"
            )
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ModelError(f"model.device = {name!r} is not a device; use auto, cpu, cuda or cuda:<n>") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"model.device = {name!r}, but torch sees no GPU; use auto or cpu")
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype for a ``model.dtype`` value; ``auto`` is bfloat16 on a GPU and float32 on a CPU."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return _DTYPES[name]


def load_model(settings: Model) -> Any:
    """A causal language model in evaluation mode on its device, with every weight read from its files.

    Tensors in the files that the model does not use are named in a warning. Raises ModelError where it cannot be found
    or read, needs code or pickles that the settings do not allow, or weights are missing, there twice, of another
    shape, not finite, or integers, or a first pass fails.
    """
    device, files = pick_device(settings.device), find_files(settings)
    options: dict[str, Any] = {"dtype": pick_dtype(settings.dtype, device), "revision": files.commit or "main"}
    options |= {"trust_remote_code": settings.trust_remote_code, "ignore_mismatched_sizes": True}  # see _check_weights
    safe = {"use_safetensors": None if settings.allow_pickle else True}
    options |= {"gguf_file": settings.gguf_file} if settings.gguf_file else safe
    model, info = _read_weights(settings, files.path, options)
    _check_weights(files.folder, model, info)
    if settings.gguf_file:
        clear_quantization(model)
    model.config.use_cache = True
    if device.type == "cpu":
        keep_freed_memory()
    model = model.to(device).eval()
    _check_pass(files.folder, model)
    return model


def _read_weights(settings: Model, path: str, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    auto: Any = AutoModelForCausalLM
    try:
        _check_shards(Path(path))
        loaded: tuple[Any, dict[str, Any]] = auto.from_pretrained(path, output_loading_info=True, **options)
    except (torch.OutOfMemoryError, MemoryError, ModelError):
        raise
    except SafetensorError as error:
        raise ModelError(f"{path}: a weight file is cut short or damaged ({error}); copy the model again") from None
    except Exception as error:  # a wrong value in config.json can raise anything, such as a ZeroDivisionError
        raise ModelError(_advice(settings, path, error)) from None
    return loaded


def _check_shards(folder: Path) -> None:
    """Refuses a folder that has a weight twice, of which ``transformers`` takes one and reports nothing."""
    whole, index = folder / utils.SAFE_WEIGHTS_NAME, folder / utils.SAFE_WEIGHTS_INDEX_NAME
    if not index.is_file():
        return
    if whole.is_file():
        raise ModelError(f"{folder} has both {whole.name} and {index.name}: remove those that are not of this model")
    files = sorted(set(read_json(index).get("weight_map", {}).values()))
    repeated = [name for name, n in Counter(name for file in files for name in _stored(folder / file)).items() if n > 1]
    if repeated:
        raise ModelError(
            f"{folder}: {len(repeated)} weights are in two files ({_some(repeated)}); copy the model again"
        )


def _stored(file: Path) -> dict[str, str]:
    """The type of every tensor in a file, such as ``BF16`` or ``I8``."""
    with safe_open(file, "pt") as tensors:
        return {name: tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118 - it is no dict


def _check_weights(path: Path, model: Any, info: dict[str, Any]) -> None:
    """Refuses weights that ``transformers`` would initialize at random or misread; warns of tensors that it ignores."""
    stored = {name: kind for file in path.glob("*.safetensors") for name, kind in _stored(file).items()}
    mismatched = sorted(info["mismatched_keys"])
    shapes = [f"{name}: {list(found)} in the file, expected {list(wanted)}" for name, found, wanted in mismatched]
    wrong = {
        "have another shape": shapes,
        "are missing": sorted(info["missing_keys"]),
        "cannot be read": sorted(info["error_msgs"]),
    }
    parts = [f"{len(names)} weights {what} ({_some(names)})" for what, names in wrong.items() if names]
    unused = sorted({*info["unexpected_keys"], *_ignored(stored, model)})
    if parts:
        more = f"; {len(unused)} tensors are not part of the model ({_some(unused)})" if unused else ""
        raise ModelError(
            f"{path}: {'; '.join(parts)}{more}: the weights do not match its config.json; give the complete folder of "
            "one saved model"
        )
    if infinite := [name for name, weight in model.named_parameters() if not _is_finite(weight)]:
        raise ModelError(f"{path}: {len(infinite)} weights have values that are no numbers ({_some(infinite)})")
    if integers := sorted(_integers(stored, model) - set(unused)):
        raise ModelError(
            f"{path}: {len(integers)} weights are stored as integers ({_some(integers)}), and its config.json has no "
            "quantization_config that says what they stand for: give the model that was not quantized"
        )
    if unused:
        say(f"WARNING: {path} holds {len(unused)} tensors that the model does not use: {_some(unused, 50)}")


def _is_finite(weight: torch.Tensor) -> bool:
    return not weight.numel() or all(bool(torch.isfinite(end)) for end in torch.aminmax(weight.detach()))


def _ignored(stored: dict[str, str], model: Any) -> list[str]:
    """Names of stored tensors that ``transformers`` drops without a report: buffers of earlier versions."""
    patterns = [r"rotary_emb\.inv_freq$", r"(^|\.)position_ids$", *(model._keys_to_ignore_on_load_unexpected or ())]
    used = model.state_dict().keys()
    return [name for name in stored.keys() - used if any(re.search(pattern, name) for pattern in patterns)]


def _integers(stored: dict[str, str], model: Any) -> set[str]:
    """Names of stored integers that ``transformers`` reads as floats: weights quantized without a note of how."""
    if getattr(model.config, "quantization_config", None):
        return set()
    own = {name for name, tensor in model.state_dict().items() if not tensor.is_floating_point()}
    return {name for name, kind in stored.items() if kind[0] in "IU"} - own


@torch.no_grad()
def _check_pass(path: Path, model: Any) -> None:
    """Refuses a model whose weights fit its config.json, with which it computes nothing that can be used."""
    advice = "check its config.json and model.dtype"
    if getattr(model.config.get_text_config(), "num_hidden_layers", 1) < 1:
        raise ModelError(f"{path}: the model has no layers; {advice}")
    try:
        ids = torch.zeros(1, 2, dtype=torch.long, device=model.device)
        logits = model(input_ids=ids, use_cache=False).logits
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        raise ModelError(f"{path}: the model's first pass fails ({' '.join(str(error).split())}); {advice}") from None
    if not logits.isfinite().all():
        raise ModelError(f"{path}: the model's first logits are no numbers; {advice}")


def _some(names: list[str], limit: int = 3) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def keep_freed_memory() -> None:
    """Makes glibc keep large freed blocks; otherwise every layer's activations are mapped as fresh pages."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _advice(settings: Model, path: str, error: Exception) -> str:
    first, *rest = str(error).strip().splitlines() or [type(error).__name__]
    text = " ".join([first, *(line.strip() for line in rest[:1] if first.endswith(":"))])
    if "trust_remote_code" in str(error):
        return f"{path} needs its own code ({text}); set model.trust_remote_code = true if you trust it"
    if "safetensors" in str(error) and not settings.allow_pickle and not any(Path(path).glob("*.safetensors")):
        return f"{path} has no safetensors weights ({text}); set model.allow_pickle = true if you trust it"
    where = "check its config.json, model.path and model.gguf_file"
    return f"{path} cannot be loaded as a causal language model: {text}; {where}"


def clear_quantization(model: Any) -> None:
    """Removes the quantization marks of a model loaded from GGUF, so that it can be moved, trained and saved."""
    for name in ("hf_quantizer", "quantization_method"):
        if hasattr(model, name):
            delattr(model, name)
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def save_model(model: Any, folder: Path, tokenizer: TokenizerSpec | None = None) -> None:
    """Saves a model as safetensors, with the tokenizer's file."""
    model.save_pretrained(folder, safe_serialization=True)
    if tokenizer is not None:
        name = "tokenizer.json" if tokenizer.kind == "huggingface" else "tokenizer.model"
        (folder / name).write_bytes(tokenizer.payload)


def model_summary(settings: Model, model: Any) -> dict[str, Any]:
    """Path, family, number of weights and dtype, for the report."""
    return {
        "path": settings.path,
        "family": model.config.model_type,
        "n_weights": sum(weight.numel() for weight in model.parameters()),
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
    }
