"""Runs the experiment: trains every arm with every seed, scores before and after, and writes the comparison.

    python -m jobs.gpu.run_experiment --config conf/experiment.toml [--set experiment.seeds=[0,1,2]] [--dry-run]

Packs every arm, trains it for ``training.token_budget`` tokens with every seed, scores the base model and every trained
model on the same task, and writes ``experiment.json`` and ``experiment.md`` under ``results.path``. Finished parts are
not run again: packed files, runs and scores carry their provenance. On several GPUs, train the runs with
``torchrun ... -m jobs.gpu.continue_pretraining`` first; this job then only evaluates.
"""

import json
import shutil
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.framework.log_lines import say
from jobs.gpu.analysis.compare_arms import compare, markdown_table
from jobs.gpu.build_translation_task import load_task
from jobs.gpu.common.files import results_path, write_json, write_text
from jobs.gpu.common.provenance import provenance, read_provenance, to_tree, why_stale
from jobs.gpu.common.result_parts import Parts
from jobs.gpu.common.run_job import run_job
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.continue_pretraining import run_folder, train
from jobs.gpu.evaluate_translation import (
    base_provenance,
    evaluate,
    kept_scores,
    score_task,
    scores_provenance,
    write_scores,
)
from jobs.gpu.pack_dataset import pack_if_needed, packed_folder
from jobs.gpu.packing.packed_file import manifest_provenance, read_manifest
from jobs.gpu.training.training_setup import run_provenance
from jobs.gpu.translation.task_model import load_task_model
from jobs.gpu.translation.translation_task import Task
from pivot_udfs.load_settings import result_settings
from pivot_udfs.provenance import Provenance

VERSION = 1


def run(settings: ModelSettings) -> None:
    """Trains and scores what is not done yet, then writes the comparison."""
    load_task(settings)
    base = base_scores(settings)
    scores: dict[tuple[str, int], pa.Table] = {}
    bits: dict[tuple[str, int], dict[str, dict[str, float]]] = {}
    made_from = {"base scores": base_provenance(settings).fingerprint}
    arm_tokens = {arm: _packed_tokens(one_run(settings, arm)) for arm in settings.experiment.arms}
    for seed in settings.experiment.seeds:  # all arms of a seed first: what is done at any time can be compared
        for arm in settings.experiment.arms:
            say(f"arm {arm}, seed {seed}")
            one = one_run(settings, arm, seed)
            scores[arm, seed] = train_and_score(one)
            bits[arm, seed] = read_bits(run_folder(one))
            made_from[f"run {arm} {seed}"] = made_run(one).fingerprint
    options, n = settings.experiment, settings.translation.n_resamples
    found = compare(base, scores, bits, options.treatment, options.control, n)
    record = provenance("run_experiment", VERSION, result_settings(options), files=made_from)
    found |= {
        "token_budget": settings.training.token_budget,
        "arm_tokens": arm_tokens,
        "provenance": to_tree(record),
    }
    write_json(results_path(settings, "experiment.json"), found)
    write_text(results_path(settings, "experiment.md"), markdown_table(found))
    say("wrote", table=results_path(settings, "experiment.md"))


def one_run(settings: ModelSettings, arm: str, seed: int = 0) -> ModelSettings:
    """The settings of the run of one arm and seed."""
    training = settings.training.model_copy(update={"seed": seed, "packed_path": ""})
    packing = settings.packing.model_copy(update={"arm": arm})
    return settings.model_copy(update={"packing": packing, "training": training})


def _packed_tokens(settings: ModelSettings) -> int:
    """The number of tokens of the arm's packed file, which is packed first unless ``experiment.pack`` forbids it."""
    if settings.experiment.pack:
        pack_if_needed(settings)
    return int(read_manifest(packed_folder(settings))["n_tokens"])


def made_run(settings: ModelSettings) -> Provenance:
    """The provenance of the run of this arm and seed, from its packed file and the base model's files."""
    folder = packed_folder(settings)
    manifest = read_manifest(folder)
    return run_provenance(settings, manifest, manifest_provenance(folder, manifest))


def train_and_score(settings: ModelSettings) -> pa.Table:
    """Scores of the trained model of this arm and seed; it is trained and scored unless that is done already."""
    folder, made_from, task = run_folder(settings), made_run(settings), load_task(settings)
    final, now = folder / "final", scores_provenance(settings, {}, {"model": made_from.fingerprint})
    finished = why_stale(read_provenance(final), made_from) is None
    table = kept_scores(folder / "scores", now, task) if finished else None
    if finished and table is None and not has_weights(final):
        say("its weights were not kept and its scores are of another task: training it again", run=folder)
        shutil.rmtree(final)
        finished = False
    if not finished:
        train(settings)
    if table is None:
        if why_stale(read_provenance(folder / "scores"), now):  # of another task, or of the model before
            shutil.rmtree(folder / "scores", ignore_errors=True)
        table = _score(settings, task, folder, now)
    write_scores(table, settings, folder / "scores.parquet")
    if not settings.experiment.keep_models:
        for path in final.glob("*.safetensors"):
            path.unlink()
    return table


def _score(settings: ModelSettings, task: Task, folder: Path, now: Provenance) -> pa.Table:
    changes = {"path": str(folder / "final"), "gguf_file": "", "revision": ""}
    of_model = settings.model_copy(update={"model": settings.model.model_copy(update=changes)})
    subject = load_task_model(of_model, task, settings.translation.batch_size)
    return score_task(subject, Parts(folder / "scores", now))


def has_weights(folder: Path) -> bool:
    """Whether all weight files of a saved model exist."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return (folder / "model.safetensors").is_file()
    names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return all((folder / name).is_file() for name in names)


def base_scores(settings: ModelSettings) -> pa.Table:
    """Scores before training: those of ``evaluate_translation``, which is run if they are missing."""
    kept = kept_scores(results_path(settings, "scores"), base_provenance(settings), load_task(settings))
    if kept is not None:
        return kept
    evaluate(settings)
    return pq.read_table(results_path(settings, "scores.parquet"))


def read_bits(folder: Path) -> dict[str, dict[str, float]]:
    """Bits per byte before the first step and after the last, from the run's log."""
    lines = (folder / "training.jsonl").read_text(encoding="utf-8").splitlines()
    found = [row["bits_per_byte"] for row in map(json.loads, lines) if "bits_per_byte" in row]
    return {"before": found[0], "after": found[-1]}


main = partial(run_job, run, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
