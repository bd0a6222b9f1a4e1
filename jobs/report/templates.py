"""Templates, style sheets and scripts of both reports; no Spark, no torch, no Matplotlib."""

from collections.abc import Callable, Mapping
from importlib import resources

import jinja2


def packaged(name: str, package: str = "jobs.report") -> str:
    """A template, style sheet or script of a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def template(name: str, filters: Mapping[str, Callable[..., object]], package: str = "jobs.report") -> jinja2.Template:
    """A template of a package, which escapes what it is given, with these filters."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= filters
    return environment.from_string(packaged(name, package))
