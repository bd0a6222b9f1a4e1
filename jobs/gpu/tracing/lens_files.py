"""Where the tuned lens lies; reading it needs torch (``lenses``), finding it does not."""

from pathlib import Path

from jobs.gpu.common.files import results_path
from jobs.gpu.common.settings import ModelSettings
from pivot_udfs.errors import ModelError

OURS, THEIRS = "params.safetensors", "params.pt"
"""The file of a lens' translators: as ``save_lens`` writes it, and as the package ``tuned-lens`` does."""


def lens_folder(settings: ModelSettings) -> Path:
    """The folder of the tuned lens."""
    return Path(settings.tuned_lens.path) if settings.tuned_lens.path else results_path(settings, "tuned_lens")


def lens_file(folder: Path, allow_pickle: bool) -> Path:
    """The file of a lens' translators.

    Raises ModelError where there is none, or only a pickle, which is not allowed.
    """
    if (folder / OURS).is_file():
        return folder / OURS
    if not (folder / THEIRS).is_file():
        raise ModelError(f"{folder} holds no tuned lens: run jobs.gpu.train_tuned_lens, or set tuned_lens.path")
    if not allow_pickle:
        raise ModelError(f"{folder / THEIRS} is a pickle: set model.allow_pickle = true if you trust it")
    return folder / THEIRS
