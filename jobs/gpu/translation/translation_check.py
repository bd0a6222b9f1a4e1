"""The translation task in the middle of training: a few words of each direction, the first draw of examples."""

from typing import Any

import torch

from jobs.gpu.build_translation_task import load_task
from jobs.gpu.common.processes import Processes
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.translation.prompt_runner import PromptRunner, reuse_is_exact
from jobs.gpu.translation.score_words import longest_sequence, score_draw
from jobs.gpu.translation.task_words import WordTokens
from jobs.gpu.translation.translation_task import Task
from pivot_udfs.tokenization.backends import TokenizerSpec


class TranslationCheck:
    """Scores a model that is being trained; every process computes the same, as sharded models need.

    Args:
        settings: of the run; ``training.evaluate_words`` words of each direction are scored.
        tokenizer: the tables' tokenizer.
        processes: the first one reads the task, or builds it where there is none yet, for all.
    """

    def __init__(self, settings: ModelSettings, tokenizer: TokenizerSpec, processes: Processes) -> None:
        self._task: Task = processes.from_first(lambda: load_task(settings))
        self._tokens = WordTokens(tokenizer, settings.translation.start_token)
        self._n_words, self._batch_size = settings.training.evaluate_words, settings.translation.batch_size
        self._reuse: bool | None = None

    def scores(self, model: Any, autocast: Any) -> dict[str, float]:
        """Mean score of each direction, -1..1; the model's mode is left as it was."""
        was_training = model.training
        model.eval()
        with torch.no_grad(), autocast:
            if self._reuse is None:
                self._reuse = reuse_is_exact(model, longest_sequence(self._task, self._tokens))
            runner = PromptRunner(model, self._batch_size, self._reuse)
            found = {direction: self._mean(runner, direction) for direction in self._task.examples}
        model.train(was_training)
        return found

    def _mean(self, runner: PromptRunner, direction: str) -> float:
        words = self._task.of_direction(direction)[: self._n_words]
        true, false = score_draw(runner, words, self._task.examples[direction][0], self._tokens)
        return float((true - false).mean())
