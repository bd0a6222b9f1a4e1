"""The lens: what is done to a layer's output before the model's own norm and output head decode it.

The logit lens does nothing. The tuned lens (Belrose et al. 2023, arXiv 2303.08112) applies an affine translator of the
layer. The last layer has none: it is always the model's own answer.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from jobs.gpu.common.files import file_sha256, read_provenance, write_json
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.models.model_files import model_hashes, model_settings
from jobs.gpu.tracing.lens_files import OURS, lens_file, lens_folder
from pivot_udfs.errors import ModelError

_KIND = "linear_tuned_lens"


class Lens(nn.Module):
    """Translates the outputs of layers: x + A x + b, with A and b of each layer but the last; all 0 at first.

    With one layer it is the logit lens, which leaves every layer's output as it is; ``size`` is the model's hidden
    size.
    """

    def __init__(self, n_layers: int = 1, size: int = 0) -> None:
        super().__init__()
        self.translators = nn.ModuleList([nn.Linear(size, size) for _ in range(n_layers - 1)])
        for weight in self.parameters():
            nn.init.zeros_(weight)

    def translated(self, hidden: Tensor, layer: int) -> Tensor:
        """The translated output (..., hidden size) of a layer (from 0), in the same dtype."""
        if layer >= len(self.translators):
            return hidden
        exact = hidden.float()
        return (exact + cast(Tensor, self.translators[layer](exact))).to(hidden.dtype)

    @torch.no_grad()
    def pulled_back(self, directions: Tensor, layer: int) -> Tensor:
        """The directions (n, hidden size) of a layer's output that, translated, are read along ``directions``."""
        if layer >= len(self.translators):
            return directions
        return directions + directions @ cast(Tensor, self.translators[layer].weight)


def save_lens(lens: Lens, folder: Path) -> None:
    """Writes a lens in the layout of the package ``tuned-lens``, with safetensors in the place of a pickle.

    There, translator k reads the input of layer k, which is the output of layer k - 1.
    """
    tensors = lens.translators.state_dict()
    renamed = {f"{int(k.split('.')[0]) + 1}.{k.split('.')[1]}": value for k, value in tensors.items()}
    save_file({name: value.contiguous() for name, value in renamed.items()}, folder / OURS)
    size = next(lens.parameters()).shape[-1]
    write_json(folder / "config.json", {"d_model": size, "num_hidden_layers": len(lens.translators) + 1})


def load_lens(folder: Path, n_layers: int, size: int, allow_pickle: bool) -> Lens:
    """The lens of a folder written by ``save_lens`` or the package ``tuned-lens``, in float32, on the CPU.

    Raises ModelError where there is none, it is damaged, a pickle that is not allowed, or of a model of another shape
    or kind.
    """
    path = lens_file(folder, allow_pickle)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors = load_file(path) if path.name == OURS else torch.load(path, map_location="cpu", weights_only=True)
        found = (config["num_hidden_layers"], config["d_model"], config.get("lens_type", _KIND))
        if found != (n_layers, size, _KIND):
            raise ModelError(f"{folder} holds a lens for (layers, size, kind) {found}, not {(n_layers, size, _KIND)}")
        lens, ours = Lens(n_layers, size), {}
        for layer in range(n_layers - 1):
            ours[f"{layer}.weight"] = tensors[f"{layer + 1}.weight"]
            ours[f"{layer}.bias"] = tensors.get(f"{layer + 1}.bias", torch.zeros(size))  # it may have none
        lens.translators.load_state_dict(ours)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, UnpicklingError) as error:
        raise ModelError(f"{folder} holds a damaged or incomplete lens ({error}): train or copy it again") from None
    return lens


def lens_identity(settings: ModelSettings) -> dict[str, str]:
    """The SHA-256 (hex) of the tuned lens, as a setting of the provenance of traces; empty for the logit lens."""
    if settings.trace.lens == "logit":
        return {}
    return {"trace.lens_sha256": file_sha256(lens_file(lens_folder(settings), settings.model.allow_pickle))}


def load_trace_lens(settings: ModelSettings, model: Any) -> Lens:
    """The lens that ``trace.lens`` asks for, on the model's device.

    Raises ModelError where there is none, or it was trained for another model.
    """
    if settings.trace.lens == "logit":
        return Lens()
    folder, config = lens_folder(settings), model.config.get_text_config()
    made, now = read_provenance(folder), model_hashes(settings.model) | _commit(model_settings(settings.model))
    if made is not None:
        before = {name: value for name, value in made.files.items() if name.startswith("model/")}
        if before | _commit(made.settings) != now:
            raise ModelError(f"{folder} was trained for another model: delete it and run jobs.gpu.train_tuned_lens")
    lens = load_lens(folder, config.num_hidden_layers, config.hidden_size, settings.model.allow_pickle)
    return lens.to(model.device)


def _commit(of_model: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in of_model.items() if name == "model.commit"}
