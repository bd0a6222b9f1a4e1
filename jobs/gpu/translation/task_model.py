"""A model that answers the translation task: loaded for a job, or scored while it is being trained."""

from typing import Any, NamedTuple

import torch

from jobs.framework.log_lines import say
from jobs.gpu.build_translation_task import load_task, task_tokens
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.models.load_model import load_model
from jobs.gpu.models.special_tokens import warn_without_start_token
from jobs.gpu.models.vocabulary_check import check_vocabulary
from jobs.gpu.translation.prompt_runner import PromptRunner, reuse_is_exact
from jobs.gpu.translation.prompts import WordTokens
from jobs.gpu.translation.score_words import longest_sequence, score_draw
from jobs.gpu.translation.translation_task import Task
from pivot_udfs.tokenization.backends import TokenizerSpec, load_tokenizer


class TaskModel(NamedTuple):
    """A model in evaluation mode on its device, the task that it answers, and what encodes and runs the prompts."""

    model: Any
    task: Task
    tokens: WordTokens
    runner: PromptRunner


def load_task_model(settings: ModelSettings, task: Task, batch_size: int) -> TaskModel:
    """Loads ``[model]`` and checks it against the tables' tokenizer.

    Warns when the model cannot reuse a prefix, or when the prompts lack the model's start token.

    Raises:
        ModelError, TokenizerError: the model cannot be loaded, or has another vocabulary.
    """
    tokenizer = load_tokenizer(settings.tokenizer.path, "reference")
    model = load_model(settings.model)
    check_vocabulary(settings.model, model, tokenizer)
    start = settings.translation.start_token
    warn_without_start_token(settings.model, settings.tokenizer.path, "translation.start_token", start)
    tokens = task_tokens(settings, tokenizer)
    reuse = settings.translation.prefix_reuse and reuse_is_exact(model, longest_sequence(task, tokens))
    if settings.translation.prefix_reuse and not reuse:
        say("this model cannot reuse the keys and values of a prefix: every prompt is computed in full")
    return TaskModel(model, task, tokens, PromptRunner(model, batch_size, reuse))


class TrainingCheck:
    """Scores a model during training: a few words of each direction, with the first draw of examples."""

    def __init__(self, settings: ModelSettings, tokenizer: TokenizerSpec) -> None:
        self._task = load_task(settings)
        self._tokens = task_tokens(settings, tokenizer)
        self._n_words, self._batch_size = settings.training.evaluate_words, settings.translation.batch_size
        self._reuse: bool | None = None

    def scores(self, model: Any, autocast: Any) -> dict[str, float]:
        """Mean score of each direction, -1..1; the model's training mode is restored afterwards."""
        was_training = model.training
        model.eval()
        with torch.no_grad(), autocast:
            if self._reuse is None:
                self._reuse = reuse_is_exact(model, longest_sequence(self._task, self._tokens))
            runner = PromptRunner(model, self._batch_size, self._reuse)
            scores = {direction: self._mean(runner, direction) for direction in self._task.examples}
        model.train(was_training)
        return scores

    def _mean(self, runner: PromptRunner, direction: str) -> float:
        words = self._task.of_direction(direction)[: self._n_words]
        examples, lead = self._task.examples[direction][0], self._task.leads[direction]
        found = score_draw(runner, words, examples, self._tokens, lead)
        return float((found.p_target - found.p_distractors).mean())
