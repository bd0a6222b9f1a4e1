"""Traces the words of one direction: what every layer reads, the labels, and the effect of removing the pivot."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from jobs.gpu.common.trace_settings import Trace
from jobs.gpu.models.output_head import OutputHead, captured_outputs
from jobs.gpu.tracing.ablation import Removal, Unembedding, target_log_probabilities
from jobs.gpu.tracing.behaviour_labels import Latent, behaviour, latent_behaviour
from jobs.gpu.tracing.concept_tokens import ConceptTokens
from jobs.gpu.tracing.lenses import Lens
from jobs.gpu.tracing.logit_lens import Compared, LayerReadings, join_readings, read_layers
from jobs.gpu.tracing.word_retrieval import retrieval_ranks
from jobs.gpu.translation.corpus_counts import PairKey, pair_key
from jobs.gpu.translation.prompt_runner import PromptRunner
from jobs.gpu.translation.score_words import draw_prompts
from jobs.gpu.translation.translation_task import TaskWord
from jobs.gpu.translation.word_tokens import WordTokens, split_answer
from pivot_udfs.errors import TaskError

_TARGET, _PIVOTS, _LANGUAGES = 0, 1, 2
"""Places of a word's token sets: the answer's token, pair pivots, then the languages of the concept and the control."""


class _Word(NamedTuple):
    """A traced word: its prompt, the answer's own tokens, its token sets, and the random concept beside it."""

    word: TaskWord
    prompt: list[int]
    answer: tuple[int, ...]
    sets: list[list[int]]
    control: int | None

    @property
    def is_measured(self) -> bool:
        """Whether the answer's first own token has a whole character: a piece of one says little of the answer."""
        return bool(self.sets[_TARGET])


