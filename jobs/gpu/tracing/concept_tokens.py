"""The first tokens of every concept's word in every language, and a random concept for each traced word."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.gpu.translation.lexicon_concepts import Concept
from jobs.gpu.translation.word_tokens import WordTokens

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class ConceptTokens:
    """The tokens by which a layer can be seen to represent a concept in some language, per language and concept.

    ``firsts`` are the first token of its word, with and without a leading space, where that token covers whole
    characters only; at most two, possibly none. ``wholes`` are those of them that are the whole word.
    """

    languages: tuple[str, ...]
    firsts: tuple[tuple[Tokens, ...], ...]
    wholes: tuple[tuple[Tokens, ...], ...]

    def sets(self, concept: int) -> list[list[int]]:
        """Per language the tokens of a concept."""
        return [list(of_language[concept]) for of_language in self.firsts]

    def is_word(self, language: int, concept: int | None) -> bool:
        """Whether a concept has a token that is its whole word in a language, given by its place."""
        return concept is not None and bool(self.wholes[language][concept])

    def ids(self) -> NDArray[np.int64]:
        """All first tokens, int64 (languages, concepts, 2), -1 where there is none."""
        rows = [[[*found, -1, -1][:2] for found in of_language] for of_language in self.firsts]
        return np.array(rows, np.int64)

    def random_concept(self, concept: int, seed: str) -> int | None:
        """A concept drawn by ``seed`` with tokens in all languages in which ``concept`` has some, none of them shared.

        It has whole words where ``concept`` has some. None if there is no such concept among the 500 that are tried.
        """
        n = len(self.firsts[0])
        for other in random.Random(seed).sample(range(n), min(n, 500)):  # noqa: S311
            tokens, words = ([(of[concept], of[other]) for of in kind] for kind in (self.firsts, self.wholes))
            if all(b and set(a).isdisjoint(b) for a, b in tokens if a) and all(b for a, b in words if a):
                return other
        return None


def concept_tokens(concepts: Sequence[Concept], languages: Sequence[str], tokens: WordTokens) -> ConceptTokens:
    """The first tokens of all concepts; a concept without a word in a language has none there."""
    found: dict[bool, list[tuple[Tokens, ...]]] = {False: [], True: []}
    for language in languages:
        words = [concept.words.get(language, "") for concept in concepts]
        forms = (words, [f" {word}" for word in words])
        for alone, of_languages in found.items():
            of_languages.append(tuple(map(_distinct, *(tokens.first_whole(form, alone) for form in forms))))
    return ConceptTokens(tuple(languages), tuple(found[False]), tuple(found[True]))


def _distinct(*tokens: int | None) -> Tokens:
    return tuple(dict.fromkeys(token for token in tokens if token is not None))
