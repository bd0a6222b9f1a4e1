"""Continued pretraining from any checkpoint on a packed file; resumes by itself, exactly.

    python -m jobs.gpu.continue_pretraining --config conf/olmo-1b.toml [--set training.seed=1] [--dry-run]
    torchrun --nproc-per-node 8 -m jobs.gpu.continue_pretraining --config conf/olmo-1b.toml --set training.fsdp=true

Reads ``<results.path>/packed/<arm>`` and ``packed/held_out``; writes ``<results.path>/runs/<arm>-seed<n>/``:
checkpoints (Hugging Face safetensors and the full training state), ``training.jsonl`` (a line a step and an
evaluation), and at the end ``final/``, a model like any other.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from tqdm import tqdm

from jobs.gpu.checkpoints import (
    RunState,
    list_checkpoints,
    load_checkpoint,
    read_state,
    save_checkpoint,
    sync_names,
    unwrapped,
    write_model,
)
from jobs.gpu.device_speed import flops_per_token, flops_use
from jobs.gpu.held_out_loss import bits_per_byte
from jobs.gpu.load_model import pick_device, pick_dtype
from jobs.gpu.pack_dataset import packed_folder
from jobs.gpu.packed_file import open_packed, sync_folder
from jobs.gpu.processes import Processes, started_processes
from jobs.gpu.run_job import results_path, run_job, say
from jobs.gpu.settings import ModelSettings
from jobs.gpu.training_loop import StepResult, Trainer, make_optimizer
from jobs.gpu.training_setup import identity, load_for_training, open_held_out, wrap
from jobs.gpu.translation_check import TranslationCheck
from pivot_udfs.tokenizer_backends import load_tokenizer


def train(settings: ModelSettings) -> None:
    """Trains ``[model]`` on the packed file of ``packing.arm`` under ``[training]``."""
    with started_processes(pick_device(settings.model.device)) as processes:
        run = TrainingRun(settings, processes)
        if run.finished:
            say("this run is finished already", folder=run.folder)
            return
        run.train()


def run_folder(settings: ModelSettings) -> Path:
    """Where a run's files lie."""
    return results_path(settings, "runs", f"{settings.packing.arm}-seed{settings.training.seed}")


class TrainingRun:
    """One run: model, data, optimizer, and the files it leaves.

    Args:
        settings: of the run.
        processes: this process among all.

    Raises:
        PackedFileError, ModelError, TokenizerError: what the run is made from does not fit together.
        CheckpointError: the folder holds another run's checkpoints.
    """

    def __init__(self, settings: ModelSettings, processes: Processes) -> None:
        self.settings, self.processes, self.folder = settings, processes, run_folder(settings)
        self._tokenizer = load_tokenizer(settings.tokenizer.path)
        packed = settings.training.packed_path
        self.packed = open_packed(Path(packed) if packed else packed_folder(settings), self._tokenizer.sha256)
        self.held_out = open_held_out(settings, self._tokenizer, self.packed)
        self._model = load_for_training(settings, processes, self._tokenizer)
        self._made_by = identity(settings, self._model, self.packed)
        self._flops = flops_per_token(self._model, settings.training.sequence_length)
        wrapped = wrap(self._model, settings, processes)
        self._optimizer = make_optimizer(wrapped, settings.training)
        self.precision = pick_dtype(settings.training.precision, processes.device)
        self._trainer = Trainer(wrapped, self._optimizer, self.packed, settings.training, processes, self.precision)
        self._wrapped = wrapped
        words = settings.training.evaluate_words
        self._check = TranslationCheck(settings, self._tokenizer) if words else None

    @property
    def finished(self) -> bool:
        """Whether ``final/`` is there, made by this very run."""
        stamp = self.folder / "final" / "made_by.json"
        return stamp.is_file() and json.loads(stamp.read_text()) == json.loads(json.dumps(self._made_by))

    def train(self) -> None:
        """Runs all steps that are not done yet, evaluates, saves."""
        start = self._resume()
        self._wrapped.train()
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
        found = list_checkpoints(self.folder / "checkpoints")
        if not found:
            if self.processes.first:
                self._cut_log(-1)
            return 0
        state = read_state(found[-1], self._made_by)
        load_checkpoint(found[-1], self._wrapped, self._optimizer)
        if state.processes != self.processes.count:
            say(
                "resuming with another number of processes: equal up to rounding, not bit by bit",
                then=state.processes,
                now=self.processes.count,
            )
        if self.processes.first:
            self._cut_log(state.step)
            say("resumed", step=state.step, tokens=state.tokens)
        return state.step

    def _cut_log(self, step: int) -> None:
        """Drops lines of steps that will be run again."""
        path = self.folder / "training.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def _log(self, row: dict[str, Any]) -> None:
        if self.processes.first:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "training.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def _log_step(self, result: StepResult, bar: Any) -> None:
        tokens = self.settings.training.global_batch_tokens
        rate = tokens / result.seconds
        use = flops_use(rate, self._flops, self.processes.device, self.processes.count)
        row: dict[str, Any] = {
            "step": result.step,
            "tokens": result.step * tokens,
            "loss": result.loss,
            "tokens_per_s": rate,
            "flops_use": use,
            "gradient_norm": result.gradient_norm,
            "learning_rate": result.learning_rate,
        }
        self._log(row)
        shown = {"loss": f"{result.loss:.4f}", "tokens/s": f"{rate:,.0f}"}
        bar.set_postfix(shown | ({"FLOPs use": f"{use:.1%}"} if use is not None else {}))
        bar.update()

    def _evaluate(self, step: int) -> None:
        if self._check is not None:
            scores = self._check.scores(unwrapped(self._wrapped), self._trainer.autocast())
            self._log({"step": step, "translation": scores})
            if self.processes.first:
                say(f"step {step}: translation", **{name: f"{value:.4f}" for name, value in scores.items()})
        if self.held_out is None:
            return
        options = self.settings.training
        found = bits_per_byte(
            self._wrapped,
            self.held_out,
            options.sequence_length,
            self._trainer.micro_batch,
            self.processes,
            self._trainer.autocast(),
        )
        self._log({"step": step, "bits_per_byte": found})
        if self.processes.first:
            say(f"step {step}: held-out bits per byte", **{name: f"{value:.4f}" for name, value in found.items()})

    def _save(self, step: int) -> None:
        tokens = step * self.settings.training.global_batch_tokens
        state = RunState(step, tokens, self._made_by, self.processes.count)
        folder, keep = self.folder / "checkpoints", self.settings.training.keep_checkpoints
        save_checkpoint(folder, self._wrapped, self._optimizer, state, self._tokenizer, keep, self.processes.first)
        self.processes.wait()

    def _finish(self) -> None:
        """Writes ``final/`` whole or not at all; the training state is no longer needed then."""
        whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
        weights = get_model_state_dict(self._wrapped, options=whole)
        if self.processes.first:
            partial, final = self.folder / ".partial-final", self.folder / "final"
            shutil.rmtree(partial, ignore_errors=True)
            write_model(partial, self._wrapped, weights, self._tokenizer)
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
