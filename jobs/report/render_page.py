"""Renders the report as one self-contained HTML page: no script, no external font, image or request.

The template escapes everything that comes from the corpus; only the figures and the style sheet are inserted unescaped.
"""

import re
from importlib import resources

import jinja2
from markupsafe import Markup, escape

from jobs.report.language_names import language_name, shown_token
from jobs.report.plots import N_LEAST_DOCS, draw_arms, draw_densities, draw_lengths, draw_reach, draw_share_by_length
from jobs.report.report_types import N_PIVOTS_LISTED, Report
from jobs.report.verdict import judge
from pivot_udfs.shards.quarantine_reasons import REASONS

ASSOCIATIONS = {"npmi": "NPMI", "lift_difference": "lift difference", "llr": "log-likelihood ratio"}
_CARD_DIGITS = 7
"""Larger numbers are shortened in the cards at the top, which have no room for more."""
_LINE_ENDS = re.compile(r"[^\S\n]*\n\s*")


def make_page(report: Report, model_report: str | None = None, made_of: str = "") -> str:
    """The page as HTML; ``model_report`` is the model report's address relative to it, ``made_of`` its provenance."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"n": "{:,}".format, "pct": _percent, "size": _size, "card": _card}
    environment.filters |= {"lang": language_name, "shown": shown_token, "flow": _flow}
    template = environment.from_string(packaged("report.html"))
    corpus: dict[str, int] = {language.lang: language.n_tokens for language in report.densities}
    figures = {
        "reach": draw_reach(report.pivots),
        "densities": draw_densities(report.densities),
        "lengths": draw_lengths(report.densities),
        "share_by_length": draw_share_by_length(report.densities),
        "arms": draw_arms(corpus, report.arms),
    }
    return template.render(
        report=report,
        intake=report.intake,
        association=ASSOCIATIONS[report.association],
        best=report.pivots[:N_PIVOTS_LISTED],
        meanings=REASONS,
        n_least_docs=N_LEAST_DOCS,
        model_report=model_report,
        made_of=made_of,
        findings=judge(report),
        style=Markup(packaged("report.css")),  # noqa: S704 - our own
        figures={name: Markup(svg) for name, svg in figures.items()},  # noqa: S704 - matplotlib escapes texts
    )


def packaged(name: str) -> str:
    """A template or style sheet of this package."""
    return resources.files("jobs.report").joinpath(name).read_text(encoding="utf-8")


def _card(value: int) -> str:
    if value < 10**_CARD_DIGITS:
        return f"{value:,}"
    return _scaled(value, ("trillion", 4), ("billion", 3), ("million", 2))


def _percent(value: float, digits: int = 1) -> str:
    return f"{value:.{digits}%}"


def _size(n_bytes: int) -> str:
    return _scaled(n_bytes, ("TB", 4), ("GB", 3), ("MB", 2), ("kB", 1), ("bytes", 0))


def _scaled(value: int, *units: tuple[str, int]) -> str:
    """``value`` in the first unit, a name and a power of 1,000, of which it has at least one; else in the last."""
    unit, power = next((named for named in units if value >= 1000 ** named[1]), units[-1])
    return f"{value / 1000**power:,.{min(power, 1)}f} {unit}"


def _flow(text: str) -> Markup:
    """Text as one paragraph, with line ends shown as pilcrows."""
    return Markup(_LINE_ENDS.sub(' <span class="cut">¶</span> ', str(escape(text))))  # noqa: S704 - escaped in this line
