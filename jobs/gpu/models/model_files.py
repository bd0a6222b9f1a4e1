"""Where a model's files are: a folder, an installed package, or one commit of a model on the hub.

Everything that is read of a model (weights, vocabulary, what it puts before a text) is read from one place, which is
found once: a name on the hub is pinned to the commit that its revision means now.
"""

import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import tokenizers
from transformers.utils.hub import cached_file, extract_commit_hash

from jobs.gpu.common.errors import ModelError
from jobs.gpu.common.settings import Model
from jobs.gpu.packing.packed_file import file_sha256

_NOT_RESULTS = {"device", "trust_vocabulary"}


@dataclass(frozen=True)
class ModelFiles:
    """The place of a model's files.

    Attributes:
        path: a folder, or a name on the hub.
        commit: of a name on the hub, 40 hexadecimal digits; empty for a folder.
    """

    path: str
    commit: str

    def find(self, name: str) -> Path | None:
        """A file of the model, downloaded where need be; None where the model has no such file."""
        if not self.commit:
            path = Path(self.path) / name
            return path if path.is_file() else None
        options: dict[str, Any] = {"revision": self.commit, "_raise_exceptions_for_missing_entries": False}
        found = cached_file(self.path, name, **options)
        return None if found is None else Path(found)


def resolve_path(path: str) -> str:
    """``package:<name>`` as the folder of that installed package (not imported); anything else as it is."""
    if not path.startswith("package:"):
        return path
    name = path.removeprefix("package:")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"model.path = {path!r}: package {name} is not installed; install it, or give a folder")
    return next(iter(spec.submodule_search_locations))


def find_files(settings: Model) -> ModelFiles:
    """Where the files of ``model.path`` are.

    Raises:
        ModelError: there is no such folder, package or model on the hub, or it is no saved causal language model.
    """
    path, first = resolve_path(settings.path), settings.gguf_file or "config.json"
    if not Path(path).is_dir():
        if Path(path).exists() or path.startswith((".", "/")):
            raise ModelError(f"model.path = {path} is not a folder; give the folder of a saved model")
        files = ModelFiles(path, _commit(path, settings.revision, first))
    else:
        files = ModelFiles(path, "")
    found = files.find(first)
    if found is None:
        raise ModelError(f"model.path = {path}: no {first} in it; give the folder of a saved model")
    if not settings.gguf_file and json.loads(found.read_text(encoding="utf-8")).get("is_encoder_decoder"):
        raise ModelError(f"model.path = {path} is an encoder-decoder; give a causal language model")
    return files


@cache
def _commit(name: str, revision: str, first: str) -> str:
    """The commit that a revision of a model on the hub means, found by its first file."""
    try:
        found = cached_file(name, first, revision=revision or None)
    except (OSError, ValueError) as error:
        text = " ".join(str(error).split())
        raise ModelError(f"model.path = {name!r} is no folder, nor found on the hub: {text}; give a folder") from None
    commit = extract_commit_hash(found, None)
    if commit is None:
        raise ModelError(f"model.path = {name!r}: the hub names no commit for {found}; download it and give the folder")
    return str(commit)


def describe_model(settings: Model) -> dict[str, Any]:
    """What results of a model are tied to: its settings, and its weight files' hashes or its commit on the hub."""
    files = find_files(settings)
    described = settings.model_dump(exclude=_NOT_RESULTS)
    if files.commit:
        return described | {"commit": files.commit}
    folder = Path(files.path)
    kinds = ["*.safetensors", *(["*.bin"] if settings.allow_pickle else [])]
    weights = sorted(path.name for kind in kinds for path in folder.glob(kind))
    names = [settings.gguf_file] if settings.gguf_file else weights
    return described | {"files": {name: file_sha256(folder / name) for name in names}}


def start_token(settings: Model, tokenizer_path: str) -> str:
    """The special token that the model's own tokenizer begins every text with; empty where it adds none.

    Args:
        settings: of the model; its ``tokenizer.json`` and ``tokenizer_config.json`` are read.
        tokenizer_path: the tables' tokenizer, whose file may know what the model's folder does not say.
    """
    files = find_files(settings)
    for path in (files.find("tokenizer.json"), Path(tokenizer_path)):
        if path is not None and path.suffix == ".json" and path.is_file():
            encoding = tokenizers.Tokenizer.from_file(str(path)).encode("a")
            if encoding.special_tokens_mask[0] and len(encoding.ids) > 1:
                return str(encoding.tokens[0])
    config = files.find("tokenizer_config.json")
    known = json.loads(config.read_text(encoding="utf-8")) if config else {}
    token = known.get("bos_token") or ""
    return str(token["content"] if isinstance(token, dict) else token) if known.get("add_bos_token") else ""
