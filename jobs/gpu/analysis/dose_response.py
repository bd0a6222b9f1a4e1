"""What a training run has seen of each concept: its pivots, and the words themselves.

A dose is a number of occurrences in the tokens of the sequences that a run trains on, repeated sequences included.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from jobs.gpu.analysis.crossed_effects import Effect, Values, crossed_effects
from jobs.gpu.common.settings import Training
from jobs.gpu.packing.packed_file import PackedFile
from jobs.gpu.training.training_loop import step_indices
from jobs.gpu.translation.translation_task import Task
from jobs.gpu.translation.word_tokens import WordTokens

Patterns = Sequence[Sequence[tuple[int, ...]]]
DOSES = ("pivots", "words")
"""Pair pivots of the concept, and its words in the languages of the task."""


def concept_patterns(task: Task, tokens: WordTokens) -> dict[str, Patterns]:
    """The token sequences of each dose, by concept in ascending order: words with and without a space before them.

    A sequence that contains another of the same concept is left out: every occurrence counts once.
    """
    words: dict[int, dict[tuple[int, ...], None]] = {word.concept: {} for word in task.words}
    for word in task.words:
        for text in (word.source, word.target):
            words[word.concept] |= dict.fromkeys((tuple(tokens.ids(text)), tuple(tokens.ids(" " + text))))
    numbers = sorted(words)
    return {
        "pivots": [[(token,) for token in task.pivots.get(number, ())] for number in numbers],
        "words": [[p for p in words[k] if not any(p != q and _contains(p, q) for q in words[k])] for k in numbers],
    }


def _contains(whole: tuple[int, ...], part: tuple[int, ...]) -> bool:
    return any(whole[place : place + len(part)] == part for place in range(len(whole) - len(part) + 1))


class SequenceDoses:
    """Occurrences of each concept's patterns (``concept_patterns``) in every sequence of ``length`` tokens of a file.

    Occurrences across the end of a sequence are not counted.
    """

    def __init__(self, packed: PackedFile, length: int, patterns: Mapping[str, Patterns]) -> None:
        self._n, self._length, self._patterns = packed.n_sequences(length), length, patterns
        self._tokens = np.asarray(packed.tokens[: self._n * length], np.int64)
        self._frequency = np.bincount(self._tokens, minlength=1)
        self._ends, self._order = np.cumsum(self._frequency), np.argsort(self._tokens, kind="stable")
        distinct = {pattern for kind in patterns.values() for of_concept in kind for pattern in of_concept}
        self._found = {pattern: self._sequences(pattern) for pattern in distinct}

    def _sequences(self, pattern: tuple[int, ...]) -> NDArray[np.int64]:
        """The sequence of each occurrence of a pattern, looked for at its rarest token."""
        if max(pattern) >= len(self._frequency):
            return np.zeros(0, np.int64)
        rarest = int(np.argmin(self._frequency[list(pattern)]))
        last = self._ends[pattern[rarest]]
        places = self._order[last - self._frequency[pattern[rarest]] : last] - rarest
        places = places[(places >= 0) & (places % self._length <= self._length - len(pattern))]
        for offset, token in enumerate(pattern):
            places = places[self._tokens[places + offset] == token]
        return places // self._length

    def of_run(self, options: Training) -> dict[str, Values]:
        """The doses of each concept (concepts,) in the sequences that a run with these settings trains on."""
        per_step = options.global_batch_tokens // options.sequence_length
        n_steps = math.ceil(options.token_budget / options.global_batch_tokens)
        steps = [step_indices(k, per_step, self._n, options.seed) for k in range(n_steps)]
        times = np.bincount(np.concatenate(steps), minlength=self._n)
        seen = {pattern: int(times[sequences].sum()) for pattern, sequences in self._found.items()}
        return {
            name: np.array([sum(seen[pattern] for pattern in of_concept) for of_concept in kind], float)
            for name, kind in self._patterns.items()
        }


def dose_slopes(gains: Values, treatment: Mapping[str, Values], control: Mapping[str, Values]) -> dict[str, Effect]:
    """Slopes of a difference between two arms on the differences of ln(1 + dose), both doses in one model.

    ``gains`` (seeds, concepts) are treatment less control; doses are (seeds, concepts), of which the mean over seeds is
    used.
    """
    steps = [(np.log1p(treatment[name]) - np.log1p(control[name])).mean(axis=0) for name in DOSES]
    effects = crossed_effects(gains, np.stack([np.ones(gains.shape[1]), *steps], axis=1))
    return dict(zip(DOSES, effects[1:], strict=True))
