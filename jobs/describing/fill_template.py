"""Pages of Markdown from templates."""

from importlib import resources

import jinja2

from jobs.framework.markdown import table


def filled(template: str, **values: object) -> str:
    """A page from a template in this folder, which may call ``table``."""
    text = resources.files(__package__).joinpath(template).read_text(encoding="utf-8")
    environment = jinja2.Environment(  # noqa: S701 - Markdown is not HTML
        undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(text).render(table=table, **values)
