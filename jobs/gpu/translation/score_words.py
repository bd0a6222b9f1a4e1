"""Scores one direction and draw of the translation task.

Every distinct source word, tested or distracting, is run once; all answers asked of it hang on that one pass.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from jobs.gpu.common.run_job import say
from jobs.gpu.translation.prompt_runner import PromptRunner
from jobs.gpu.translation.task_words import WordTokens, prompt_head, prompt_tail
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
    """P(y | w) and the mean of P(y | w') over distractors, each float64 (words,), 0..1.

    Args:
        runner: the model.
        words: tested pairs of one direction.
        examples: the draw's examples.
        tokens: of the tables' tokenizer.
    """
    target = words[0].direction.split("-")[1]
    sources = list(dict.fromkeys(source for word in words for source in (word.source, *word.distractors)))
    place = {source: index for index, source in enumerate(sources)}
    cells = [(row, k) for row, word in enumerate(words) for k in range(1 + len(word.distractors))]
    asked = [(words[row].source, *words[row].distractors)[k] for row, k in cells]
    answers = [tokens.answer(target, word.target) for word in words]
    pairs = [(place[source], answers[row]) for source, (row, _) in zip(asked, cells, strict=True)]
    means = runner.means(draw_prompts(sources, words[0].direction, examples, tokens), pairs)
    found = np.full((len(words), 1 + max(len(word.distractors) for word in words)), np.nan)
    found[tuple(np.array(cells).T)] = np.exp(means)
    return found[:, 0], np.nanmean(found[:, 1:], axis=1)


def longest_sequence(task: Task, tokens: WordTokens) -> int:
    """Tokens of the longest prompt of a task together with the longest answer."""
    prompt = answer = 0
    for direction, draws in task.examples.items():
        words, target = task.of_direction(direction), direction.split("-")[1]
        sources = list(dict.fromkeys(source for word in words for source in (word.source, *word.distractors)))
        for examples in draws:
            prompt = max(prompt, *map(len, draw_prompts(sources, direction, examples, tokens)))
        answer = max(answer, *(len(tokens.answer(target, word.target)) for word in words))
    return prompt + answer


class Batches:
    """Runs work on a model; from the first shortage of memory on with half the batch, which is said once.

    Args:
        model: a causal language model in evaluation mode.
        batch_size: prompts in one forward pass.
        reuse: whether the shared prefix is computed once.
    """

    def __init__(self, model: Any, batch_size: int, reuse: bool) -> None:
        self._model, self._reuse = model, reuse
        self._runner, self._halved = PromptRunner(model, batch_size, reuse), False

    def run(self, work: Callable[[PromptRunner], Result]) -> Result:
        """What ``work`` gives, tried once more with half the batch where memory did not suffice for the first time."""
        try:
            return work(self._runner)
        except (torch.OutOfMemoryError, MemoryError):
            if self._halved or self._runner.batch_size == 1:
                raise
        self._halve()
        return work(self._runner)

    def _halve(self) -> None:
        size = self._runner.batch_size // 2
        say("memory does not suffice: going on with half the batch", batch_size=size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._runner, self._halved = PromptRunner(self._model, size, self._reuse), True
