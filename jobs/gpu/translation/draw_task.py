"""Draws a translation task from the lexicon: the words tested, their distractors, and the examples.

The concepts used as examples are the same in every direction and draw. They are never tested and never distract, so
that all words of a draw share one prompt except for its last lines.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from jobs.gpu.common.errors import TaskError
from jobs.gpu.common.settings import Translation
from jobs.gpu.translation.lexicon_concepts import Concept, folded
from jobs.gpu.translation.prompts import WordTokens
from jobs.gpu.translation.translation_task import Task, TaskWord
from pivot_udfs.provenance import Provenance

REASONS = ("same surface", "shared token", "used as an example", "no distractors")
"""Why a pair is left out."""


def draw_task(
    concepts: Sequence[Concept],
    directions: Sequence[tuple[str, str]],
    tokens: WordTokens,
    settings: Translation,
    provenance: Provenance,
) -> Task:
    """Draws examples, tested words and distractors, all by ``settings.seed``.

    Raises:
        TaskError: there are too few concepts for the examples, or a direction has no testable pair.
    """
    languages = sorted({language for pair in directions for language in pair})
    shown = _draw_examples(concepts, languages, settings)
    used = {concept.number for draw in shown for concept in draw}
    chosen = _draw_tested([c for c in concepts if c.number not in used], settings)
    words: list[TaskWord] = []
    left_out: dict[str, dict[str, int]] = {}
    for source, target in directions:
        pool = [c for c in concepts if {source, target} <= c.words.keys() and c.number not in used]
        found, reasons = _direction_words(pool, chosen, (source, target), shown, tokens, settings)
        words += found
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
    return Task(provenance, left_out, examples, words)


def _draw_examples(concepts: Sequence[Concept], languages: list[str], settings: Translation) -> list[list[Concept]]:
    """Disjoint draws of concepts that have a word in every language, all of them different."""
    fit = [c for c in concepts if c.words.keys() >= set(languages) and not _is_included(c, settings)]
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
    fixed = [c.number for c in concepts if _is_included(c, settings)]
    rest = [c.number for c in concepts if c.number not in set(fixed)]
    random.Random(f"tested {settings.seed}").shuffle(rest)  # noqa: S311
    return set(fixed + rest[: max(0, settings.n_words - len(fixed))])


def _is_included(concept: Concept, settings: Translation) -> bool:
    return not {folded(w) for w in settings.always_include}.isdisjoint(folded(w) for w in concept.words.values())


def _direction_words(
    pool: list[Concept],
    chosen: set[int],
    direction: tuple[str, str],
    shown: list[list[Concept]],
    tokens: WordTokens,
    settings: Translation,
) -> tuple[list[TaskWord], Counter[str]]:
    source, target = direction
    examples = {folded(c.words[language]) for draw in shown for c in draw for language in direction}
    meanings = _meanings(pool, source, target)
    found, reasons = [], Counter[str]()
    for concept in (c for c in pool if c.number in chosen):
        a, b = concept.words[source], concept.words[target]
        reason = _reason(a, b, direction, examples, tokens)
        others = () if reason else _distractors(concept, pool, direction, meanings, examples, settings)
        reason = reason or ("" if len(others) == settings.n_distractors else "no distractors")
        if reason:
            reasons[reason] += 1
        else:
            found.append(TaskWord(f"{source}-{target}", concept.number, a, b, others))
    return found, reasons


def _reason(a: str, b: str, direction: tuple[str, str], examples: set[str], tokens: WordTokens) -> str:
    if folded(a) == folded(b):
        return "same surface"
    if tokens.of(direction[0], a) & tokens.of(direction[1], b):
        return "shared token"
    return "used as an example" if {folded(a), folded(b)} & examples else ""


def _meanings(pool: list[Concept], source: str, target: str) -> dict[str, set[str]]:
    """For every surface of either language (keys ``s word`` and ``t word``), its translations in all concepts."""
    translations_of: dict[str, set[str]] = defaultdict(set)
    for concept in pool:
        a, b = folded(concept.words[source]), folded(concept.words[target])
        translations_of[f"s {a}"].add(b)
        translations_of[f"t {b}"].add(a)
    return translations_of


def _distractors(
    concept: Concept,
    pool: list[Concept],
    direction: tuple[str, str],
    meanings: dict[str, set[str]],
    examples: set[str],
    settings: Translation,
) -> tuple[str, ...]:
    """Source words of the same part of speech and similar frequency that have no translation in common."""
    source, target = direction
    a, b = folded(concept.words[source]), folded(concept.words[target])
    translations = meanings[f"s {a}"] | {b}
    synonyms = set().union(*(meanings[f"t {word}"] for word in translations)) | {a}
    near: dict[str, tuple[float, int, str]] = {}
    for other in pool:
        word = folded(other.words[source])
        if other.part_of_speech != concept.part_of_speech or word in synonyms | examples | translations:
            continue
        if meanings[f"s {word}"] & translations:
            continue
        place = (abs(other.frequency - concept.frequency), other.number, other.words[source])
        near[word] = min(place, near.get(word, place))
    nearest = [word for _, _, word in sorted(near.values())[: settings.n_neighbours]]
    draw = random.Random(f"{settings.seed} {source}-{target} {concept.number}")  # noqa: S311
    return tuple(draw.sample(nearest, min(settings.n_distractors, len(nearest))))
