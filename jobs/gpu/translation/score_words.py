"""Scores one direction and one draw of the translation task.

Every distinct source word, tested or distractor, is run once, and all answers scored after it share that pass.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.gpu.translation.prompt_runner import PromptRunner
from jobs.gpu.translation.translation_task import Task, TaskWord
from jobs.gpu.translation.word_tokens import WordTokens, split_answer


class DrawScores(NamedTuple):
    """What a model says of each word of one direction and draw: float64 (words,).

    Attributes:
        p_target: P(y | w), 0..1.
        p_distractors: the mean of P(y | w') over the distractors w', 0..1.
        contrast: ln P(y | w) less the mean of ln P(y | w') over the distractors, in nats.
    """

    p_target: NDArray[np.float64]
    p_distractors: NDArray[np.float64]
    contrast: NDArray[np.float64]


def draw_prompts(
    sources: Sequence[str], direction: str, examples: Sequence[tuple[str, str]], tokens: WordTokens
) -> list[list[int]]:
    """Token ids of the prompt of each source word."""
    source, target = direction.split("-")
    head = tokens.style.head(source, target, examples)
    return tokens.prompts([head + tokens.style.tail(source, target, word) for word in sources])


def score_draw(
    runner: PromptRunner,
    words: Sequence[TaskWord],
    examples: Sequence[tuple[str, str]],
    tokens: WordTokens,
    lead: Sequence[int] = (),
) -> DrawScores:
    """Scores the words of one direction.

    The tokens of ``lead`` (see ``Task.leads``) that an answer begins with belong to its prompt.
    """
    target, sources = words[0].direction.split("-")[1], _sources(words)
    of_source = dict(zip(sources, draw_prompts(sources, words[0].direction, examples, tokens), strict=True))
    answers = [split_answer(tokens.answer(target, word.target), lead) for word in words]
    cells = [(row, k) for row, word in enumerate(words) for k in range(1 + len(word.distractors))]
    asked = [((words[row].source, *words[row].distractors)[k], answers[row][0]) for row, k in cells]
    place = {key: index for index, key in enumerate(dict.fromkeys(asked))}
    pairs = [(place[key], answers[row][1]) for key, (row, _) in zip(asked, cells, strict=True)]
    means = runner.mean_log_probabilities([[*of_source[source], *forced] for source, forced in place], pairs)
    logs = np.full((len(words), 1 + max(len(word.distractors) for word in words)), np.nan)
    logs[tuple(np.array(cells).T)] = means
    p = np.exp(logs)
    return DrawScores(p[:, 0], np.nanmean(p[:, 1:], axis=1), logs[:, 0] - np.nanmean(logs[:, 1:], axis=1))


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
