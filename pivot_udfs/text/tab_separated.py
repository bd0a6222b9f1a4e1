"""Tab-separated files as editors and spreadsheets write them."""

import codecs
from collections.abc import Iterator

import regex

_BLANKS = r"(?:[^\S\t\r\n]|\p{Cf})*"
_CELL = regex.compile(
    rf"""(?:{_BLANKS}"((?:[^"\t]|"")*|(?:[^"\r\n]|"")*)"{_BLANKS}(?=[\t\r\n]|\Z)|([^\t\r\n]*))(\t|\r\n|\n|\r|\Z)"""
)
"""A quoted cell, which holds tabs or line ends but not both, or a plain one, in which quotes are characters."""
_LINE_END = regex.compile(r"\r\n|\n|\r")


def tab_separated_rows(payload: bytes) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty: the number of a row's first line, and its cells.

    The file is as for ``decoded``, with any line ends; cells may be quoted, with blanks around the quotes.
    """
    line, row = 1, list[str]()
    start = line
    for found in _CELL.finditer(decoded(payload)):
        quoted, plain, end = found.groups()
        row.append(plain if quoted is None else quoted.replace('""', '"'))
        line += len(_LINE_END.findall(found.group()))
        if end != "\t":
            if any(row):
                yield start, row
            start, row = line, []


def decoded(payload: bytes) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark.

    Raises ValueError with a message that continues the file's name where it is neither, or a spreadsheet.
    """
    if payload.startswith(b"PK\x03\x04"):
        raise ValueError("is a spreadsheet, or another zip archive; save it as tab-separated text in UTF-8")
    encoding = "utf-16" if payload.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = payload.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 ({error}); save it as UTF-8") from None
    if "\0" in text:
        raise ValueError("is not UTF-8: it holds NUL characters, as UTF-16 does; save it as UTF-8")
    return text
