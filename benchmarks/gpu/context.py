"""What every step of ``on_a_gpu`` is given. Libraries are imported where they are used: a step may need none."""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from jobs.gpu.common.settings import ModelSettings

_ONE_BILLION: dict[str, Any] = {
    "model_type": "olmo",
    "vocab_size": 50304,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 16,
    "tie_word_embeddings": True,
    "max_position_embeddings": 2048,
}
_TINY = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


class SkippedError(Exception):
    """A step cannot run here; the message says why."""


def compile_quickly() -> None:
    """Makes ``torch.compile`` take graphs and run them as they are, without a compiler."""
    import torch

    setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))  # noqa: B010 - mypy allows no assignment


@dataclass(frozen=True)
class Context:
    """What a step is given.

    Attributes:
        config: a TOML file: the small trained model, its task and its packed arms.
        out: the folder that is brought back; a few small files.
        work: a folder for everything else.
        seconds: the time that the step may take.
        toy: whether sizes are those of a rehearsal on a CPU.
    """

    config: Path
    out: Path
    work: Path
    seconds: float
    toy: bool

    @cached_property
    def device(self) -> "torch.device":
        """The first GPU, or the CPU."""
        from jobs.gpu.models.load_model import pick_device

        return pick_device("cpu" if self.toy else "auto")

    @property
    def settings(self) -> "ModelSettings":
        """The configuration, with the model that ``convert_model`` saved where the configured one is a GGUF file."""
        from jobs.gpu.common.settings import ModelSettings
        from pivot_udfs.load_settings import load_settings

        if not self.config.is_file():
            raise SkippedError(f"there is no {self.config}")
        settings = load_settings(str(self.config), [], ModelSettings)
        changes: dict[str, Any] = {"device": str(self.device)}
        base = Path(settings.results.path) / "base"
        if settings.model.gguf_file and (base / "config.json").is_file():
            changes |= {"path": str(base), "gguf_file": ""}
        return settings.model_copy(update={"model": settings.model.model_copy(update=changes)})

    def shape(self) -> Any:
        """A model of OLMo-1B's shape, or a tiny one, with random float32 weights."""
        import torch
        import transformers

        auto: Any = transformers.AutoModelForCausalLM
        config = transformers.AutoConfig.for_model(**_ONE_BILLION | (_TINY if self.toy else {}))
        torch.manual_seed(0)
        with torch.device(self.device):
            return auto.from_config(config, dtype=torch.float32)
