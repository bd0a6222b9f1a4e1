"""Builds the word translation task from the lexicon and writes it as a file one can read and reuse.

    python -m jobs.gpu.build_translation_task --config conf/demo-model.toml [--set translation.seed=1]
    [--dry-run]

Writes ``<results.path>/task.jsonl``.
"""

from collections.abc import Sequence

from jobs.gpu.common.errors import TaskError
from jobs.gpu.common.run_job import results_path, run_job, say
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.translation.draw_task import build_task, task_settings
from jobs.gpu.translation.lexicon_concepts import read_concepts
from jobs.gpu.translation.prompts import WordTokens
from jobs.gpu.translation.translation_task import Task, read_task, write_task
from pivot_udfs.errors import TokenizerError
from pivot_udfs.tokenization.backends import load_tokenizer


def build(settings: ModelSettings) -> None:
    """Builds and writes the task, and says how many pairs were left out and why."""
    tokenizer = load_tokenizer(settings.tokenizer.path)
    concepts, lexicon_sha256 = read_concepts(settings.lexicon.path, settings.lexicon.languages)
    tokens = WordTokens(tokenizer, settings.translation.start_token)
    bad = tokens.unencodable(concepts, settings.lexicon.languages)
    if bad:
        shown = ", ".join(f"{language} {word!r}" for language, word in bad[:10])
        raise TokenizerError(
            f"{settings.tokenizer.path} cannot encode {len(bad)} words of {settings.lexicon.path} ({shown}): "
            "take them out of the lexicon, or use a tokenizer that can"
        )
    hashes = {"lexicon_sha256": lexicon_sha256, "tokenizer_sha256": tokenizer.sha256}
    header = {**hashes, "languages": settings.lexicon.languages}
    task = build_task(concepts, settings.directions, tokens, settings.translation, header)
    write_task(task, results_path(settings, "task.jsonl"))
    for direction, reasons in task.header["left_out"].items():
        left_out = {reason.replace(" ", "_"): n for reason, n in reasons.items() if n}
        say(f"task {direction}", words=len(task.of_direction(direction)), **left_out)


def load_task(settings: ModelSettings) -> Task:
    """The directions asked for of the task of these settings, which is built first where there is none yet.

    Raises:
        TaskError: the file was made with another lexicon, tokenizer or setting, or lacks a direction.
    """
    path = results_path(settings, "task.jsonl")
    if not path.is_file():
        build(settings)
    _, lexicon_sha256 = read_concepts(settings.lexicon.path, settings.lexicon.languages)
    hashes = {"lexicon_sha256": lexicon_sha256, "tokenizer_sha256": load_tokenizer(settings.tokenizer.path).sha256}
    made_with = hashes | {"languages": settings.lexicon.languages} | task_settings(settings.translation)
    task = read_task(path, made_with)
    wanted = [f"{source}-{target}" for source, target in settings.directions]
    lacking = [name for name in wanted if name not in task.examples or not task.of_direction(name)]
    if lacking:
        raise TaskError(
            f"{path} has no words of direction {', '.join(lacking)}, only of {', '.join(task.examples)}: run "
            "jobs.gpu.build_translation_task to build it again (its scores and traces must then be made again too), "
            "or take the direction out of translation.directions"
        )
    return task.only(wanted)


def main(argv: Sequence[str] | None = None) -> int:
    """The job; see the module's docstring."""
    return run_job(build, __doc__ or "", argv)


if __name__ == "__main__":
    raise SystemExit(main())