@dataclass(frozen=True)
class Tracer:
    """What the traces of all directions share: token ids of the pair pivots by pair, seed of the random concepts."""

    head: OutputHead
    tokens: WordTokens
    concepts: ConceptTokens
    pivots: dict[PairKey, list[int]]
    options: Trace
    seed: int
    lens: Lens = field(default_factory=Lens)

    def trace(
        self,
        runner: PromptRunner,
        words: Sequence[TaskWord],
        examples: Sequence[tuple[str, str]],
        lead: Sequence[int] = (),
    ) -> pa.Table:
        """One row per word of one direction: see ``docs/traces.md``."""
        prompts = draw_prompts([word.source for word in words], words[0].direction, examples, self.tokens)
        traced = [self._word(*item, lead) for item in zip(words, prompts, strict=True)]
        readings = self._read(runner, traced)
        ids, probabilities = readings.top_ids.int().numpy(), readings.top_probabilities.numpy()
        sums, reached = readings.set_probabilities.numpy(), readings.reached.numpy()
        labels = [self._labels(*row) for row in zip(traced, ids, probabilities, sums, reached, strict=True)]
        columns: dict[str, list[Any]] = {
            **{name: [getattr(word, name) for word in words] for name in ("direction", "concept", "source", "target")},
            "control_concept": [word.control for word in traced],
            "retrieval_rank": retrieval_ranks(runner, self.head.layers, self.tokens, words),
            "answer_ids": [list(word.answer) for word in traced],
            "top_ids": ids.tolist(),
            "top_probabilities": probabilities.tolist(),
            "p_target": _lists(sums[:, :, _TARGET], [word.is_measured for word in traced]),
            "p_pair_pivots": sums[:, :, _PIVOTS].tolist(),
            "n_pair_pivots": [len(word.sets[_PIVOTS]) for word in traced],
            **self._of_languages(traced, sums, reached),
            "behaviour": [old[0] for old, _, _ in labels],
            "behaviour_layer": [old[1] for old, _, _ in labels],
            "latent_behaviour": [new.label for _, new, _ in labels],
            "pivot_language": [new.language for _, new, _ in labels],
            "pivot_layer": [new.layer for _, new, _ in labels],
            "pivot_ids": [self._pivot_ids(word, new) for word, (_, new, _) in zip(traced, labels, strict=True)],
            "control_behaviour": [control.label for _, _, control in labels],
            **self._ablations(runner, traced, [new for _, new, _ in labels], ids),
        }
        return pa.table(columns, schema=schema(self.concepts.languages))

    def _word(self, word: TaskWord, prompt: list[int], lead: Sequence[int]) -> _Word:
        source, target = word.direction.split("-")
        forced, own = split_answer(self.tokens.answer(target, word.target), lead)
        pair = self.tokens.of(source, word.source) | self.tokens.of(target, word.target)
        found = self.pivots.get(pair_key((source, word.source), (target, word.target)), [])
        control = self.concepts.random_concept(word.concept, f"control {self.seed} {word.direction} {word.concept}")
        first = [token for token in own[:1] if token not in self.tokens.wordless]
        sets = [first, [token for token in found if token not in pair]]
        for concept in (word.concept, control):
            sets += self._sets(word, concept)
        return _Word(word, [*prompt, *forced], own, sets, control)

    def _sets(self, word: TaskWord, concept: int | None) -> list[list[int]]:
        """Per language a concept's tokens.

        In a third language they are those that are the whole word, if there are any, and none that occurs in source
        or target.
        """
        if concept is None:
            return [[] for _ in self.concepts.languages]
        sets, pair = self.concepts.sets(concept), (_plain(word.source), _plain(word.target))
        for k, language in enumerate(self.concepts.languages):
            if language not in word.direction.split("-"):
                own = self.concepts.wholes[k][concept] or sets[k]
                sets[k] = [t for t in own if not any(_plain(self.tokens.texts[t]) in text for text in pair)]
        return sets

    def _read(self, runner: PromptRunner, words: Sequence[_Word]) -> LayerReadings:
        prompts, order = [self._up_to_place(word.prompt) for word in words], list[int]()
        readings: list[LayerReadings] = []
        n_languages, ids = len(self.concepts.languages), None
        with captured_outputs(self.head.layers) as outputs:
            for last in runner.run(prompts):
                hidden = [self.lens.translated(last.of(output), layer) for layer, output in enumerate(outputs)]
                ids = torch.tensor(self.concepts.ids(), device=hidden[0].device) if ids is None else ids
                chosen = [words[row] for row in last.rows]
                numbers = [(word.word.concept, -1 if word.control is None else word.control) for word in chosen]
                compared = Compared(ids, [[a] * n_languages + [b] * n_languages for a, b in numbers])
                sets = [word.sets for word in chosen]
                readings.append(read_layers(self.head, hidden, sets, self.options.top_k, compared))
                order += last.rows
        return join_readings(readings, order)

    def _up_to_place(self, prompt: list[int]) -> list[int]:
        """A prompt up to the position that is read: what a causal model computes there depends on no later token."""
        if (length := len(prompt) - self.options.tokens_before) < 1:
            raise TaskError(
                f"trace.tokens_before = {self.options.tokens_before}, but a prompt has {len(prompt)} tokens"
            )
        return prompt[:length]

    def _labels(
        self, word: _Word, ids: NDArray[Any], probabilities: NDArray[Any], sums: NDArray[Any], reached: NDArray[Any]
    ) -> tuple[tuple[str, int], Latent, Latent]:
        """The paper's label, the latent-language label, and the same label of the random concept.

        A third language takes part in the latter two where the word is one token.
        """
        pair = word.word.direction.split("-")
        best = ids[:, 0].tolist()
        old = behaviour(best, probabilities[:, 0].tolist(), self.tokens.of(pair[0], word.word.source))
        decides, n = [token not in self.tokens.wordless for token in best], len(self.concepts.languages)
        latent = []
        for first, concept in ((0, word.word.concept), (n, word.control)):
            third = [
                k
                for k, language in enumerate(self.concepts.languages)
                if language not in pair and word.sets[_LANGUAGES + first + k] and self.concepts.is_word(k, concept)
            ]
            p = {self.concepts.languages[k]: sums[:, _LANGUAGES + first + k].tolist() for k in third}
            others = {self.concepts.languages[k]: reached[:, first + k].tolist() for k in third}
            latent.append(latent_behaviour(p, others, decides, self.options.pivot_level, self.options.control_share))
        return old, latent[0], latent[1]

    def _pivot_ids(self, word: _Word, label: Latent, first: int = 0) -> list[int]:
        """Tokens of the word that decides the label, or of the control's (``first``: its place after the concept's)."""
        place = dict(zip(self.concepts.languages, word.sets[_LANGUAGES + first :], strict=False))
        return place[label.language] if label.language else []

    def _of_languages(self, words: Sequence[_Word], sums: NDArray[Any], reached: NDArray[Any]) -> dict[str, list[Any]]:
        """The columns of every language; null for a word without a whole-character first token in it."""
        columns: dict[str, list[Any]] = {}
        n = len(self.concepts.languages)
        for k, language in enumerate(self.concepts.languages):
            there, control = ([bool(word.sets[_LANGUAGES + first + k]) for word in words] for first in (0, n))
            columns[f"p_{language}"] = _lists(sums[:, :, _LANGUAGES + k], there)
            columns[f"reached_{language}"] = _lists(reached[:, :, k], there)
            columns[f"control_{language}"] = _lists(sums[:, :, _LANGUAGES + n + k], control)
        return columns

    def _ablations(
        self, runner: PromptRunner, words: Sequence[_Word], labels: Sequence[Latent], top_ids: NDArray[Any]
    ) -> dict[str, list[Any]]:
        """Log-probability of the answer's first own token: as it is, and without pivot, random concept, or rival.

        Null for words whose answer begins with a piece of a character. Nothing is removed where layers are read at
        another position than the answer's.
        """
        unembedding, targets = Unembedding(self.head, self.lens), [word.answer[0] for word in words]
        rows = list(zip(words, labels, top_ids, strict=True))
        removed: dict[str, list[list[int]]] = {
            "log_probability": [[] for _ in rows],
            "without_pivot": [self._pivot_ids(word, label) for word, label, _ in rows],
            "without_control": [self._pivot_ids(word, label, len(self.concepts.languages)) for word, label, _ in rows],
            "without_rival": [self._rival(*row) for row in rows],
        }
        if self.options.tokens_before:
            removed = {name: [[] for _ in rows] for name in removed}
        prompts, columns = [word.prompt for word in words], {}
        for name, sets in removed.items():
            removals = [
                Removal(label.layer or 0, unembedding.basis(ids, target, label.layer or 0)) if ids else None
                for ids, target, label in zip(sets, targets, labels, strict=True)
            ]
            found = target_log_probabilities(runner, self.head, prompts, targets, removals)
            kept = [name == "log_probability" or removal is not None for removal in removals]
            there = [word.is_measured and is_kept for word, is_kept in zip(words, kept, strict=True)]
            columns[name] = [value if is_there else None for value, is_there in zip(found, there, strict=True)]
        return columns

    def _rival(self, word: _Word, label: Latent, top_ids: NDArray[Any]) -> list[int]:
        """The best stored word of the deciding layer that is neither pivot nor answer; empty if there is none."""
        if label.layer is None:
            return []
        taken = {*self._pivot_ids(word, label), word.answer[0]}
        return [k for k in top_ids[label.layer].tolist() if k not in taken and k not in self.tokens.wordless][:1]


