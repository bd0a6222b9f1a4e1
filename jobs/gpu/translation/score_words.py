"""Scores one direction and one draw of the translation task.

Every distinct source word, tested or distractor, is run once, and all answers scored after it share that pass.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from jobs.framework.messages import say
from jobs.gpu.translation.prompt_runner import PromptRunner
from jobs.gpu.translation.prompts import WordTokens, prompt_head, prompt_tail
from jobs.gpu.translation.translation_task import Task, TaskWord

Result = TypeVar("Result")


def draw_prompts(
    sources: Sequence[str], direction: str, examples: Sequence[tuple[str, str]], tokens: WordTokens
) -> list[list[int]]:
    """Token ids of the prompt of each source word."""
    source, target = direction.split("-")
    head = prompt_head(source, target, examples)
    return tokens.prompts([head + prompt_tail(source, target, word) for word in sources])


def score_draw(
    runner: PromptRunner,
    words: Sequence[TaskWord],
    examples: Sequence[tuple[str, str]],
    tokens: WordTokens,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """P(y | w), and the mean of P(y | w') over the distractors w', of one direction: float64 (words,), 0..1."""
    target, sources = words[0].direction.split("-")[1], _sources(words)
    place = {source: index for index, source in enumerate(sources)}
    cells = [(row, k) for row, word in enumerate(words) for k in range(1 + len(word.distractors))]
    asked = [(words[row].source, *words[row].distractors)[k] for row, k in cells]
    answers = [tokens.answer(target, word.target) for word in words]
    pairs = [(place[source], answers[row]) for source, (row, _) in zip(asked, cells, strict=True)]
    means = runner.mean_log_probabilities(draw_prompts(sources, words[0].direction, examples, tokens), pairs)
    probabilities = np.full((len(words), 1 + max(len(word.distractors) for word in words)), np.nan)
    probabilities[tuple(np.array(cells).T)] = np.exp(means)
    return probabilities[:, 0], np.nanmean(probabilities[:, 1:], axis=1)


def _sources(words: Sequence[TaskWord]) -> list[str]:
    """The distinct source words, tested and distractors."""
    return list(dict.fromkeys(source for word in words for source in (word.source, *word.distractors)))


def longest_sequence(task: Task, tokens: WordTokens) -> int:
    """Number of tokens of the task's longest prompt and its longest answer together."""
    prompt = answer = 0
    for direction, draws in task.examples.items():
        words, target = task.of_direction(direction), direction.split("-")[1]
        for examples in draws:
            prompt = max(prompt, *map(len, draw_prompts(_sources(words), direction, examples, tokens)))
        answer = max(answer, *(len(tokens.answer(target, word.target)) for word in words))
    return prompt + answer


class AdaptiveRunner:
    """Runs work with a ``PromptRunner``; halves the batch size once, for good, when memory runs out."""

    def __init__(self, model: Any, batch_size: int, reuse: bool) -> None:
        self._model, self._reuse = model, reuse
        self._runner, self._halved = PromptRunner(model, batch_size, reuse), False

    def run(self, work: Callable[[PromptRunner], Result]) -> Result:
        """The result of ``work``; at the first out-of-memory error it is tried again with half the batch size."""
        try:
            return work(self._runner)
        except (torch.OutOfMemoryError, MemoryError):
            if self._halved or self._runner.batch_size == 1:
                raise
        self._halve()
        return work(self._runner)

    def _halve(self) -> None:
        size = self._runner.batch_size // 2
        say("out of memory: continuing with half the batch size", batch_size=size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._runner, self._halved = PromptRunner(self._model, size, self._reuse), True
