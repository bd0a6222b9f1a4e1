"""A model made ready for the translation task: loaded, its vocabulary checked, its prompts' tokens, its batches."""

from dataclasses import dataclass
from typing import Any

from jobs.gpu.common.run_job import say
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.models.load_model import check_vocabulary, load_model
from jobs.gpu.models.model_files import start_token
from jobs.gpu.translation.prompt_runner import reuse_is_exact
from jobs.gpu.translation.score_words import Batches, longest_sequence
from jobs.gpu.translation.task_words import WordTokens
from jobs.gpu.translation.translation_task import Task
from pivot_udfs.tokenization.backends import load_tokenizer


@dataclass(frozen=True)
class TaskModel:
    """A model and the task it is asked.

    Attributes:
        model: in evaluation mode on its device.
        task: with the directions asked for.
        tokens: what prompts and answers are encoded with.
        batches: runs work on the model, as large as memory lets it.
    """

    model: Any
    task: Task
    tokens: WordTokens
    batches: Batches


def load_task_model(settings: ModelSettings, task: Task, batch_size: int) -> TaskModel:
    """``[model]``, checked against the tables' tokenizer; says where it cannot reuse a prefix or lacks a start token.

    Raises:
        ModelError, TokenizerError: it cannot be loaded, or its vocabulary is another one.
    """
    tokenizer = load_tokenizer(settings.tokenizer.path)
    model = load_model(settings.model)
    check_vocabulary(settings.model, model, tokenizer)
    _warn_of_start_token(settings)
    tokens = WordTokens(tokenizer, settings.translation.start_token)
    reuse = settings.translation.prefix_reuse and reuse_is_exact(model, longest_sequence(task, tokens))
    if settings.translation.prefix_reuse and not reuse:
        say("this model cannot reuse a prefix's keys and values: every prompt is computed whole")
    return TaskModel(model, task, tokens, Batches(model, batch_size, reuse))


def _warn_of_start_token(settings: ModelSettings) -> None:
    """A model that never saw a text without its start token scores near nothing without one (Gemma)."""
    added = start_token(settings.model, settings.tokenizer.path)
    if added and not settings.translation.start_token:
        say(
            f"WARNING: this model's own tokenizer begins every text with {added!r}, but translation.start_token is "
            f"empty: scores and traces may mean nothing; set translation.start_token = {added!r} and build the task "
            "again, or go on if the model was also trained without it"
        )