def _plain(text: str) -> str:
    """A text without case, accents and white space around it."""
    decomposed = unicodedata.normalize("NFD", text.strip().casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _lists(values: NDArray[Any], there: Sequence[bool]) -> list[list[float] | None]:
    return [row.tolist() if is_there else None for row, is_there in zip(np.asarray(values), there, strict=True)]


def schema(languages: Sequence[str]) -> pa.Schema:
    """The columns of a trace."""
    layers, names = pa.list_(pa.float32()), ("p", "reached", "control")
    fields: list[tuple[str, pa.DataType]] = [
        *((name, pa.string()) for name in ("direction", "source", "target")),
        *((name, pa.int64()) for name in ("concept", "control_concept")),
        *((name, pa.list_(pa.int32())) for name in ("answer_ids", "pivot_ids", "retrieval_rank")),
        ("top_ids", pa.list_(pa.list_(pa.int32()))),
        ("top_probabilities", pa.list_(layers)),
        *((name, layers) for name in ("p_target", "p_pair_pivots")),
        ("n_pair_pivots", pa.int32()),
        *((f"{name}_{language}", layers) for language in languages for name in names),
        *((name, pa.string()) for name in ("behaviour", "latent_behaviour", "pivot_language", "control_behaviour")),
        *((name, pa.int32()) for name in ("behaviour_layer", "pivot_layer")),
        *((name, pa.float64()) for name in ("without_pivot", "without_control", "without_rival", "log_probability")),
    ]
    return pa.schema(fields)
