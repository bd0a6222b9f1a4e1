"""Prompts of the translation task: their text and their token ids."""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

from jobs.gpu.translation.lexicon_concepts import Concept
from jobs.report.language_names import LANGUAGE_NAMES
from pivot_udfs.errors import LexiconError, TokenizerError
from pivot_udfs.tokenization.backends import TokenizerSpec, encoder
from pivot_udfs.tokenization.vocabulary import vocabulary


def language_name(code: str) -> str:
    """The English name of a language.

    Raises:
        LexiconError: the name of this language is not listed.
    """
    if code not in LANGUAGE_NAMES:
        raise LexiconError(f"language {code!r} has no English name in jobs/report/language_names.py: add it there")
    return LANGUAGE_NAMES[code]


def prompt_head(source: str, target: str, examples: Sequence[tuple[str, str]]) -> str:
    """The part of the prompt that all words of a draw share: instruction and examples."""
    first, second = language_name(source), language_name(target)
    shown = "".join(f"{first}: {a}\n{second}: {b}\n\n" for a, b in examples)
    return f"Please translate words from {first} to {second}.\n\n{shown}"


def prompt_tail(source: str, target: str, word: str) -> str:
    """The part of the prompt that contains the word; the answer that follows begins with a space."""
    return f"{language_name(source)}: {word}\n{language_name(target)}:"


class WordTokens:
    """Token ids of prompts, answers and words; the special token ``start_token``, if any, precedes every prompt."""

    def __init__(self, tokenizer: TokenizerSpec, start_token: str = "") -> None:
        self._encoder, self._vocabulary = encoder(tokenizer), vocabulary(tokenizer)
        self._answers: dict[tuple[str, str], tuple[int, ...]] = {}
        self._blank = frozenset(index for index, text in enumerate(self._vocabulary.texts) if not text.strip())
        self._start = [self._special(start_token)] if start_token else []

    def _special(self, text: str) -> int:
        special = {self.texts[index]: index for index in sorted(self._vocabulary.special_ids, reverse=True)}
        if text in special:
            return special[text]
        raise TokenizerError(
            f"translation.start_token = {text!r} is not a special token of the tokenizer; it has "
            f"{', '.join(sorted(special))}"
        )

    def ids(self, text: str) -> list[int]:
        """Ids of a text; special tokens are neither added nor recognised."""
        return [int(token) for token in self._encoder.encode([text])[0]]

    def prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of whole prompts, with the start token first if one is set."""
        flat, offsets = self._encoder.encode(list(texts))
        return [self._start + flat[a:b].tolist() for a, b in pairwise(offsets)]

    def answer(self, language: str, word: str) -> tuple[int, ...]:
        """Ids of a space and the word after ``<language>:``, as in the answers of a prompt.

        Raises:
            TokenizerError: the tokenizer merges the answer with the text before it, or cannot encode the word.
        """
        if (language, word) not in self._answers:
            before = self.ids(f"\n{language_name(language)}:")
            whole = self.ids(f"\n{language_name(language)}: {word}")
            if whole[: len(before)] != before:
                raise TokenizerError(
                    f"the tokenizer merges {word!r} with the prompt before it, so its probability cannot be "
                    "measured: use a tokenizer that splits at ':'"
                )
            self._answers[language, word] = tuple(whole[len(before) :])
        return self._answers[language, word]

    def of(self, language: str, word: str) -> frozenset[int]:
        """Tokens of a word as the answer of a prompt, without tokens that are only a space."""
        return frozenset(self.answer(language, word)) - self._blank

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
        """Ids whose text consists of spaces and punctuation (parts of a character are not included)."""
        return frozenset(
            index
            for index, text in enumerate(self.texts)
            if not any(character.isalnum() or character == "\\" for character in text)
        )
