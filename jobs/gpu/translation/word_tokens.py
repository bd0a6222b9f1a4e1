"""Token ids of the prompts and answers of the translation task."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

from jobs.gpu.models.special_tokens import special_id
from jobs.gpu.translation.lexicon_concepts import Concept
from jobs.gpu.translation.prompt_styles import PromptStyle
from pivot_udfs.errors import TokenizerError
from pivot_udfs.tokenization.backends import TokenizerSpec, encoder
from pivot_udfs.tokenization.vocabulary import vocabulary

_PIECES = re.compile(r"(?:\\x[89a-f][0-9a-f])+")
"""Bytes that are no whole character, as ``Vocabulary.texts`` writes them."""


def shared_lead(answers: Sequence[Sequence[int]], wordless: frozenset[int]) -> tuple[int, ...]:
    """The uninformative tokens that most answers begin with: blanks, quotes, the first bytes of a character.

    Each token is in ``wordless`` and the next one of more than half of all answers; it is never an answer's last.
    """
    lead: list[int] = []
    while True:
        longer = [ids[len(lead)] for ids in answers if [*ids[: len(lead)]] == lead and len(ids) > len(lead) + 1]
        token, n = Counter(longer).most_common(1)[0] if longer else (-1, 0)
        if token not in wordless or 2 * n <= len(answers):
            return tuple(lead)
        lead.append(token)


def split_answer(answer: tuple[int, ...], lead: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The tokens of ``lead`` that an answer begins with, and its own tokens, of which there is at least one."""
    n = 0
    while n < min(len(lead), len(answer) - 1) and answer[n] == lead[n]:
        n += 1
    return answer[:n], answer[n:]


class WordTokens:
    """Token ids of prompts, answers and words, by the tables' tokenizer; ``start_token`` begins every prompt."""

    def __init__(self, tokenizer: TokenizerSpec, start_token: str = "", prompt: str = "plain") -> None:
        self._encoder, self._vocabulary, self.style = encoder(tokenizer), vocabulary(tokenizer), PromptStyle(prompt)
        self._answers: dict[tuple[str, str], tuple[int, ...]] = {}
        self._blank = frozenset(index for index, text in enumerate(self._vocabulary.texts) if not text.strip())
        start = special_id(tokenizer, start_token, "translation.start_token")
        self._start = [] if start is None else [start]

    def ids(self, text: str) -> list[int]:
        """Ids of a text; special tokens are neither added nor recognised."""
        return [int(token) for token in self._encoder([text])[0]]

    def prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of whole prompts, with the start token first if one is set."""
        flat, offsets = self._encoder(list(texts))
        return [self._start + flat[a:b].tolist() for a, b in pairwise(offsets)]

    def answer(self, language: str, word: str) -> tuple[int, ...]:
        """Ids of a word as the answer of a prompt, with the white space before it.

        Raises TokenizerError where the tokenizer merges the answer with the text before it.
        """
        if (language, word) not in self._answers:
            before, whole = map(self.ids, self.style.before_answer(language, word))
            if whole[: len(before)] != before:
                raise TokenizerError(
                    f"the tokenizer merges {word!r} with the prompt before it, so its probability cannot be "
                    "measured: use another translation.prompt, or a tokenizer that splits there"
                )
            self._answers[language, word] = tuple(whole[len(before) :])
        return self._answers[language, word]

    def of(self, language: str, word: str) -> frozenset[int]:
        """Tokens of a word as the answer of a prompt, without tokens that are only a space."""
        return frozenset(self.answer(language, word)) - self._blank

    def whole(self, language: str, word: str) -> frozenset[int]:
        """The tokens of ``of`` that cover a whole character."""
        return frozenset(token for token in self.of(language, word) if _PIECES.sub("", self.texts[token]).strip())

    def first_whole(self, words: Sequence[str], alone: bool = False) -> list[int | None]:
        """The first token of each word that is not blank; None if it has pieces of characters or is special.

        With ``alone``, also None where other tokens follow: the token is the whole word.
        """
        if not words:
            return []
        flat, offsets = self._encoder(list(words))
        own = [[k for k in flat[a:b].tolist() if k not in self._blank] for a, b in pairwise(offsets)]
        return [
            None
            if not ids
            or (alone and len(ids) > 1)
            or ids[0] in self._vocabulary.special_ids
            or _PIECES.search(self.texts[ids[0]])
            else ids[0]
            for ids in own
        ]

    def unencodable(self, concepts: Sequence[Concept], languages: Sequence[str]) -> list[tuple[str, str]]:
        """(language, word) of the words that have no token, or an unknown or special one."""
        special = self._vocabulary.special_ids
        return [
            (language, word)
            for concept in concepts
            for language, word in ((name, concept.words[name]) for name in languages if name in concept.words)
            if not self.of(language, word) or self.of(language, word) & special
        ]

    @property
    def texts(self) -> list[str]:
        """Readable text of every id."""
        return self._vocabulary.texts

    @cached_property
    def wordless(self) -> frozenset[int]:
        """Ids without a whole letter, mark or number: blanks, punctuation, pieces of characters, special tokens."""
        return self._vocabulary.special_ids | {
            index for index, text in enumerate(self.texts) if not any(map(str.isalnum, _PIECES.sub("", text)))
        }
