"""Steps of ``on_a_gpu`` that run the jobs themselves: imports, exact resume, the experiment."""

import importlib
import pkgutil
import platform
import shutil
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

import jobs.gpu
from benchmarks.gpu.context import Context
from benchmarks.gpu.timing import seconds_of
from jobs.gpu.analysis.contrasts import METRICS, Words
from jobs.gpu.common.files import file_sha256
from jobs.gpu.common.processes import started_accelerator
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.continue_pretraining import run_folder
from jobs.gpu.pack_dataset import packed_folder
from jobs.gpu.run_experiment import run_by_seed
from jobs.gpu.training.checkpoints import list_checkpoints
from jobs.gpu.training.scored_runs import ScoredRuns, one_run
from jobs.gpu.training.training_run import TrainingRun
from jobs.gpu.training.training_setup import deterministic

Row = dict[str, Any]
PILOT_RATES, PILOT_SEED = (1e-6, 2e-6, 5e-6, 1e-5), 100
_PACKAGES = ("torch", "transformers", "accelerate", "tokenizers", "numpy", "pyarrow", "triton", "pydantic")


def check_imports(context: Context) -> Iterator[Row]:
    """Every module of the model side can be imported; releases, the device, and its speed at a matrix product."""
    names = [module.name for module in pkgutil.walk_packages(jobs.gpu.__path__, "jobs.gpu.")]
    for name in names:
        importlib.import_module(name)
    cuda = context.device.type == "cuda"
    yield {
        "modules": len(names),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "device": torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads",
        "matmul_tflops": _matmul_tflops(8192 if cuda else 256, context.device),
        "passed": True,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _matmul_tflops(size: int, device: torch.device) -> float:
    """Of bfloat16 matrices of random numbers: what MFU can be compared with."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    a @ b
    seconds = seconds_of(lambda: [a @ b for _ in range(10)])
    return round(10 * 2 * size**3 / seconds / 1e12, 3)


class _Stopped(TrainingRun):
    """A run that is stopped after its third step, as by an interrupt."""

    def _log_step(self, result: Any, bar: Any) -> None:
        super()._log_step(result, bar)
        if result.step == 3:
            raise KeyboardInterrupt


def check_resume(context: Context) -> Iterator[Row]:
    """With ``training.deterministic``, a run that was stopped and resumed ends with the bits of one that was not."""
    whole, stopped = (_short_run(context, name) for name in ("whole", "stopped"))
    _train(TrainingRun, whole)
    try:
        _train(_Stopped, stopped)
    except KeyboardInterrupt:
        resumed_from = list_checkpoints(run_folder(stopped) / "checkpoints")[-1].name
    _train(TrainingRun, stopped)
    hashes = [file_sha256(run_folder(settings) / "final" / "model.safetensors") for settings in (whole, stopped)]
    yield {"resumed_from": resumed_from, "sha256": hashes, "passed": hashes[0] == hashes[1]}


def _short_run(context: Context, name: str) -> ModelSettings:
    """Five deterministic steps on the first arm, with a checkpoint after each."""
    one = one_run(context.settings, context.settings.experiment.arms[0])
    changes: dict[str, Any] = {
        "deterministic": True,
        "token_budget": 5 * one.training.global_batch_tokens,
        "checkpoint_every_minutes": 1e-9,
        "evaluate_every_steps": 0,
    }
    folder = context.work / "resume" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "packed").symlink_to(packed_folder(one).parent.resolve())
    training = one.training.model_copy(update=changes)
    results = one.results.model_copy(update={"path": str(folder)})
    return one.model_copy(update={"training": training, "results": results})


def _train(kind: type[TrainingRun], settings: ModelSettings) -> None:
    device = torch.device(settings.model.device)
    with deterministic(True), started_accelerator(device, settings.training) as accelerator:
        kind(settings, accelerator).train()


def choose_learning_rate(context: Context) -> Iterator[Row]:
    """The primary metric after the control arm of the primary contrast, for several learning rates and a seed apart.

    ``run_experiment`` uses the rate after which it is largest.
    """
    found: dict[float, float] = {}
    runs, arm = ScoredRuns(context.settings), context.settings.experiment.arms[1]
    yield {"learning_rate": 0.0, METRICS[0]: _mean(runs.base_scores)}
    for rate in PILOT_RATES[: 2 if context.toy else None]:
        settings = one_run(_with_rate(context.settings, rate), arm, PILOT_SEED)
        found[rate] = _mean(runs.scores_after(settings))
        shutil.rmtree(run_folder(settings))
        yield {"learning_rate": rate, METRICS[0]: found[rate]}
    _chosen_rate(context).write_text(str(max(found, key=found.__getitem__)), encoding="utf-8")


def _mean(scores: pa.Table) -> float:
    words = Words(scores)
    return float(words.by_concept(words.before(METRICS[0])[None])[0].mean())


def _with_rate(settings: ModelSettings, rate: float) -> ModelSettings:
    return settings.model_copy(update={"training": settings.training.model_copy(update={"learning_rate": rate})})


def _chosen_rate(context: Context) -> Path:
    return context.work / "learning_rate.txt"


def run_experiment(context: Context) -> Iterator[Row]:
    """The experiment, contrast by contrast and seed by seed while the time suffices; finished runs are kept.

    The first seed includes loading, compiling and the scores before training: only later ones show what the next takes.
    """
    begin = start = time.monotonic()
    settings, chosen = context.settings, _chosen_rate(context)
    if chosen.is_file():
        settings = _with_rate(settings, float(chosen.read_text(encoding="utf-8")))
    for n, (contrast, seed) in enumerate(run_by_seed(settings)):
        now = time.monotonic()
        for name in ("experiment.json", "experiment.md"):
            shutil.copy(Path(settings.results.path) / name, context.out / name)
        yield {"contrast": contrast, "seed": seed, "seconds": now - start, "file": "experiment.json"}
        if n and now - begin + 1.2 * (now - start) > context.seconds:
            return
        start = now
