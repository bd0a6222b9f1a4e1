"""Markdown: tables, and text that is shown as it is."""

import re
from collections.abc import Iterable, Sequence

from pivot_udfs.storage.redact import escaped

_SPECIAL = re.compile(r"""(https?://[^\s<>|`\\]*[^\s<>|`\\.,;:!?)"'])|^[-+=]|(?<=\d)[.)](?=\s)|[\\`*_\[\]<>|&~$#]""")
"""An address, or a character that can mean something else than itself."""


class Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; numbers are written with thousands separators."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def plain(text: str) -> Markdown:
    """One line of Markdown that shows any text as it is, and addresses in it as links."""
    line = escaped(" ".join(text.split()))
    return Markdown(_SPECIAL.sub(lambda found: f"<{found[1]}>" if found[1] else f"\\{found[0]}", line))


def _cell(value: object) -> str:
    if isinstance(value, Markdown):
        return value
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return " ".join(text.split()).replace("|", "\\|")
