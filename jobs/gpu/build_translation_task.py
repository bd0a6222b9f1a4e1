"""Builds the word translation task from the lexicon and writes it as a file that can be read, edited and reused.

    python -m jobs.gpu.build_translation_task --config conf/demo-model.toml [--set translation.seed=1]
    [--dry-run]

Writes ``<results.path>/task.jsonl``. Reads the table ``pair_pivots`` with ``translation.with_pivots``.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from jobs.framework.log_lines import say
from jobs.gpu.common.check_inputs import check_lexicon, check_tables, check_tokenizer, run_checked
from jobs.gpu.common.files import results_path
from jobs.gpu.common.read_tables import PinnedTable, check_files, open_table
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.translation.corpus_counts import read_concept_pivots
from jobs.gpu.translation.draw_task import draw_task
from jobs.gpu.translation.lexicon_concepts import read_concepts
from jobs.gpu.translation.translation_task import Task, read_task, task_sha256, write_task
from jobs.gpu.translation.word_tokens import WordTokens
from pivot_udfs.errors import TaskError, TokenizerError
from pivot_udfs.load_settings import result_settings
from pivot_udfs.matching.concept_halves import concept_halves
from pivot_udfs.provenance import Provenance
from pivot_udfs.tokenization.backends import TokenizerSpec, load_tokenizer, tokenizer_sha256

VERSION = 3
_NOT_COMPARED = ("translation.directions", "translation.n_resamples")
"""Settings that do not change the words of a direction."""


def build(settings: ModelSettings) -> None:
    """Builds and writes the task; reports how many pairs were left out and why."""
    concepts, lexicon_sha256 = read_concepts(settings.lexicon.path, settings.lexicon.languages)
    tokenizer = load_tokenizer(settings.tokenizer.path, "reference")
    tokens = task_tokens(settings, tokenizer)
    bad = tokens.unencodable(concepts, settings.lexicon.languages)
    if bad:
        shown = ", ".join(f"{language} {word!r}" for language, word in bad[:10])
        raise TokenizerError(
            f"{settings.tokenizer.path} cannot encode {len(bad)} words of {settings.lexicon.path} ({shown}): "
            "remove them from the lexicon, or use another tokenizer"
        )
    draw = partial(draw_task, concepts, settings.directions, tokens, settings.translation)
    record = _provenance(settings, lexicon_sha256, tokenizer.sha256)
    if settings.translation.with_pivots:
        table = open_table(settings.warehouse.path, "pair_pivots", settings.warehouse.release)
        check_files(table, tokenizer.sha256, lexicon_sha256)
        task = draw(replace(record, tables={table.name: table.rows}), read_concept_pivots(table))
        task = replace(task, half_a=_half_a(table, list(task.pivots)))
    else:
        task = draw(record)
    write_task(task, results_path(settings, "task.jsonl"))
    for direction, reasons in task.left_out.items():
        left_out = {reason.replace(" ", "_"): n for reason, n in reasons.items() if n}
        lead = "".join(tokens.texts[token] for token in task.leads[direction])
        say(f"task {direction}", words=len(task.of_direction(direction)), lead=repr(lead), **left_out)


def _half_a(pivots: PinnedTable, concepts: list[int]) -> frozenset[int]:
    """The concepts of half A in the split that the tables were made with."""
    seed = pivots.provenance.settings.get("pivots.half_seed", 0) if pivots.provenance else 0
    return frozenset(np.array(concepts)[concept_halves(concepts, int(seed))].tolist())


def _provenance(settings: ModelSettings, lexicon: str, tokenizer: str) -> Provenance:
    shaping = {k: v for k, v in result_settings(settings.translation).items() if k not in _NOT_COMPARED}
    shaping["lexicon.languages"] = settings.lexicon.languages
    files = {"lexicon": lexicon, "tokenizer": tokenizer}
    return Provenance("build_translation_task", VERSION, shaping, files=files)


def task_tokens(settings: ModelSettings, tokenizer: TokenizerSpec) -> WordTokens:
    """Encodes prompts and answers as ``[translation]`` writes them."""
    return WordTokens(tokenizer, settings.translation.start_token, settings.translation.prompt)


def task_identity(settings: ModelSettings) -> tuple[dict[str, Any], dict[str, str]]:
    """The settings and the file hash that identify the task and its prompts in the provenance of results."""
    names = ("prompt", "start_token")
    used = {f"translation.{name}": getattr(settings.translation, name) for name in names}
    return used, {"task": task_sha256(results_path(settings, "task.jsonl"))}


def load_task(settings: ModelSettings) -> Task:
    """The task of these settings, restricted to their directions; it is built first if it is missing.

    Raises TaskError where the file was made with another lexicon, tokenizer or setting, or lacks a direction.
    """
    path = results_path(settings, "task.jsonl")
    if not path.is_file():
        build(settings)
    _, lexicon_sha256 = read_concepts(settings.lexicon.path, settings.lexicon.languages)
    task = read_task(path, _provenance(settings, lexicon_sha256, tokenizer_sha256(settings.tokenizer.path)))
    wanted = [f"{source}-{target}" for source, target in settings.directions]
    missing = [name for name in wanted if name not in task.examples or not task.of_direction(name)]
    if missing:
        raise TaskError(
            f"{path} has no words of direction {', '.join(missing)}, only of {', '.join(task.examples)}: run "
            "jobs.gpu.build_translation_task to build it again (scores and traces of it must then be made again too), "
            "or remove the direction from translation.directions"
        )
    return task.only(wanted)


def check(settings: ModelSettings) -> list[str]:
    """What ``build`` reads."""
    tables = check_tables(settings, "pair_pivots") if settings.translation.with_pivots else []
    return [*check_tokenizer(settings), *check_lexicon(settings), *tables]


def check_task(settings: ModelSettings) -> list[str]:
    """The task, as ``load_task`` reads it, or what it is built from."""
    path = results_path(settings, "task.jsonl")
    if not path.is_file():
        return check(settings)
    load_task(settings)
    return [f"task {path}"]


main = partial(run_checked, "build_translation_task", __doc__, build, check, reads_release=True)


if __name__ == "__main__":
    raise SystemExit(main())
