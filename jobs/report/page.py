"""The report as one HTML page that needs nothing else: no script, no font, no image, no network.

The template escapes everything that comes from the corpus; only the figures and the style sheet are taken as they are.
"""

import re
from importlib import resources

import jinja2
from markupsafe import Markup, escape

from jobs.report.content import Report
from jobs.report.names import language_name, shown_token
from jobs.report.plots import draw_arms, draw_densities, draw_lengths, draw_reach, draw_share_by_length

N_TIED = 30
"""Pivots in the table; all of them are in the figure."""


ASSOCIATIONS = {"npmi": "NPMI", "lift_difference": "difference of lift", "llr": "log-likelihood ratio"}
_LINE_ENDS = re.compile(r"[^\S\n]*\n\s*")


def make_page(report: Report, model_report: str | None = None, made_of: str = "") -> str:
    """The page.

    Args:
        report: what it says.
        model_report: address of the model side's report, relative to this page; None: no link.
        made_of: a fingerprint of all that the page shows, put into its head.

    Returns:
        HTML.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"n": _thousands, "pct": _percent, "size": _size}
    environment.filters |= {"lang": language_name, "shown": shown_token, "flow": _flow}
    template = environment.from_string(_file("report.html"))
    corpus: dict[str, int] = {language.lang: language.n_tokens for language in report.densities}
    figures = {
        "reach": draw_reach(report.pivots) if report.pivots else "",
        "densities": draw_densities(report.densities) if report.densities else "",
        "lengths": draw_lengths(report.densities) if report.densities else "",
        "share_by_length": draw_share_by_length(report.densities) if report.densities else "",
        "arms": draw_arms(corpus, report.arms) if corpus else "",
    }
    return template.render(
        report=report,
        intake=report.intake,
        association=ASSOCIATIONS.get(report.association, report.association),
        best=report.pivots[:N_TIED],
        model_report=model_report,
        made_of=made_of,
        style=_markup(_file("report.css")),
        figures={name: _markup(svg) for name, svg in figures.items()},
    )


def _markup(trusted: str) -> Markup:
    return Markup(trusted)  # noqa: S704 - our own style sheet and figures; their texts are escaped by matplotlib


def _file(name: str) -> str:
    return resources.files("jobs.report").joinpath(name).read_text(encoding="utf-8")


def _thousands(value: int) -> str:
    return f"{value:,}"


def _percent(value: float, digits: int = 1) -> str:
    return f"{value:.{digits}%}"


def _size(n_bytes: int) -> str:
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if n_bytes >= 1000**power:
            return f"{n_bytes / 1000**power:,.1f} {unit}"
    return f"{n_bytes} bytes"


def _flow(text: str) -> Markup:
    """Text in one paragraph: ends of lines become pilcrows."""
    return Markup(_LINE_ENDS.sub(' <span class="cut">¶</span> ', str(escape(text))))  # noqa: S704 - escaped just here
