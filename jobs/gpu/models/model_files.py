"""Finds the files of a model: in a folder, an installed package, or at one commit of a model on the hub.

A name on the hub is resolved once to the commit of its revision, and all files are read at that commit.
"""

import importlib.util
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import tokenizers

from jobs.gpu.common.files import file_sha256
from jobs.gpu.common.settings import Model
from pivot_udfs.errors import ModelError
from pivot_udfs.load_settings import result_settings


@dataclass(frozen=True)
class ModelFiles:
    """A folder, or a name on the hub with its ``commit`` (40 hexadecimal digits; empty for a folder)."""

    path: str
    commit: str

    @property
    def folder(self) -> Path:
        """Where the files lie; of a model on the hub, those that were downloaded."""
        config = self.find("config.json")
        return config.parent if config else Path(self.path)

    def find(self, name: str) -> Path | None:
        """A file of the model, downloaded if necessary; None if the model has no such file."""
        if not self.commit:
            found = Path(self.path, name)
            return found if found.is_file() else None
        return _hub_file(self.path, name, revision=self.commit, _raise_exceptions_for_missing_entries=False)


def resolve_path(path: str) -> str:
    """The folder of an installed package for ``package:<name>`` (it is not imported); any other path unchanged."""
    if not path.startswith("package:"):
        return path
    name = path.removeprefix("package:")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"model.path = {path!r}: package {name} is not installed; install it, or give a folder")
    return next(iter(spec.submodule_search_locations))


def find_files(settings: Model) -> ModelFiles:
    """Finds the files of ``model.path``.

    Raises:
        ModelError: there is no such folder, package or model on the hub, or it is not a saved causal language model.
    """
    path, first = resolve_path(settings.path), settings.gguf_file or "config.json"
    local = Path(path).is_dir()
    if not local and (Path(path).exists() or path.startswith((".", "/"))):
        raise ModelError(f"model.path = {path} is not a folder; give the folder of a saved model")
    files = ModelFiles(path, "" if local else _commit(path, settings.revision, first))
    found = files.find(first)
    if found is None:
        raise ModelError(f"model.path = {path}: no {first} in it; give the folder of a saved model")
    if not settings.gguf_file and read_json(found).get("is_encoder_decoder"):
        raise ModelError(f"model.path = {path} is an encoder-decoder; give a causal language model")
    return files


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a model; raises ModelError where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON ({error}); copy the model again") from None
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds a JSON {type(found).__name__}, expected an object; copy the model again")
    return found


@cache
def _commit(name: str, revision: str, first: str) -> str:
    """The commit of a revision of a model on the hub, found through the file ``first``."""
    try:
        found = _hub_file(name, first, revision=revision or None)
    except (OSError, ValueError) as error:
        text = " ".join(str(error).split())
        raise ModelError(
            f"model.path = {name!r} is neither a folder nor found on the hub: {text}; give a folder"
        ) from None
    commit = re.search(r"/snapshots/([0-9a-f]{40})/", found.as_posix()) if found else None
    if commit is None:
        raise ModelError(f"model.path = {name!r}: the hub names no commit for {found}; download it and give the folder")
    return commit[1]


def _hub_file(name: str, file: str, **options: Any) -> Path | None:
    """A file of a model on the hub; transformers, which takes long to import, is not needed for folders."""
    from transformers.utils.hub import cached_file

    found = cached_file(name, file, **options)
    return None if found is None else Path(found)


def model_settings(settings: Model) -> dict[str, Any]:
    """The settings that identify a model in a provenance, with its commit if it is on the hub."""
    commit = find_files(settings).commit
    return result_settings(settings) | ({"model.commit": commit} if commit else {})


def model_hashes(settings: Model) -> dict[str, str]:
    """SHA-256 (hex) of each weight file, by ``model/<name>``, for a provenance; empty for a model on the hub."""
    files = find_files(settings)
    if files.commit:
        return {}
    folder = Path(files.path)
    kinds = ["*.safetensors", *(["*.bin"] if settings.allow_pickle else [])]
    weights = sorted(path for kind in kinds for path in folder.glob(kind))
    paths = [folder / settings.gguf_file] if settings.gguf_file else weights
    return {f"model/{path.name}": _sha256_once(path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths}


@cache
def _sha256_once(path: Path, _modified_ns: int, _n_bytes: int) -> str:
    """Weight files are large and are hashed for every run of an experiment."""
    return file_sha256(path)


def own_tokenizer(path: Path) -> tokenizers.Tokenizer:
    """The ``tokenizer.json`` of a model; raises ModelError where it cannot be read."""
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more precise
        raise ModelError(f"{path}: tokenizers cannot read it ({error}); copy the model again") from None


def start_token(settings: Model, tokenizer_path: str) -> str:
    """The special token that the model's own tokenizer adds at the start of every text; empty if it adds none.

    The tables' tokenizer is read too, because a model's folder may lack the token.
    """
    files = find_files(settings)
    for path in (files.find("tokenizer.json"), Path(tokenizer_path)):
        if path is not None and path.suffix == ".json" and path.is_file():
            encoding = own_tokenizer(path).encode("a")
            if encoding.special_tokens_mask[0] and len(encoding.ids) > 1:
                return str(encoding.tokens[0])
    config = files.find("tokenizer_config.json")
    options = read_json(config) if config else {}
    token = options.get("bos_token") or ""
    return str(token.get("content", "") if isinstance(token, dict) else token) if options.get("add_bos_token") else ""
