"""Trains and scores the runs of an experiment in one process: the model is loaded, and its vocabulary checked, once."""

import copy
import gc
import json
import shutil
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.framework.log_lines import say
from jobs.gpu.analysis.contrasts import RunResult
from jobs.gpu.analysis.dose_response import SequenceDoses, concept_patterns
from jobs.gpu.build_translation_task import load_task, task_tokens
from jobs.gpu.common.files import read_provenance, results_path
from jobs.gpu.common.result_parts import Parts
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.continue_pretraining import run_folder, train
from jobs.gpu.evaluate_translation import base_provenance, evaluate, kept_scores, scores_provenance
from jobs.gpu.models.load_model import load_model, pick_device
from jobs.gpu.pack_dataset import packed_folder
from jobs.gpu.packing.packed_file import manifest_provenance, open_packed, read_manifest
from jobs.gpu.training.training_setup import load_for_training, run_provenance
from jobs.gpu.translation.score_task import score_task, write_scores
from jobs.gpu.translation.task_model import TaskModel, load_task_model
from pivot_udfs.provenance import Provenance, difference
from pivot_udfs.tokenization.backends import load_tokenizer


def one_run(settings: ModelSettings, arm: str, seed: int = 0) -> ModelSettings:
    """The settings of the run of one arm and seed."""
    training = settings.training.model_copy(update={"seed": seed})
    packing = settings.packing.model_copy(update={"arm": arm})
    return settings.model_copy(update={"packing": packing, "training": training})


def made_run(settings: ModelSettings) -> Provenance:
    """The provenance of the run of this arm and seed, from its packed file and the base model's files."""
    folder = packed_folder(settings)
    manifest = read_manifest(folder)
    return run_provenance(settings, manifest, manifest_provenance(folder, manifest))


class ScoredRuns:
    """The runs of an experiment, trained and scored on demand; the base model is scored first if that is not done."""

    def __init__(self, settings: ModelSettings) -> None:
        self._settings, self.task = settings, load_task(settings)
        self._tokenizer = load_tokenizer(settings.tokenizer.path, "reference")
        self._doses = lru_cache(maxsize=None)(self._sequence_doses)
        self.base_scores = self._scores_before()

    def result(self, arm: str, seed: int) -> RunResult:
        """What the run of this arm and seed gave; it is trained and scored unless that is done already."""
        settings = one_run(self._settings, arm, seed)
        scores = self.scores_after(settings)
        doses = self._doses(arm).of_run(settings.training) if self.task.pivots else {}
        return RunResult(scores, read_bits(run_folder(settings)), doses)

    @cached_property
    def _subject(self) -> TaskModel:
        """The model that answers the task; its weights are replaced by those of every trained model."""
        return load_task_model(self._settings, self.task, self._settings.translation.batch_size)

    @cached_property
    def _base(self) -> Any:
        """The model that every run begins with, float32."""
        return load_for_training(self._settings, pick_device(self._settings.model.device), self._tokenizer)

    def _scores_before(self) -> pa.Table:
        kept = kept_scores(results_path(self._settings, "scores"), base_provenance(self._settings), self.task)
        if kept is not None:
            return kept
        evaluate(self._settings, self._subject)
        return pq.read_table(results_path(self._settings, "scores.parquet"))

    def scores_after(self, settings: ModelSettings) -> pa.Table:
        """The scores after the run of these settings; it is trained and scored unless that is done already."""
        folder, made_from = run_folder(settings), made_run(settings)
        final, now = folder / "final", scores_provenance(settings, {}, {"model": made_from.fingerprint})
        finished = difference(read_provenance(final), made_from) is None
        table = kept_scores(folder / "scores", now, self.task) if finished else None
        if finished and table is None and not has_weights(final):
            say("its weights were not kept and its scores are of another task: training it again", run=folder)
            shutil.rmtree(final)
            finished = False
        if table is None and difference(read_provenance(folder / "scores"), now):  # of another task or model
            shutil.rmtree(folder / "scores", ignore_errors=True)
        score = partial(self._score, folder=folder, now=now)
        if not finished:
            self._train(settings, score)
            table = kept_scores(folder / "scores", now, self.task)
        if table is None:
            table = score(self._trained(final))
        write_scores(table, settings, folder / "scores.parquet")
        if not settings.experiment.keep_models:  # of runs that another job trained
            for path in final.glob("*.safetensors"):
                path.unlink()
        return table

    def _train(self, settings: ModelSettings, score: Any) -> None:
        train(settings, copy.deepcopy(self._base), None if settings.experiment.keep_models else score)
        gc.collect()  # compiled layers are parts of reference cycles, which would keep the memory of every run

    def _trained(self, final: Path) -> Any:
        changes = {"path": str(final), "gguf_file": "", "revision": ""}
        return load_model(self._settings.model.model_copy(update=changes))

    def _score(self, model: Any, folder: Path, now: Provenance) -> pa.Table:
        """Scores a trained model: exactly as the base model is scored, with its weights."""
        self._subject.model.load_state_dict(model.state_dict())
        return score_task(self._subject, Parts(folder / "scores", now))

    def _sequence_doses(self, arm: str) -> SequenceDoses:
        packed = open_packed(packed_folder(one_run(self._settings, arm)), self._tokenizer.sha256)
        patterns = concept_patterns(self.task, task_tokens(self._settings, self._tokenizer))
        return SequenceDoses(packed, self._settings.training.sequence_length, patterns)


def has_weights(folder: Path) -> bool:
    """Whether all weight files of a saved model exist."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return (folder / "model.safetensors").is_file()
    names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return all((folder / name).is_file() for name in names)


def read_bits(folder: Path) -> dict[str, dict[str, float]]:
    """Bits per byte by language before the first step and after the last, from the run's log; empty if not measured."""
    lines = (folder / "training.jsonl").read_text(encoding="utf-8").splitlines()
    found = [row["bits_per_byte"] for row in map(json.loads, lines) if "bits_per_byte" in row]
    return {"before": found[0] if found else {}, "after": found[-1] if found else {}}
