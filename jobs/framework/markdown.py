"""Tables and pages of Markdown."""

from collections.abc import Iterable, Sequence
from importlib import resources

import jinja2


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; numbers are written with thousands separators."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return " ".join(text.split()).replace("|", "\\|")


def filled(template: str, **values: object) -> str:
    """A page from a template in ``jobs/describing``, which may call ``table``."""
    text = resources.files("jobs.describing").joinpath(template).read_text(encoding="utf-8")
    environment = jinja2.Environment(  # noqa: S701 - Markdown is not HTML
        undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(text).render(table=table, **values)
