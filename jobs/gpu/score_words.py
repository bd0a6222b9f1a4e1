"""Scores one direction and draw of the translation task.

Every distinct source word, tested or distracting, is run once; all answers asked of it hang on that one pass.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from jobs.gpu.run_job import say
from jobs.gpu.shared_prefix import PromptRunner
from jobs.gpu.task_words import WordTokens, prompt_head, prompt_tail
from jobs.gpu.translation_task import TaskWord


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
    asked: list[list[tuple[int, int]]] = [[] for _ in sources]
    for row, word in enumerate(words):
        for column, source in enumerate((word.source, *word.distractors)):
            asked[place[source]].append((row, column))
    answers = [tokens.answer(target, word.target) for word in words]
    found = np.full((len(words), 1 + max(len(word.distractors) for word in words)), np.nan)
    prompts = draw_prompts(sources, words[0].direction, examples, tokens)
    for answered in runner.answers(prompts):
        cells = [(k, cell) for k, index in enumerate(answered.rows) for cell in asked[index]]
        pairs = [(k, answers[row]) for k, (row, _) in cells]
        means = runner.continuations(answered, prompts, pairs)
        for (_, (row, column)), mean in zip(cells, means, strict=True):
            found[row, column] = np.exp(mean)
    return found[:, 0], np.nanmean(found[:, 1:], axis=1)


def with_smaller_batches(model: Any, batch_size: int, reuse: bool, work: Callable[[PromptRunner], Any]) -> Any:
    """Runs ``work`` with a runner, once more with half the batch where memory does not suffice."""
    try:
        return work(PromptRunner(model, batch_size, reuse))
    except (torch.OutOfMemoryError, MemoryError):
        if batch_size == 1:
            raise
    say("memory does not suffice: going on with half the batch", batch_size=batch_size // 2)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return work(PromptRunner(model, batch_size // 2, reuse))
