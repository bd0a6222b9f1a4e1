"""Packs what ``on_a_gpu`` needs on a bare machine: packed arms, task, model, tokenizer, lexicon and missing packages.

    python -m benchmarks.gpu.pack_for_gpu --config conf/experiment-gpu.toml --out out/parcel [--part-mb 50] [--set ...]

Packs the arms of ``[experiment]`` and builds the task where that is not done, then writes ``part-000`` and so on, and
``parts.json``. Weights are sent in bfloat16. A GGUF file takes more than a minute to load in every process: the model
that ``convert_model`` saved is sent in its place, and converted first if it is not there. The machine needs Python 3.12
with torch, transformers, accelerate, pyarrow and numba; pydantic and langcodes are packed for it.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from safetensors.torch import load_file, save_file

from benchmarks.gpu.parts import write_parts
from jobs.gpu.build_translation_task import load_task
from jobs.gpu.common.files import results_path
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.convert_model import convert
from jobs.gpu.models.model_files import resolve_path
from jobs.gpu.pack_dataset import pack_if_needed
from jobs.gpu.training.scored_runs import one_run
from pivot_udfs.load_settings import load_settings, resolved_toml

PACKAGES = ("pydantic", "pydantic-core", "annotated-types", "typing-inspection", "typing-extensions", "langcodes")
_PYTHON, _PLATFORM = "3.12", "manylinux_2_17_x86_64"


def main(argv: Sequence[str] | None = None) -> int:
    """Packs the experiment of a configuration; prints the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--part-mb", type=int, default=50, help="largest part, in megabytes")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="override a setting")
    options = parser.parse_args(argv)
    settings = load_settings(options.config, options.set, ModelSettings)
    for path in pack(settings, options.out, options.part_mb * 10**6, PACKAGES):
        print(path, path.stat().st_size)
    return 0


def pack(settings: ModelSettings, folder: Path, part_bytes: int, packages: Sequence[str]) -> list[Path]:
    """Packs an experiment; returns the parts."""
    load_task(settings)
    for arm in settings.experiment.arms:
        pack_if_needed(one_run(settings, arm))
    with tempfile.TemporaryDirectory() as staged:
        _stage(settings, Path(staged))
        if packages:
            _install(packages, Path(staged, "site"))
        return write_parts(Path(staged), folder, part_bytes)


def _stage(settings: ModelSettings, folder: Path) -> None:
    """Copies all files; ``run.toml`` names them relative to the folder."""
    tokenizer, lexicon = (Path(section.path) for section in (settings.tokenizer, settings.lexicon))
    shutil.copy(tokenizer, folder / tokenizer.name)
    shutil.copy(lexicon, folder / lexicon.name)
    pilot = settings.experiment.pilot
    if pilot:
        shutil.copy(pilot, folder / "pilot.json")
    _copy_model(_saved_model(settings), folder / "model")
    names = [*settings.experiment.arms, "held_out"]
    for name in names:
        shutil.copytree(results_path(settings, "packed", name), folder / "results" / "packed" / name)
    shutil.copy(results_path(settings, "task.jsonl"), folder / "results")
    sections = {
        "warehouse": {"path": "no-tables"},
        "tokenizer": {"path": tokenizer.name},
        "lexicon": {"path": lexicon.name},
        "model": {"path": "model", "gguf_file": "", "device": "auto"},
        "results": {"path": "results"},
        "experiment": {"pack": False, "pilot": "pilot.json" if pilot else ""},
    }
    changed = {name: getattr(settings, name).model_copy(update=keys) for name, keys in sections.items()}
    (folder / "run.toml").write_text(resolved_toml(settings.model_copy(update=changed)), encoding="utf-8")


def _saved_model(settings: ModelSettings) -> Path:
    """The folder of the model as safetensors."""
    if not settings.model.gguf_file:
        return Path(resolve_path(settings.model.path))
    base = results_path(settings, "base")
    if not (base / "config.json").is_file():
        convert(settings)
    return base


def _copy_model(source: Path, folder: Path) -> None:
    folder.mkdir()
    for path in (path for pattern in ("*.json", "*.model") for path in source.glob(pattern)):
        shutil.copy(path, folder)
    for path in source.glob("*.safetensors"):
        tensors = {name: tensor.bfloat16() for name, tensor in load_file(path).items()}
        save_file(tensors, folder / path.name, {"format": "pt"})


def _install(packages: Sequence[str], folder: Path) -> None:
    """The installed versions of some packages, built for the other machine."""
    pinned = [f"{name}=={version(name)}" for name in packages]
    options = ["--no-deps", "--only-binary=:all:", "--python-version", _PYTHON, "--platform", _PLATFORM]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(folder)]
    subprocess.run([*command, *options, *pinned], check=True)


if __name__ == "__main__":
    sys.exit(main())
