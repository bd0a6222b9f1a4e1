"""Draws a translation task from the lexicon: the words tested, their distractors, and the examples.

The concepts used as examples are the same in every direction and draw. They are never tested and never distract, so
that all words of a draw share one prompt except for its last lines.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from jobs.gpu.common.settings import Translation
from jobs.gpu.translation.lexicon_concepts import Concept, folded
from jobs.gpu.translation.translation_task import Task, TaskWord
from jobs.gpu.translation.word_tokens import WordTokens, shared_lead
from pivot_udfs.errors import TaskError
from pivot_udfs.provenance import Provenance

REASONS = ("same surface", "shared token", "used as an example", "no distractors")
"""Why a pair is left out."""


def draw_task(
    concepts: Sequence[Concept],
    directions: Sequence[tuple[str, str]],
    tokens: WordTokens,
    settings: Translation,
    provenance: Provenance,
    pivots: Mapping[int, tuple[int, ...]] | None = None,
) -> Task:
    """Draws examples, tested words and distractors, all by ``settings.seed``.

    With ``pivots`` (token ids by concept) only concepts that have some are tested. Raises TaskError where there are too
    few concepts for the examples, or a direction has no testable pair.
    """
    languages = sorted({language for pair in directions for language in pair})
    shown = _draw_examples(concepts, languages, settings)
    used = {concept.number for draw in shown for concept in draw}
    fit = [c for c in concepts if c.number not in used and (pivots is None or c.number in pivots)]
    chosen = _draw_tested(fit, settings)
    words: list[TaskWord] = []
    leads: dict[str, tuple[int, ...]] = {}
    left_out: dict[str, dict[str, int]] = {}
    for source, target in directions:
        pool = [c for c in concepts if {source, target} <= c.words.keys() and c.number not in used]
        found, reasons = _Direction(pool, source, target, shown).words(chosen, tokens, settings)
        words += found
        leads[f"{source}-{target}"] = shared_lead([tokens.answer(target, w.target) for w in found], tokens.wordless)
        left_out[f"{source}-{target}"] = {reason: reasons[reason] for reason in REASONS}
        if not found:
            raise TaskError(
                f"direction {source}-{target} has no testable pair (left out: {dict(reasons)}): "
                "take it out of translation.directions, or give a larger lexicon"
            )
    examples = {
        f"{source}-{target}": [[(c.words[source], c.words[target]) for c in draw] for draw in shown]
        for source, target in directions
    }
    tested = sorted({word.concept for word in words})
    return Task(provenance, left_out, examples, leads, words, {k: pivots[k] for k in tested} if pivots else {})


def _draw_examples(concepts: Sequence[Concept], languages: list[str], settings: Translation) -> list[list[Concept]]:
    """Disjoint draws of concepts that have a word in every language, all of them different."""
    fit = [c for c in concepts if c.words.keys() >= set(languages)]
    fit = [c for c in fit if len({folded(c.words[language]) for language in languages}) == len(languages)]
    wanted = settings.n_draws * settings.n_examples
    random.Random(f"examples {settings.seed}").shuffle(fit)  # noqa: S311
    taken: list[Concept] = []
    seen: set[str] = set()
    for concept in fit:
        surfaces = {folded(concept.words[language]) for language in languages}
        if len(taken) < wanted and not surfaces & seen:
            taken.append(concept)
            seen |= surfaces
    if len(taken) < wanted:
        raise TaskError(
            f"{settings.n_draws} draws of {settings.n_examples} examples need {wanted} concepts with different words "
            f"in all of {', '.join(languages)}; the lexicon has {len(taken)}: lower translation.n_draws or "
            "translation.n_examples"
        )
    return [taken[k : k + settings.n_examples] for k in range(0, wanted, settings.n_examples)]


def _draw_tested(concepts: Sequence[Concept], settings: Translation) -> set[int]:
    if not settings.n_words or settings.n_words >= len(concepts):
        return {concept.number for concept in concepts}
    numbers = [concept.number for concept in concepts]
    random.Random(f"tested {settings.seed}").shuffle(numbers)  # noqa: S311
    return set(numbers[: settings.n_words])


class _Direction:
    """Tests the pairs of one direction and draws their distractors among the source words of ``pool``."""

    def __init__(self, pool: list[Concept], source: str, target: str, shown: list[list[Concept]]) -> None:
        self._source, self._target = source, target
        self._pool = [(concept, folded(concept.words[source]), folded(concept.words[target])) for concept in pool]
        self._examples = {folded(c.words[language]) for draw in shown for c in draw for language in (source, target)}
        self._to_target, self._to_source = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
        for _, a, b in self._pool:
            self._to_target[a].add(b)
            self._to_source[b].add(a)

    def words(self, chosen: set[int], tokens: WordTokens, settings: Translation) -> tuple[list[TaskWord], Counter[str]]:
        """The tested pairs of the chosen concepts, and the number of pairs left out by reason."""
        found, reasons = [], Counter[str]()
        for concept, a, b in (row for row in self._pool if row[0].number in chosen):
            source, target = concept.words[self._source], concept.words[self._target]
            if a == b:
                reasons["same surface"] += 1
            elif tokens.whole(self._source, source) & tokens.whole(self._target, target):
                reasons["shared token"] += 1
            elif {a, b} & self._examples:
                reasons["used as an example"] += 1
            elif len(others := self._distractors(concept, a, b, settings)) < settings.n_distractors:
                reasons["no distractors"] += 1
            else:
                found.append(TaskWord(f"{self._source}-{self._target}", concept.number, source, target, others))
        return found, reasons

    def _distractors(self, concept: Concept, a: str, b: str, settings: Translation) -> tuple[str, ...]:
        """Source words of the same part of speech and similar frequency that have no translation in common."""
        translations = self._to_target[a] | {b}
        unfit = set().union(*(self._to_source[word] for word in translations)) | {a} | self._examples | translations
        near: dict[str, tuple[float, int, str]] = {}
        for other, word, _ in self._pool:
            if other.part_of_speech == concept.part_of_speech and word not in unfit:
                place = (abs(other.frequency - concept.frequency), other.number, other.words[self._source])
                near[word] = min(place, near.get(word, place))
        nearest = [word for _, _, word in sorted(near.values())[: settings.n_neighbours]]
        draw = random.Random(f"{settings.seed} {self._source}-{self._target} {concept.number}")  # noqa: S311
        return tuple(draw.sample(nearest, min(settings.n_distractors, len(nearest))))
