"""Trains the tuned lens of a model on the held-out part, in minutes for a small model. An interrupted run is resumed.

    python -m jobs.gpu.train_tuned_lens --config conf/demo-model.toml [--set tuned_lens.n_steps=100] [--dry-run]

Reads ``<results.path>/packed/held_out`` (packed if it is missing); writes ``tuned_lens.path``: the translators, their
provenance, and ``divergences.json``: for every layer but the last the divergence from the model's own prediction, with
the logit lens and with the tuned one, on sequences that were not trained on. ``trace.lens = "tuned"`` uses it.
"""

import shutil
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.framework.log_lines import progress_bar, say
from jobs.gpu.common.check_inputs import (
    check_model,
    check_packed_files,
    check_tables,
    check_tokenizer,
    run_checked,
)
from jobs.gpu.common.files import publish, read_provenance, write_json, write_provenance
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.models.model_files import model_hashes, model_settings
from jobs.gpu.models.special_tokens import special_id
from jobs.gpu.models.vocabulary_check import check_vocabulary
from jobs.gpu.pack_dataset import held_out_folder, pack_held_out
from jobs.gpu.packing.packed_file import PackedFile, open_packed
from jobs.gpu.tracing.lens_files import lens_folder
from pivot_udfs.errors import ModelError, PackedFileError
from pivot_udfs.load_settings import result_settings
from pivot_udfs.provenance import Provenance, difference
from pivot_udfs.tokenization.backends import load_tokenizer

if TYPE_CHECKING:
    from jobs.gpu.tracing.train_lens import LensTrainer

VERSION = 2
_STATE, _SAVE_SECONDS = "state.safetensors", 60.0


def train(settings: ModelSettings) -> None:
    """Trains the lens of ``[model]`` and writes it."""
    from jobs.gpu.models.load_model import load_model
    from jobs.gpu.tracing.lenses import save_lens
    from jobs.gpu.tracing.train_lens import LensTrainer

    tokenizer = load_tokenizer(settings.tokenizer.path, "reference")
    if not (held_out_folder(settings) / "manifest.json").is_file():
        pack_held_out(settings, tokenizer)
    start = special_id(tokenizer, settings.training.start_token, "training.start_token")
    packed = replace(open_packed(held_out_folder(settings), tokenizer.sha256), start_id=start)
    made_from, folder = _provenance(settings, packed), lens_folder(settings)
    if difference(read_provenance(folder), made_from) is None:
        say("this lens is trained already", folder=folder)
        return
    if folder.exists() and read_provenance(folder) is None:
        raise ModelError(f"{folder} was not written by this job and would be replaced: set another tuned_lens.path")
    model = load_model(settings.model)
    check_vocabulary(settings.model, model, tokenizer)
    if packed.n_sequences(settings.tuned_lens.sequence_length) < 2:  # one to train on, one to test
        raise PackedFileError(f"{packed.folder} has {len(packed.tokens)} tokens: raise packing.held_out_tokens")
    trainer = LensTrainer(model, packed, settings.tuned_lens)
    state = folder.with_name(f".partial-{folder.name}-state")
    _run(trainer, state, made_from)
    divergences = trainer.divergences()

    def write(partial: Path) -> None:
        save_lens(trainer.lens, partial)
        write_json(partial / "divergences.json", divergences)
        write_provenance(partial, made_from)

    publish(folder, write)
    shutil.rmtree(state, ignore_errors=True)
    logit, tuned = (sum(row[name] for row in divergences) / len(divergences) for name in ("logit", "tuned"))
    say("trained", lens=folder, logit_lens_nats=f"{logit:.2f}", tuned_lens_nats=f"{tuned:.2f}")


def _run(trainer: "LensTrainer", folder: Path, made_from: Provenance) -> None:
    """Runs the remaining steps, and saves their state in ``folder`` now and then."""
    if difference(read_provenance(folder), made_from) is None:
        trainer.load(folder / _STATE)
        say("resumed", step=trainer.step)

    def write(partial: Path) -> None:
        trainer.save(partial / _STATE)
        write_provenance(partial, made_from)

    saved = time.monotonic()
    with progress_bar(trainer.steps(), desc="tuned lens", unit="step") as steps:
        for _ in steps:
            if time.monotonic() - saved >= _SAVE_SECONDS:
                publish(folder, write)
                saved = time.monotonic()


def check(settings: ModelSettings) -> list[str]:
    """The model, and the held-out part, or what it is packed from."""
    found = [*check_tokenizer(settings), *check_model(settings.model)]
    if (held_out_folder(settings) / "manifest.json").is_file():
        return [*found, *check_packed_files(settings, "held_out")]
    return [*found, *check_tables(settings, "documents", with_lexicon=False)]


def _provenance(settings: ModelSettings, packed: PackedFile) -> Provenance:
    used = result_settings(settings.tuned_lens) | model_settings(settings.model)
    used["training.start_token"] = settings.training.start_token
    files = {"packed": str(packed.manifest["file"]["sha256"]), **model_hashes(settings.model)}
    return Provenance("train_tuned_lens", VERSION, used, packed.provenance.tables, files)


main = partial(run_checked, "train_tuned_lens", __doc__, train, check)


if __name__ == "__main__":
    raise SystemExit(main())
