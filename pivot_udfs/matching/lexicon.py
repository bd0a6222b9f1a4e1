"""The lexicon: concepts, their words in each language, and the surfaces by which a word is found in text.

Words that differ only in case or in Unicode form are one word, since matching cannot distinguish them; the first
spelling in the file names it. Word ids follow (language, word), so that the smaller id of a pair is the one that the
tables store first.
"""

import hashlib
import logging
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import regex

from pivot_udfs.errors import LexiconError
from pivot_udfs.storage.redact import printable, reason
from pivot_udfs.storage.stores import STORE_ERRORS, resolve
from pivot_udfs.text.script_tables import fold
from pivot_udfs.text.tab_separated import tab_separated_rows

_LOG = logging.getLogger(__name__)
_N_EXAMPLES = 5
_JOINERS = "\u200c\u200d"
_INVISIBLE = regex.compile(
    rf"[[\p{{Cc}}--[\s\x1c-\x1f]][\p{{Cf}}&&\p{{Default_Ignorable_Code_Point}}--[{_JOINERS}\U000E0000-\U000E0FFF]]]",
    regex.V1,
)


@dataclass(frozen=True)
class Lexicon:
    """Concepts and words of the chosen languages; picklable, so that it travels to executors whole."""

    sha256: str
    """Of the file's bytes, hexadecimal."""
    languages: tuple[str, ...]
    """Ascending; a language's number is its place here."""
    words: tuple[tuple[str, str], ...] = field(repr=False)
    """(language, word) by word id, ascending."""
    concepts: tuple[tuple[int, ...], ...] = field(repr=False)
    """Per row of the file: the word id in each language, -1 where the cell is empty."""

    def word_numbers(self) -> dict[tuple[str, str], int]:
        """The word id of each (language, word)."""
        return {word: number for number, word in enumerate(self.words)}

    def word_languages(self) -> list[int]:
        """The language number of each word id."""
        return [self.languages.index(language) for language, _ in self.words]


def load_lexicon(path: str, languages: Sequence[str]) -> Lexicon:
    """Reads a TSV lexicon (local path or URI).

    Raises LexiconError where it cannot be read, is not UTF-8, lacks a language or has it twice, has ragged rows, or has
    no pair.
    """
    lexicon = parse_lexicon(read_lexicon(path), languages, path)
    paired = [concept for concept in lexicon.concepts if sum(word >= 0 for word in concept) > 1]
    if n_repeated := len(paired) - len(set(paired)):
        _LOG.warning(
            "%s: %d rows have the words of another row; each is a concept of its own: remove those that are not",
            *(printable(path), n_repeated),
        )
    return lexicon


def read_lexicon(path: str) -> bytes:
    """The file of a lexicon (local path or URI); raises LexiconError where it cannot be read."""
    try:
        return resolve(path).read()
    except STORE_ERRORS as error:
        raise LexiconError(f"lexicon.path = {path!r} cannot be read: {reason(error)}; give a TSV file") from None


def parse_lexicon(payload: bytes, languages: Sequence[str], name: str = "the lexicon") -> Lexicon:
    """A lexicon from the bytes of a TSV with a header row, as editors and spreadsheets write them.

    UTF-8, or UTF-16 with a byte order mark; any line ends; the header in any case; cells may be quoted; empty rows, and
    empty cells beyond the header, are skipped. Cells are cleaned by ``clean_cell``. A row that is there twice is one
    concept, the first.
    """
    chosen = sorted(set(languages))
    rows = _rows(payload, name)
    columns = _columns(next(iter(rows.values()), []), chosen, name)
    _check_width(rows, name)
    cells = [[row[column] for column in columns] for row in _without_repeats([*rows.values()][1:])]
    return _build(cells, chosen, hashlib.sha256(payload).hexdigest(), name)


def lexicon_rows(payload: bytes, name: str = "the lexicon") -> list[list[str]]:
    """The cleaned cells of the rows that are not empty, the header first; the other rows are the concepts."""
    return list(_rows(payload, name).values())


