"""One training run: its data, model and optimizer, the steps, and the files that it writes."""

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from jobs.framework.log_lines import progress_bar, say
from jobs.gpu.common.files import publish, read_provenance, write_provenance
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.continue_pretraining import run_folder
from jobs.gpu.models.load_model import save_model
from jobs.gpu.models.special_tokens import special_id
from jobs.gpu.pack_dataset import packed_folder
from jobs.gpu.packing.packed_file import open_packed
from jobs.gpu.training.checkpoints import (
    RunState,
    list_checkpoints,
    load_checkpoint,
    read_state,
    save_checkpoint,
)
from jobs.gpu.training.held_out_loss import bits_per_byte
from jobs.gpu.training.model_flops_utilization import flops_per_token, mfu
from jobs.gpu.training.training_log import TrainingLog
from jobs.gpu.training.training_loop import StepResult, Trainer
from jobs.gpu.training.training_setup import load_for_training, open_held_out, run_provenance, wrap
from pivot_udfs.provenance import difference
from pivot_udfs.tokenization.backends import load_tokenizer


class TrainingRun:
    """One run: data, model, optimizer, and the files that it writes.

    Raises PackedFileError, ModelError, TokenizerError where packed file, model and tokenizer do not match.
    """

    def __init__(
        self,
        settings: ModelSettings,
        accelerator: Accelerator,
        base: Any = None,
        use: Callable[[Any], None] | None = None,
    ) -> None:
        self.settings, self.folder, options = settings, run_folder(settings), settings.training
        self._base, self._use = base, use
        self._accelerator = accelerator
        self._log = TrainingLog(self.folder / "training.jsonl", self._accelerator.is_main_process)
        self._tokenizer = load_tokenizer(settings.tokenizer.path, "reference")
        start = special_id(self._tokenizer, options.start_token, "training.start_token")
        self.packed = packed = replace(open_packed(packed_folder(settings), self._tokenizer.sha256), start_id=start)
        self.held_out = open_held_out(settings, self._tokenizer, packed)
        self._made_from = run_provenance(settings, packed.manifest, packed.provenance)

    @property
    def finished(self) -> bool:
        """Whether ``final/`` exists and was made by this run."""
        return difference(read_provenance(self.folder / "final"), self._made_from) is None

    def train(self) -> None:
        """Runs the remaining steps, evaluates, and saves.

        Raises CheckpointError where the folder holds checkpoints of another run.
        """
        self._load()
        start = self._resume()
        self._report_epochs()
        self.model.train()
        options, last, saved = self.settings.training, start, 0.0
        bar = progress_bar(
            total=self._trainer.n_steps,
            initial=start,
            desc="training",
            unit="step",
            disable=not self._accelerator.is_main_process,
        )
        if start == 0:
            self._evaluate(0)
        for result in self._trainer.steps(start):
            last = result.step
            self._log_step(result, bar)
            if options.evaluate_every_steps and last % options.evaluate_every_steps == 0:
                self._evaluate(last)
            if options.checkpoint_every_minutes and result.minutes - saved >= options.checkpoint_every_minutes:
                self._save(last)
                saved = result.minutes
        bar.close()
        if not (options.evaluate_every_steps and last % options.evaluate_every_steps == 0):
            self._evaluate(last)
        self._finish()

    def _load(self) -> None:
        settings, options = self.settings, self.settings.training
        model = self._base or load_for_training(settings, self._accelerator.device, self._tokenizer)
        self._flops = flops_per_token(model, options.sequence_length)
        self.model, self._optimizer = wrap(model, options, self._accelerator)
        self._unwrapped = self._accelerator.unwrap_model(self.model)
        self._trainer = Trainer(self.model, self._optimizer, self.packed, options, self._accelerator)

    def _resume(self) -> int:
        """Loads the last checkpoint, if there is one; returns the number of steps done."""
        found = list_checkpoints(self.folder / "checkpoints")
        if not found:
            self._log.truncate(-1)
            return 0
        state = read_state(found[-1], self._made_from)
        load_checkpoint(found[-1], self._unwrapped, self._optimizer.optimizer)
        self._log.truncate(state.step)
        if not self._accelerator.is_main_process:
            return state.step
        if state.processes != self._accelerator.num_processes:
            say(
                "resuming with another number of processes: equal up to rounding, not bit by bit",
                before=state.processes,
                now=self._accelerator.num_processes,
            )
        say("resumed", step=state.step, tokens=state.tokens)
        return state.step

    def _report_epochs(self) -> None:
        """Warns of an arm with fewer tokens than the budget."""
        epochs = self._trainer.epochs(self._trainer.n_steps)
        if epochs > 1 and self._accelerator.is_main_process:
            say(
                "WARNING: the packed file has fewer tokens than the budget and is repeated",
                tokens=len(self.packed.tokens),
                budget=self.settings.training.token_budget,
                epochs=f"{epochs:.2f}",
            )

    def _log_step(self, result: StepResult, bar: Any) -> None:
        tokens = self.settings.training.global_batch_tokens
        rate = tokens / result.seconds
        utilization = mfu(rate, self._flops, self._accelerator.device, self._accelerator.num_processes)
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
        """Logs bits per byte; layers are not compiled, because the shapes differ from those of training."""
        if self.held_out is None:
            return
        compiled = self.settings.training.compile
        with torch.compiler.set_stance("force_eager") if compiled else nullcontext():
            length, batch = self.settings.training.sequence_length, self._trainer.micro_batch
            bits = bits_per_byte(self.model, self.held_out, length, batch, self._accelerator)
        self._log.add({"step": step, "bits_per_byte": bits})
        if self._accelerator.is_main_process:
            say(f"step {step}: bits_per_byte", **{key: f"{value:.4f}" for key, value in bits.items()})

    def _save(self, step: int) -> None:
        tokens = step * self.settings.training.global_batch_tokens
        if self._accelerator.is_main_process:
            state = RunState(step, tokens, self._accelerator.num_processes, self._made_from)
            folder, keep = self.folder / "checkpoints", self.settings.training.keep_checkpoints
            save_checkpoint(folder, self._unwrapped, self._optimizer.optimizer, state, self._tokenizer, keep)
        self._accelerator.wait_for_everyone()

    def _finish(self) -> None:
        """Uses or saves the model, writes ``final/``, whole or not at all; deletes the checkpoints unless they stay."""

        def write(partial: Path) -> None:
            if self._use is None:
                save_model(self._unwrapped, partial, self._tokenizer)
            write_provenance(partial, self._made_from)

        if self._accelerator.is_main_process:
            if self._use is not None:
                self._use(self._unwrapped)
            publish(self.folder / "final", write)
            if self.settings.training.delete_checkpoints:
                shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
            say("finished", model=self.folder / "final")
        self._accelerator.wait_for_everyone()
