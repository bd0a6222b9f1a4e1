"""The lens that layers are traced with, as ``trace.lens`` asks for it."""

from collections.abc import Mapping
from typing import Any

from jobs.gpu.common.files import file_sha256, read_provenance
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.models.model_files import model_hashes, model_settings
from jobs.gpu.tracing.lens_files import lens_file, lens_folder
from jobs.gpu.tracing.lenses import Lens, load_lens
from pivot_udfs.errors import ModelError


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
