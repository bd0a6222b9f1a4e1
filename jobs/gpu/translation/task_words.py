"""What the translation task is made of: concepts, prompts, and token ids."""

import csv
import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from jobs.report.language_names import LANGUAGE_NAMES
from pivot_udfs.errors import LexiconError, TokenizerError
from pivot_udfs.matching.lexicon import parse_lexicon, surface_forms
from pivot_udfs.tokenization.backends import TokenizerSpec, encoder, vocabulary


@dataclass(frozen=True)
class Concept:
    """One row of the lexicon.

    Attributes:
        number: the row, from 0, as in the table ``pair_pivots``.
        words: by language, spelled as the tables; empty cells are not there.
        part_of_speech: the column ``pos``; empty without one.
        frequency: the column ``zipf_en`` (log10 of uses in a thousand million words), else -log10 of the row.
    """

    number: int
    words: dict[str, str]
    part_of_speech: str
    frequency: float


def folded(word: str) -> str:
    """What two words must have in common to be one word in text (case and Unicode form ignored)."""
    return surface_forms(word)[0]


def read_concepts(path: str, languages: Sequence[str]) -> tuple[list[Concept], str]:
    """The lexicon's concepts, and the SHA-256 (hex) of its file.

    Raises:
        LexiconError: the file cannot be read, or lacks a language.
    """
    try:
        payload = Path(path).read_bytes()
    except OSError as error:
        raise LexiconError(f"lexicon.path = {path!r} cannot be read: {error.strerror}; give a TSV file") from None
    lexicon = parse_lexicon(payload, languages, path)
    text = io.StringIO(payload.decode("utf-8-sig"), newline="")
    rows = [r for r in csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE) if any(c.strip() for c in r)]
    header = [cell.strip() for cell in rows[0]]
    concepts = []
    for number, (cells, ids) in enumerate(zip(rows[1:], lexicon.concepts, strict=True)):
        row = dict(zip(header, cells, strict=True))
        words = dict(lexicon.words[k] for k in ids if k >= 0)
        concepts.append(Concept(number, words, row.get("pos", "").strip(), _frequency(row.get("zipf_en"), number)))
    return concepts, hashlib.sha256(payload).hexdigest()


def _frequency(cell: str | None, number: int) -> float:
    if cell is None:
        return -math.log10(number + 1)
    try:
        return float(cell)
    except ValueError:
        return 0.0


def language_name(code: str) -> str:
    """The English name of a language.

    Raises:
        LexiconError: there is no name for this code here.
    """
    if code not in LANGUAGE_NAMES:
        raise LexiconError(f"language {code!r} has no English name in jobs/report/names.py: add it there")
    return LANGUAGE_NAMES[code]


def prompt_head(source: str, target: str, examples: Sequence[tuple[str, str]]) -> str:
    """The part of the prompt that all words of a draw share."""
    first, second = language_name(source), language_name(target)
    shown = "".join(f"{first}: {a}\n{second}: {b}\n\n" for a, b in examples)
    return f"Please translate words from {first} to {second}.\n\n{shown}"


def prompt_tail(source: str, target: str, word: str) -> str:
    """The part of the prompt that is a word's own; the answer after it begins with a space."""
    return f"{language_name(source)}: {word}\n{language_name(target)}:"


class WordTokens:
    """Token ids of prompts, answers and words under the tables' tokenizer.

    Args:
        tokenizer: as loaded from ``tokenizer.path``.
        start_token: text of a special token put before every prompt; empty: none.
    """

    def __init__(self, tokenizer: TokenizerSpec, start_token: str = "") -> None:
        self._encoder, self._vocabulary = encoder(tokenizer), vocabulary(tokenizer)
        self._answers: dict[tuple[str, str], tuple[int, ...]] = {}
        self._blank = frozenset(index for index, text in enumerate(self._vocabulary.texts) if not text.strip())
        self._start = [self._special(start_token)] if start_token else []

    def _special(self, text: str) -> int:
        for index in sorted(self._vocabulary.special_ids):
            if self._vocabulary.texts[index] == text:
                return index
        known = sorted(self._vocabulary.texts[index] for index in self._vocabulary.special_ids)
        raise TokenizerError(f"{text!r} is no special token of the tokenizer; it has {', '.join(known)}")

    def ids(self, text: str) -> list[int]:
        """Ids of a text, special tokens neither added nor recognised."""
        return [int(token) for token in self._encoder.encode([text])[0]]

    def prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of whole prompts, the start token first where one is set."""
        flat, offsets = self._encoder.encode(list(texts))
        bounds = pairwise(offsets)
        return [self._start + [int(token) for token in flat[a:b]] for a, b in bounds]

    def answer(self, language: str, word: str) -> tuple[int, ...]:
        """Ids of a space and the word where they follow ``<language>:``, as the prompt's answers do.

        Raises:
            TokenizerError: the tokenizer joins them with what stands before, or cannot encode the word.
        """
        if (language, word) not in self._answers:
            before = self.ids(f"\n{language_name(language)}:")
            whole = self.ids(f"\n{language_name(language)}: {word}")
            if whole[: len(before)] != before:
                raise TokenizerError(
                    f"the tokenizer joins {word!r} with the prompt before it, so that its probability "
                    "cannot be told apart: use a tokenizer that splits at ':'"
                )
            self._answers[language, word] = tuple(whole[len(before) :])
        return self._answers[language, word]

    def of(self, language: str, word: str) -> frozenset[int]:
        """The tokens that stand for a word in a prompt, without those that are only a space."""
        return frozenset(self.answer(language, word)) - self._blank

    def unencodable(self, concepts: Sequence[Concept], languages: Sequence[str]) -> list[tuple[str, str]]:
        """(language, word) of the words with no token of their own, or with an unknown or special one."""
        special = self._vocabulary.special_ids
        return [
            (language, concept.words[language])
            for concept in concepts
            for language in languages
            if language in concept.words
            and (not self.of(language, concept.words[language]) or self.of(language, concept.words[language]) & special)
        ]

    @property
    def texts(self) -> list[str]:
        """Readable text of every id."""
        return self._vocabulary.texts

    @cached_property
    def wordless(self) -> frozenset[int]:
        """Ids whose text is only spaces or punctuation (a part of a character is not)."""
        return frozenset(
            index
            for index, text in enumerate(self.texts)
            if not any(character.isalnum() or character == "\\" for character in text)
        )
