"""The concepts of the lexicon, as the translation task uses them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pivot_udfs.matching.lexicon import lexicon_rows, parse_lexicon, read_lexicon, surface_forms


@dataclass(frozen=True)
class Concept:
    """One row of the lexicon, numbered from 0 as in ``pair_pivots``; words by language, empty cells absent.

    ``frequency`` is the column ``zipf_en`` (log10 of occurrences per billion words), without it -log10 of the row.
    """

    number: int
    words: dict[str, str]
    part_of_speech: str
    frequency: float


def folded(word: str) -> str:
    """The form in which a word is compared: case and Unicode normalization are ignored."""
    return surface_forms(word)[0]


def read_concepts(path: str, languages: Sequence[str]) -> tuple[list[Concept], str]:
    """The lexicon's concepts, and the SHA-256 (hex) of its file.

    Raises LexiconError where the file cannot be read, or lacks a language.
    """
    payload = read_lexicon(path)
    lexicon = parse_lexicon(payload, languages, path)
    header, *rows = lexicon_rows(payload, path)
    concepts = []
    for number, (cells, ids) in enumerate(zip(rows, lexicon.concepts, strict=True)):
        row = dict(zip(header, cells, strict=False))
        words = dict(lexicon.words[k] for k in ids if k >= 0)
        concepts.append(Concept(number, words, row.get("pos", ""), _frequency(row.get("zipf_en"), number)))
    return concepts, lexicon.sha256


def _frequency(cell: str | None, number: int) -> float:
    if cell is None:
        return -math.log10(number + 1)
    try:
        return float(cell.replace(",", "."))  # as spreadsheets of other countries write it
    except ValueError:
        return 0.0
