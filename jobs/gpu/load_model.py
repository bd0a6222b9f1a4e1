"""Loads any Hugging Face causal language model, safetensors or GGUF, and checks its vocabulary.

No code that comes with a model is run and nothing is unpickled unless the settings say so by name. The
tables' tokenizer is what prompts are encoded with, so a model with another vocabulary is refused: its ids
would mean other words, and every number after that would be wrong in silence.
"""

import ctypes
import importlib.util
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from jobs.gpu.errors import ModelError
from jobs.gpu.packed_file import file_sha256
from jobs.gpu.settings import Model
from pivot_udfs.errors import TokenizerError
from pivot_udfs.tokenizer_backends import TokenizerSpec, reference_tokenizer, sentencepiece_processor

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: str) -> torch.device:
    """The device of a ``model.device`` value; ``auto`` is the first GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
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


def resolve_path(path: str) -> str:
    """``package:<name>`` as the folder of that installed package (not imported); anything else as it is."""
    if not path.startswith("package:"):
        return path
    name = path.removeprefix("package:")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"model.path = {path!r}: package {name} is not installed; install it, or give a folder")
    return next(iter(spec.submodule_search_locations))


def load_model(settings: Model) -> Any:
    """A causal language model in evaluation mode on its device.

    Raises:
        ModelError: it cannot be found or read, or would need code or pickles that the settings do not allow.
    """
    device = pick_device(settings.device)
    path = resolve_path(settings.path)
    options: dict[str, Any] = {"dtype": pick_dtype(settings.dtype, device)}
    options |= {"trust_remote_code": settings.trust_remote_code}
    options |= {"revision": settings.revision} if settings.revision else {}
    if settings.gguf_file:
        options["gguf_file"] = settings.gguf_file
    else:
        _check_config(path, settings)
        options["use_safetensors"] = None if settings.allow_pickle else True
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(path, **options)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise ModelError(_advice(settings, path, error)) from None
    if settings.gguf_file:
        clear_quantization(model)
    model.config.use_cache = True
    if device.type == "cpu":
        keep_freed_memory()
    return model.to(device).eval()


def keep_freed_memory() -> None:
    """Keeps large freed blocks in the process (glibc), which else come back as fresh pages for every layer."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _check_config(path: str, settings: Model) -> None:
    folder = Path(path)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ModelError(f"model.path = {path}: no config.json in it; give the folder of a saved model")
    if not folder.is_dir() and (folder.exists() or path.startswith((".", "/"))):
        raise ModelError(f"model.path = {path} is not a folder; give the folder of a saved model")
    if folder.is_dir() and json.loads((folder / "config.json").read_text()).get("is_encoder_decoder"):
        raise ModelError(f"model.path = {path} is an encoder-decoder; give a causal language model")


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


def save_model(model: Any, folder: Path, tokenizer: TokenizerSpec | None = None) -> None:
    """Saves safetensors and, where given, the tokenizer's file beside them."""
    model.save_pretrained(folder, safe_serialization=True)
    if tokenizer is not None:
        name = "tokenizer.json" if tokenizer.kind == "huggingface" else "tokenizer.model"
        (folder / name).write_bytes(tokenizer.payload)


def check_vocabulary(settings: Model, model: Any, tokenizer: TokenizerSpec) -> None:
    """Refuses a model whose vocabulary is not the tokenizer's.

    The model's own tokenizer (``tokenizer.json`` in its folder, or the list of tokens in its GGUF file) must
    give every id the same token; a model without one must have at least as many rows as the tokenizer has
    ids.

    Raises:
        TokenizerError: they differ; says where.
    """
    ours = _tokens(tokenizer)
    rows = model.get_input_embeddings().weight.shape[0]
    if rows < len(ours):
        raise TokenizerError(
            f"{settings.path} has {rows} token embeddings, tokenizer.path has {len(ours)} ids: it is "
            f"not this "
            "model's tokenizer; give the tokenizer that the tables were made with and a model that uses it"
        )
    theirs = _model_tokens(settings)
    pairs = enumerate(zip(ours, theirs, strict=False)) if theirs else ()
    different = [(index, a, b) for index, (a, b) in pairs if a != b]
    if different:
        index, a, b = different[0]
        raise TokenizerError(
            f"{len(different)} ids mean other tokens to {settings.path} than in tokenizer.path (id "
            f"{index}: model "
            f"{b!r}, tokenizer {a!r}); use a model with the tables' tokenizer, or make the tables with "
            f"the model's"
        )


def _tokens(tokenizer: TokenizerSpec) -> list[str]:
    if tokenizer.kind == "sentencepiece":
        processor = sentencepiece_processor(tokenizer)
        return [processor.id_to_piece(index) for index in range(processor.get_piece_size())]
    return _by_id(reference_tokenizer(tokenizer).get_vocab(with_added_tokens=True))


def _by_id(vocab: dict[str, int]) -> list[str]:
    names = {index: token for token, index in vocab.items()}
    return [names.get(index, "") for index in range(max(names, default=-1) + 1)]


def _model_tokens(settings: Model) -> list[str]:
    folder = Path(resolve_path(settings.path))
    if settings.gguf_file:
        from gguf import GGUFReader

        field = GGUFReader(folder / settings.gguf_file).get_field("tokenizer.ggml.tokens")
        return list(field.contents()) if field else []
    if not (folder / "tokenizer.json").is_file():
        return []
    import tokenizers

    own = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    return _by_id(own.get_vocab(with_added_tokens=True))


def describe_model(settings: Model) -> dict[str, Any]:
    """What results of a model are tied to: where it is from, and the hashes of its weight files in a folder."""
    folder = Path(resolve_path(settings.path))
    names = [settings.gguf_file] if settings.gguf_file else sorted(path.name for path in folder.glob("*.safetensors"))
    files = {name: file_sha256(folder / name) for name in names if folder.is_dir()}
    return settings.model_dump(exclude={"device"}) | {"files": files}


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
