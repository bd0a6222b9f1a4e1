"""The experiment: every arm and seed trained alike, the task before and after, and the table.

    python -m jobs.gpu.run_experiment --config conf/experiment.toml [--set experiment.seeds=[0,1,2]] [--dry-run]

Packs every arm, trains it for ``training.token_budget`` tokens with every seed, scores the base model and every trained
one on the same task, and writes ``experiment.json`` and ``experiment.md`` under ``results.path``. What is finished
is not run again: packed files, runs and scores each carry what they were made from. On several GPUs, train the runs
with ``torchrun ... -m jobs.gpu.continue_pretraining`` first; this job then only evaluates.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.gpu.analysis.compare_arms import compare, markdown_table
from jobs.gpu.build_translation_task import load_task
from jobs.gpu.common.result_parts import Parts
from jobs.gpu.common.run_job import results_path, run_job, say, write_json, write_text
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.continue_pretraining import run_folder, train
from jobs.gpu.evaluate_translation import evaluate, kept_scores, made_by, score_task, write_scores
from jobs.gpu.models.model_files import describe_model
from jobs.gpu.pack_dataset import pack_if_needed
from jobs.gpu.packing.packed_file import file_sha256
from jobs.gpu.translation.task_model import load_task_model
from jobs.gpu.translation.translation_task import task_hash
from pivot_udfs.load_settings import fingerprint, result_settings


def run(settings: ModelSettings) -> None:
    """Trains and evaluates what is not done yet, then writes the table."""
    load_task(settings)
    base = base_scores(settings)
    scores: dict[tuple[str, int], pa.Table] = {}
    bits: dict[tuple[str, int], dict[str, dict[str, float]]] = {}
    for arm in settings.experiment.arms:
        of_arm = settings.model_copy(update={"packing": settings.packing.model_copy(update={"arm": arm})})
        pack_if_needed(of_arm)
        for seed in settings.experiment.seeds:
            training = settings.training.model_copy(update={"seed": seed, "packed_path": ""})
            one = of_arm.model_copy(update={"training": training})
            say(f"arm {arm}, seed {seed}")
            scores[arm, seed] = train_and_score(one)
            bits[arm, seed] = read_bits(run_folder(one))
    options = settings.experiment
    n = settings.translation.n_resamples
    found = compare(base, scores, bits, options.treatment, options.control, n)
    found["token_budget"] = settings.training.token_budget
    found["arm_tokens"] = {arm: _manifest(settings, arm)["n_tokens"] for arm in options.arms}
    write_json(results_path(settings, "experiment.json"), found)
    write_text(results_path(settings, "experiment.md"), markdown_table(found))
    say("wrote", table=results_path(settings, "experiment.md"))


def train_and_score(settings: ModelSettings) -> pa.Table:
    """Scores of the trained model of this arm and seed; nothing is loaded where they are there already."""
    folder = run_folder(settings)
    parts = {
        "model": describe_model(settings.model),
        "packed": _manifest(settings, settings.packing.arm)["files"]["tokens.bin"]["sha256"],
        "training": result_settings(settings.training),
    }
    stamp, final = folder / "finished.json", folder / "final"
    done = json.loads(stamp.read_text(encoding="utf-8")) if stamp.is_file() else {}
    same_run = done.get("run") == fingerprint(parts)
    if (final / "made_by.json").is_file() and not has_weights(final):
        if same_run and _kept(settings, folder) is None:
            say("its weights were not kept and its scores are not of this task: training it again", run=folder)
            same_run = False
        if not same_run:
            shutil.rmtree(final)  # what is not there cannot be a finished run
    if not same_run:
        train(settings)
        write_json(stamp, {"run": fingerprint(parts)})
    table = score_once(settings, folder)
    if not settings.experiment.keep_models:
        for path in final.glob("*.safetensors"):
            path.unlink()
    return table


def has_weights(folder: Path) -> bool:
    """Whether all weight files of a saved model are there."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return (folder / "model.safetensors").is_file()
    names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return all((folder / name).is_file() for name in names)


def base_scores(settings: ModelSettings) -> pa.Table:
    """Scores before training: those of ``evaluate_translation``, which is run where it was not."""
    task, folder = load_task(settings), results_path(settings, "scores")
    kept = kept_scores(folder, made_by(settings), task)
    if kept is not None:
        return kept
    evaluate(settings)
    return pq.read_table(results_path(settings, "scores.parquet"))


def _tied_to(settings: ModelSettings, folder: Path) -> dict[str, str]:
    """What the scores of a run are made from: the task and the trained model."""
    task = task_hash(results_path(settings, "task.jsonl"))
    return {"task": task, "trained": file_sha256(folder / "final" / "made_by.json")}


def _kept(settings: ModelSettings, folder: Path) -> pa.Table | None:
    """A run's scores on this very task, in all directions asked for, where they are there."""
    return kept_scores(folder / "scores", _tied_to(settings, folder), load_task(settings))


def score_once(settings: ModelSettings, folder: Path) -> pa.Table:
    """Scores of the model ``folder/final``, kept in ``folder/scores.parquet`` with what they were made from."""
    path, tied_to, table = folder / "scores.parquet", _tied_to(settings, folder), _kept(settings, folder)
    if table is not None and path.is_file():
        return table
    stamp = folder / "scores" / "_made_by.json"
    if stamp.is_file() and json.loads(stamp.read_text(encoding="utf-8")) != tied_to:
        say("scores of another model or task are replaced", folder=folder)
        shutil.rmtree(folder / "scores")
    if table is None:
        table = _score(settings, folder, tied_to)
    write_scores(table, settings, path)
    return table


def _score(settings: ModelSettings, folder: Path, tied_to: dict[str, str]) -> pa.Table:
    changes = {"path": str(folder / "final"), "gguf_file": "", "revision": ""}
    of_model = settings.model_copy(update={"model": settings.model.model_copy(update=changes)})
    subject = load_task_model(of_model, load_task(settings), settings.translation.batch_size)
    return score_task(subject, Parts(folder / "scores", tied_to))


def read_bits(folder: Path) -> dict[str, dict[str, float]]:
    """Bits per byte before the first step and after the last, from the run's log."""
    lines = (folder / "training.jsonl").read_text(encoding="utf-8").splitlines()
    found = [row["bits_per_byte"] for row in map(json.loads, lines) if "bits_per_byte" in row]
    return {"before": found[0], "after": found[-1]}


def _manifest(settings: ModelSettings, arm: str) -> dict[str, Any]:
    path = results_path(settings, "packed", arm) / "manifest.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def main(argv: Sequence[str] | None = None) -> int:
    """The job; see the module's docstring."""
    return run_job(run, __doc__ or "", argv)


if __name__ == "__main__":
    raise SystemExit(main())
