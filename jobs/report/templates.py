"""Templates, style sheets and scripts of both reports and of descriptions; no Spark, no torch, no Matplotlib."""

from collections.abc import Callable, Mapping
from importlib import resources

import jinja2

_CONTROLS = dict.fromkeys([*range(9), 11, 12, *range(13, 32), *range(0x7F, 0xA0)], "\N{REPLACEMENT CHARACTER}")


def packaged(name: str, package: str = "jobs.report") -> str:
    """A template, style sheet or script of a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def without_controls(page: str) -> str:
    """A page with a replacement character for each control character, which HTML does not allow."""
    return page.translate(_CONTROLS)


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
