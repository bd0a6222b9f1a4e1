"""Loads a model that answers the translation task."""

from typing import Any, NamedTuple

from jobs.framework.log_lines import say
from jobs.gpu.build_translation_task import task_tokens
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.models.load_model import load_model
from jobs.gpu.models.special_tokens import warn_without_start_token
from jobs.gpu.models.vocabulary_check import check_vocabulary
from jobs.gpu.translation.prompt_runner import PromptRunner, reuse_is_exact
from jobs.gpu.translation.score_words import longest_sequence
from jobs.gpu.translation.translation_task import Task
from jobs.gpu.translation.word_tokens import WordTokens
from pivot_udfs.tokenization.backends import load_tokenizer


class TaskModel(NamedTuple):
    """A model in evaluation mode on its device, the task that it answers, and what encodes and runs the prompts."""

    model: Any
    task: Task
    tokens: WordTokens
    runner: PromptRunner


def load_task_model(settings: ModelSettings, task: Task, batch_size: int) -> TaskModel:
    """Loads ``[model]`` and checks it against the tables' tokenizer.

    Warns when the model cannot reuse a prefix, or when the prompts lack the model's start token. Raises ModelError,
    TokenizerError where the model cannot be loaded, or has another vocabulary.
    """
    tokenizer = load_tokenizer(settings.tokenizer.path, "reference")
    model = load_model(settings.model)
    check_vocabulary(settings.model, model, tokenizer)
    start = settings.translation.start_token
    warn_without_start_token(settings.model, settings.tokenizer.path, "translation.start_token", start)
    tokens = task_tokens(settings, tokenizer)
    reuse = reuse_is_exact(model, longest_sequence(task, tokens))
    if not reuse:
        say("this model cannot reuse the keys and values of a prefix: every prompt is computed in full")
    return TaskModel(model, task, tokens, PromptRunner(model, batch_size, reuse))
