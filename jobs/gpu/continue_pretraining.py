"""Continued pretraining from any checkpoint on a packed file; resumes by itself, exactly.

On GPUs exactly means bit by bit with ``training.deterministic = true``, and up to rounding without.

    python -m jobs.gpu.continue_pretraining --config conf/olmo-1b.toml [--set training.seed=1] [--dry-run]
    torchrun --nproc-per-node 8 -m jobs.gpu.continue_pretraining --config conf/olmo-1b.toml --set training.fsdp=true

Reads ``<results.path>/packed/<arm>`` and ``packed/held_out``; writes ``<results.path>/runs/<arm>-seed<n>/``:
checkpoints (Hugging Face safetensors and the full training state), ``training.jsonl`` (a line a step and an
evaluation), and at the end ``final/``, a model like any other.
"""

import json
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from tqdm import tqdm

from jobs.gpu.common.processes import processes_of, started_accelerator
from jobs.gpu.common.run_job import results_path, run_job, say
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.models.load_model import pick_device, save_model
from jobs.gpu.pack_dataset import packed_folder
from jobs.gpu.packing.packed_file import PackedFile, open_packed, sync_folder
from jobs.gpu.training.checkpoints import (
    RunState,
    list_checkpoints,
    load_checkpoint,
    read_state,
    save_checkpoint,
    sync_names,
    whole_weights,
)
from jobs.gpu.training.held_out_loss import Bits, bits_per_byte, measured_once
from jobs.gpu.training.model_flops_utilization import flops_per_token, mfu
from jobs.gpu.training.training_log import TrainingLog
from jobs.gpu.training.training_loop import StepResult, Trainer
from jobs.gpu.training.training_setup import deterministic, identity, load_for_training, open_held_out, wrap
from jobs.gpu.translation.task_model import TrainingCheck
from pivot_udfs.load_settings import fingerprint
from pivot_udfs.tokenization.backends import load_tokenizer


def train(settings: ModelSettings) -> None:
    """Trains ``[model]`` on the packed file of ``packing.arm`` under ``[training]``."""
    device, options = pick_device(settings.model.device), settings.training
    with deterministic(options.deterministic), started_accelerator(device, options) as accelerator:
        _train(settings, accelerator)


def _train(settings: ModelSettings, accelerator: Accelerator) -> None:
    run = TrainingRun(settings, accelerator)
    if run.finished:
        say("this run is finished already", folder=run.folder)
    else:
        run.train()


def run_folder(settings: ModelSettings) -> Path:
    """Where a run's files lie."""
    return results_path(settings, "runs", f"{settings.packing.arm}-seed{settings.training.seed}")


