"""What the jobs of the model side read, looked at before they begin and by ``--dry-run``: it needs no torch.

Each function returns what it found as lines for people, and raises the error of what is missing or does not belong to
the rest.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from jobs.framework.check_paths import check_folder
from jobs.framework.command_line import run_command
from jobs.framework.log_lines import clean
from jobs.gpu.common.files import results_path
from jobs.gpu.common.read_tables import check_files, open_table
from jobs.gpu.common.settings import Model, ModelSettings
from jobs.gpu.models.model_files import find_files, resolve_path
from jobs.gpu.packing.packed_file import check_packed
from jobs.gpu.translation.lexicon_concepts import read_concepts
from pivot_udfs.tokenization.backends import tokenizer_sha256


def run_checked(
    name: str,
    description: str | None,
    run: Callable[[ModelSettings], object],
    check: Callable[[ModelSettings], list[str]],
    argv: list[str] | None = None,
    reads_release: bool = False,
) -> int:
    """``run_command`` of a job of the model side: ``check`` comes before the work, and is all that a dry run does."""

    def checked(settings: ModelSettings) -> list[str]:
        check_folder(settings.results.path, key="results.path")
        return check(settings)

    def plan(settings: ModelSettings) -> None:
        for line in checked(settings):
            sys.stdout.write(clean(f"reads {line}") + "\n")

    def work(settings: ModelSettings) -> None:
        checked(settings)
        run(settings)

    return run_command(name, description, ModelSettings, work, argv, plan, reads_release=reads_release)


def check_tokenizer(settings: ModelSettings) -> list[str]:
    """The tokenizer; raises TokenizerError where it cannot be read."""
    tokenizer_sha256(settings.tokenizer.path)
    return [f"tokenizer {settings.tokenizer.path}"]


def check_lexicon(settings: ModelSettings) -> list[str]:
    """The lexicon; raises LexiconError where it cannot be read, or lacks a language."""
    concepts, _ = read_concepts(settings.lexicon.path, settings.lexicon.languages)
    return [f"lexicon {settings.lexicon.path}: {len(concepts):,} concepts"]


def check_tables(settings: ModelSettings, *names: str, with_lexicon: bool = True) -> list[str]:
    """Tables of the release, made with the tokenizer and, ``with_lexicon``, the lexicon of the settings.

    Raises WarehouseError, TokenizerError, LexiconError.
    """
    tokenizer, lexicon = tokenizer_sha256(settings.tokenizer.path), None
    if with_lexicon:
        _, lexicon = read_concepts(settings.lexicon.path, settings.lexicon.languages)
    tables = [open_table(settings.warehouse.path, name, settings.warehouse.release) for name in names]
    for table in tables:
        check_files(table, tokenizer, lexicon)
    return [f"table {table.location}, version {table.version}" for table in tables]


def check_model(model: Model) -> list[str]:
    """The files of a model; raises ModelError. One on the hub is not asked for, which takes long."""
    path = resolve_path(model.path)
    if not path.startswith((".", "/")) and not Path(path).exists():
        return [f"model {path} from the hub, as there is no such folder; not looked for yet"]
    return [f"model {find_files(model).path}"]


def check_packed_files(settings: ModelSettings, *parts: str) -> list[str]:
    """Packed files of arms, or ``held_out``; raises PackedFileError. Their bytes are not hashed."""
    tokenizer = tokenizer_sha256(settings.tokenizer.path)
    return [f"packed file {check_packed(results_path(settings, 'packed', part), tokenizer)}" for part in parts]