def clean_cell(cell: str) -> str:
    """A cell's word: without invisible characters, every run of white space as one space.

    Soft hyphens, zero-width spaces, byte order marks, direction marks and control characters go; joiners and variation
    selectors, which change what is written, stay, except at the ends.
    """
    visible = " ".join(_INVISIBLE.sub("", cell).split())
    return " ".join(visible.strip(_JOINERS).split())


def describe_missing(lexicon: Lexicon, found: Iterable[tuple[str, str]]) -> str | None:
    """How many of the lexicon's words are not among the (language, word) found, with examples; None if all are."""
    missing = sorted(set(lexicon.words).difference(found))
    if not missing:
        return None
    examples = ", ".join(f"{word} ({language})" for language, word in missing[:: -(-len(missing) // _N_EXAMPLES)])
    return f"{len(missing)} of {len(lexicon.words)} lexicon words occur in no document, for example {examples}"


def surface_forms(word: str) -> tuple[str, ...]:
    """The folded forms by which a word is looked for: its NFC and its NFD form, once if they are the same."""
    return tuple(dict.fromkeys(fold(unicodedata.normalize(form, word)) for form in ("NFC", "NFD")))


def _rows(payload: bytes, name: str) -> dict[int, list[str]]:
    """The cleaned cells of the rows that are not empty, by the number of each row's first line.

    The header is in lower case: spreadsheets begin cells with a capital letter.
    """
    try:
        rows = {number: [*map(clean_cell, row)] for number, row in tab_separated_rows(payload)}
    except ValueError as error:
        raise LexiconError(f"{name} {error}") from None
    filled = {number: row for number, row in rows.items() if any(row)}
    return {number: row if place else [*map(str.lower, row)] for place, (number, row) in enumerate(filled.items())}


def _columns(header: list[str], languages: list[str], name: str) -> list[int]:
    missing = [language for language in languages if language not in header]
    if missing:
        raise LexiconError(
            f"{name} has no column {', '.join(missing)}; its columns are {', '.join(header)[:300] or 'none'}: "
            "correct lexicon.languages or the header row"
        )
    if repeated := [language for language in languages if header.count(language) > 1]:
        raise LexiconError(f"{name} has several columns {', '.join(repeated)}: keep one, with a row for each synonym")
    return [header.index(language) for language in languages]


def _check_width(rows: dict[int, list[str]], name: str) -> None:
    header = next(iter(rows.values()))
    width = max(number for number, cell in enumerate(header, 1) if cell)
    ragged = [(number, len(row)) for number, row in rows.items() if len(row) < width or any(row[width:])]
    if ragged:
        shown = ", ".join(f"row {number} has {cells}" for number, cells in ragged[:5])
        raise LexiconError(
            f"{name}: {len(ragged)} rows are not {width} cells wide as the header is ({shown}); "
            "separate cells by one tab and leave empty cells empty"
        )


def _without_repeats(rows: list[list[str]]) -> list[list[str]]:
    """The rows; those that repeat an earlier one in every column, case and Unicode form ignored, are emptied."""
    width, seen = max(map(len, rows), default=0), set[tuple[str, ...]]()
    found = []
    for row in rows:
        key = tuple(surface_forms(cell)[0] for cell in [*row, *[""] * (width - len(row))])
        found.append([""] * len(row) if key in seen else row)
        seen.add(key)
    return found


def _build(cells: list[list[str]], languages: list[str], sha256: str, name: str) -> Lexicon:
    spelling: dict[tuple[str, str], str] = {}
    for row in cells:
        for language, word in zip(languages, row, strict=True):
            if word:
                spelling.setdefault((language, surface_forms(word)[0]), word)
    words = sorted((language, word) for (language, _), word in spelling.items())
    ids = {entry: index for index, entry in enumerate(words)}
    concepts = tuple(
        tuple(
            ids[language, spelling[language, surface_forms(word)[0]]] if word else -1
            for language, word in zip(languages, row, strict=True)
        )
        for row in cells
    )
    if not any(sum(word >= 0 for word in concept) > 1 for concept in concepts):
        raise LexiconError(f"{name} has no row with words in two of {', '.join(languages)}: there is nothing to pair")
    return Lexicon(sha256, tuple(languages), tuple(words), concepts)