class TrainingRun:
    """One run: model, data, optimizer, and the files it leaves.

    Args:
        settings: of the run.
        accelerator: says which process this is.

    Raises:
        PackedFileError, ModelError, TokenizerError: what the run is made from does not fit together.
        CheckpointError: the folder holds another run's checkpoints.
    """

    def __init__(self, settings: ModelSettings, accelerator: Accelerator) -> None:
        self.settings, self.folder, options = settings, run_folder(settings), settings.training
        self._accelerator, self.processes = accelerator, processes_of(accelerator)
        self._log = TrainingLog(self.folder / "training.jsonl", self.processes.first)
        self._tokenizer = load_tokenizer(settings.tokenizer.path)
        folder = Path(options.packed_path) if options.packed_path else packed_folder(settings)
        self.packed = open_packed(folder, self._tokenizer.sha256)
        self.held_out = open_held_out(settings, self._tokenizer, self.packed)
        model = load_for_training(settings, accelerator, self._tokenizer)
        self._made_by = self.processes.from_first(lambda: identity(settings, model, self.packed))
        self._flops = flops_per_token(model, options.sequence_length)
        self.model, self._optimizer = wrap(model, options, accelerator)
        self._trainer = Trainer(self.model, self._optimizer, self.packed, options, accelerator)
        words = options.evaluate_words
        self._check = TrainingCheck(settings, self._tokenizer, self.processes) if words else None

    @property
    def finished(self) -> bool:
        """Whether ``final/`` is there, made by this very run."""
        return self.processes.from_first(self._finished)

    def _finished(self) -> bool:
        stamp = self.folder / "final" / "made_by.json"
        return stamp.is_file() and json.loads(stamp.read_text()) == json.loads(json.dumps(self._made_by))

    def train(self) -> None:
        """Runs all steps that are not done yet, evaluates, saves."""
        start = self._resume()
        self._say_epochs()
        self.model.train()
        options, last = self.settings.training, start
        bar = tqdm(
            total=self._trainer.n_steps, initial=start, desc="training", unit="step", disable=not self.processes.first
        )
        if start == 0:
            self._evaluate(0)
        for result in self._trainer.steps(start):
            last = result.step
            self._log_step(result, bar)
            if options.evaluate_every_steps and last % options.evaluate_every_steps == 0:
                self._evaluate(last)
            if options.checkpoint_every_steps and last % options.checkpoint_every_steps == 0:
                self._save(last)
        bar.close()
        if not (options.evaluate_every_steps and last % options.evaluate_every_steps == 0):
            self._evaluate(last)
        self._finish()

    def _resume(self) -> int:
        found = self.processes.from_first(self._last_checkpoint)
        if found is None:
            self._log.cut(-1)
            return 0
        checkpoint, state = found
        load_checkpoint(checkpoint, self.model, self._optimizer, self._accelerator)
        self._log.cut(state.step)
        if not self.processes.first:
            return state.step
        if state.processes != self.processes.count:
            say(
                "resuming with another number of processes: equal up to rounding, not bit by bit",
                then=state.processes,
                now=self.processes.count,
            )
        say("resumed", step=state.step, tokens=state.tokens)
        return state.step

    def _last_checkpoint(self) -> tuple[Path, RunState] | None:
        found = list_checkpoints(self.folder / "checkpoints")
        return (found[-1], read_state(found[-1], self._made_by)) if found else None

    def _say_epochs(self) -> None:
        """An arm with fewer tokens than the budget is gone through several times: that is no secret."""
        epochs = self._trainer.epochs(self._trainer.n_steps)
        if epochs > 1 and self.processes.first:
            say(
                "warning: the packed file holds fewer tokens than the budget and is repeated",
                tokens=len(self.packed.tokens),
                budget=self.settings.training.token_budget,
                epochs=f"{epochs:.2f}",
            )

    def _log_step(self, result: StepResult, bar: Any) -> None:
        tokens = self.settings.training.global_batch_tokens
        rate = tokens / result.seconds
        utilization = mfu(rate, self._flops, self.processes.device, self.processes.count)
        row: dict[str, Any] = {
            "step": result.step,
            "tokens": result.step * tokens,
            "epoch": round(self._trainer.epochs(result.step), 6),
            "loss": result.loss,
            "tokens_per_s": rate,
            "mfu": utilization,
            "gradient_norm": result.gradient_norm,
            "learning_rate": result.learning_rate,
        }
        self._log.add(row)
        shown = {"loss": f"{result.loss:.4f}", "tokens/s": f"{rate:,.0f}"}
        bar.set_postfix(shown | ({"MFU": f"{utilization:.1%}"} if utilization is not None else {}))
        bar.update()

    def _evaluate(self, step: int) -> None:
        """Scores and bits per byte, the layers not compiled: their shapes are others than those of training."""
        compiled = self.settings.training.compile
        with torch.compiler.set_stance("force_eager") if compiled else nullcontext():
            if self._check is not None:
                model = self._accelerator.unwrap_model(self.model)
                self._tell(step, "translation", self._check.scores(model, self._accelerator.autocast()))
            if self.held_out is not None:
                self._tell(step, "bits_per_byte", (self._bits if step else self._base_bits)(self.held_out))

    def _tell(self, step: int, name: str, found: Bits) -> None:
        self._log.add({"step": step, name: found})
        if self.processes.first:
            say(f"step {step}: {name}", **{key: f"{value:.4f}" for key, value in found.items()})

    def _base_bits(self, held_out: PackedFile) -> Bits:
        """Bits per byte before the first step: every run from this model starts with them, so they are kept."""
        options = self.settings.training
        depends_on = {"weights": self._made_by["model_weights_sha256"], "held_out": held_out.manifest}
        depends_on |= {"sequence_length": options.sequence_length, "precision": self._accelerator.mixed_precision}
        kept = results_path(self.settings, "base_bits_per_byte.json")
        return measured_once(kept, fingerprint(depends_on), self.processes, lambda: self._bits(held_out))

    def _bits(self, held_out: PackedFile) -> Bits:
        length, batch = self.settings.training.sequence_length, self._trainer.micro_batch
        context = self._accelerator.autocast()
        return bits_per_byte(self.model, held_out, length, batch, self.processes, context)

    def _save(self, step: int) -> None:
        tokens = step * self.settings.training.global_batch_tokens
        state = RunState(step, tokens, self._made_by, self.processes.count)
        folder, keep = self.folder / "checkpoints", self.settings.training.keep_checkpoints
        save_checkpoint(folder, self.model, self._optimizer, state, self._tokenizer, keep, self._accelerator)
        self.processes.wait()

    def _finish(self) -> None:
        """Writes ``final/`` whole or not at all; the training state is no longer needed then."""
        weights = whole_weights(self.model)
        if self.processes.first:
            partial, final = self.folder / ".partial-final", self.folder / "final"
            shutil.rmtree(partial, ignore_errors=True)
            save_model(self._accelerator.unwrap_model(self.model), partial, self._tokenizer, weights)
            (partial / "made_by.json").write_text(json.dumps(self._made_by, indent=1))
            sync_folder(partial)
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            sync_names(self.folder)
            shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
            say("finished", model=final)
        self.processes.wait()


def main(argv: Sequence[str] | None = None) -> int:
    """The job; see the module's docstring."""
    return run_job(train, __doc__ or "", argv)


if __name__ == "__main__":
    raise SystemExit(main())
