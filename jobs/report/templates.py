"""Templates, style sheets and scripts of both reports and of descriptions; no Spark, no torch, no Matplotlib."""

from collections.abc import Callable, Mapping
from importlib import resources

import jinja2


def packaged(name: str, package: str = "jobs.report") -> str:
    """A template, style sheet or script of a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def template(name: str, filters: Mapping[str, Callable[..., object]], package: str = "jobs.report") -> jinja2.Template:
    """A template of a package with these filters; one of HTML escapes what it is given."""
    is_html = name.endswith(".html")
    environment = jinja2.Environment(
        autoescape=is_html,  # noqa: S701 - Markdown is not HTML
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=is_html,
        keep_trailing_newline=not is_html,
    )
    environment.filters |= filters
    return environment.from_string(packaged(name, package))
