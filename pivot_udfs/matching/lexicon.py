"""The lexicon: concepts, their words in each language, and the surfaces by which a word is found in text.

Words that differ only in case or in Unicode form are one word (they cannot be told apart in text); the first
spelling in the file names it. Word ids follow (language, word), so that the smaller id of a pair is the one that the
tables store first.
"""

import csv
import hashlib
import io
import logging
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from pivot_udfs.errors import LexiconError
from pivot_udfs.shards.list_shards import open_shard
from pivot_udfs.storage.stores import STORE_ERRORS
from pivot_udfs.text.script_tables import fold

log = logging.getLogger(__name__)


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

    def word_languages(self) -> list[int]:
        """The language number of each word id."""
        number = {language: index for index, language in enumerate(self.languages)}
        return [number[language] for language, _ in self.words]


def load_lexicon(path: str, languages: Sequence[str]) -> Lexicon:
    """Reads a TSV lexicon (local path or URI).

    Raises:
        LexiconError: the file cannot be read, is not UTF-8, lacks a language, has ragged rows, or has no pair.
    """
    try:
        with open_shard(path) as stream:
            payload = stream.read()
    except STORE_ERRORS as error:
        reason = str(error).split("\n", 1)[0].removeprefix("corpus.inputs: ")
        raise LexiconError(f"lexicon.path = {path!r} cannot be read: {reason}; give a TSV file") from None
    return parse_lexicon(payload, languages, path)


def parse_lexicon(payload: bytes, languages: Sequence[str], name: str = "the lexicon") -> Lexicon:
    """A lexicon from the bytes of a TSV with a header row; a byte order mark is dropped, empty rows are skipped."""
    chosen = sorted(set(languages))
    rows = _rows(payload, name)
    columns = _columns(next(iter(rows.values()), []), chosen, name)
    _check_width(rows, name)
    cells = [[row[column].strip() for column in columns] for row in list(rows.values())[1:]]
    return _build(cells, chosen, hashlib.sha256(payload).hexdigest(), name)


def surface_forms(word: str) -> tuple[str, ...]:
    """The folded forms by which a word is looked for: its NFC and its NFD form, once if they are the same."""
    return tuple(dict.fromkeys(fold(unicodedata.normalize(form, word)) for form in ("NFC", "NFD")))


def _rows(payload: bytes, name: str) -> dict[int, list[str]]:
    """The rows that are not empty, by their line numbers in the file."""
    try:
        text = payload.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LexiconError(f"{name} is not UTF-8 ({error}); save it as UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    return {number: row for number, row in enumerate(reader, 1) if any(cell.strip() for cell in row)}


def _columns(header: list[str], languages: list[str], name: str) -> list[int]:
    header = [cell.strip() for cell in header]
    missing = [language for language in languages if language not in header]
    if missing:
        raise LexiconError(
            f"{name} has no column {', '.join(missing)}; its columns are {', '.join(header) or 'none'}: "
            "mend lexicon.languages or the header row"
        )
    return [header.index(language) for language in languages]


def _check_width(rows: dict[int, list[str]], name: str) -> None:
    width = len(next(iter(rows.values())))
    ragged = [(number, len(row)) for number, row in rows.items() if len(row) != width]
    if ragged:
        shown = ", ".join(f"row {number} has {cells}" for number, cells in ragged[:5])
        raise LexiconError(
            f"{name}: {len(ragged)} rows are not {width} cells wide as the header is ({shown}); "
            "separate cells by one tab and leave empty cells empty"
        )


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
    empty = sum(word < 0 for concept in concepts for word in concept)
    log.info("%s: %d concepts, %d words, %d empty cells", name, len(concepts), len(words), empty)
    return Lexicon(sha256, tuple(languages), tuple(words), concepts)
