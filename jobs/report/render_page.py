"""Renders the report as one self-contained HTML page: no external script, font or image, and no request.

The template escapes everything that comes from the corpus; only figures, style sheet and script are inserted as is.
"""

import json
import re
from collections.abc import Callable

from markupsafe import Markup, escape

from jobs.report.language_names import language_name, shown_token
from jobs.report.plot_style import PANEL, WIDE
from jobs.report.plots import N_LEAST_DOCS, draw_densities, draw_lengths, draw_reach, draw_share_by_length
from jobs.report.report_types import N_PIVOTS_LISTED, N_WORD_PAIRS_LISTED, Report
from jobs.report.templates import packaged, template, without_controls
from jobs.report.verdict import judge
from pivot_udfs.arms import ARMS
from pivot_udfs.counting.associations import MEASURES
from pivot_udfs.shards.quarantine_reasons import REASONS

_CARD_DIGITS = 7
"""Larger numbers are shortened in the cards at the top, which have no room for more."""
_BLANK = re.compile(r"\s+")


def make_page(report: Report, model_report: str | None = None, made_of: str = "") -> str:
    """The page as HTML; ``model_report`` is the model report's address relative to it, ``made_of`` its provenance."""
    filters: dict[str, Callable[..., object]] = {"n": "{:,}".format, "pct": _percent, "size": _size, "card": _card}
    filters |= {"lang": language_name, "shown": shown_token, "flow": _flow, "code": _code, "group": _group}
    figures = {
        "reach": _reach(report),
        "densities": draw_densities(report.densities),
        "lengths": draw_lengths(report.densities),
        "share_by_length": draw_share_by_length(report.densities),
    }
    page = template("report.html", filters).render(
        report=report,
        intake=report.intake,
        arms=ARMS,
        association=MEASURES[report.association].title,
        best=report.pivots[:N_PIVOTS_LISTED],
        n_word_pairs=N_WORD_PAIRS_LISTED,
        meanings=REASONS,
        n_least_docs=N_LEAST_DOCS,
        model_report=model_report,
        made_of=made_of,
        shows=json.dumps(_shown_records(report)),
        checks=judge(report),
        entries=_search_entries(report),
        script=Markup(packaged("search.js")),  # noqa: S704 - our own
        style=Markup(packaged("report.css")),  # noqa: S704 - our own
        figures={name: Markup(svg) for name, svg in figures.items()},  # noqa: S704 - matplotlib escapes texts
    )
    return without_controls(page)


def _shown_records(report: Report) -> list[tuple[str | None, str | None, str | None]]:
    """Source, ``doc_id`` and shard of each record that the page shows, where known; sources whose names it shows."""
    documents = [(row.source, row.doc_id, row.shard) for row, _ in report.examples]
    rejected = [(each.source, each.doc_id, each.shard) for of in report.intake.rejected for each in of.examples]
    sources = {row.source for row in report.intake.sources}
    sources |= {row.key for mix in report.mixes if mix.kind == "source" for row in mix.rows}
    return [*documents, *rejected, *((source, None, None) for source in sorted(sources))]


def _reach(report: Report) -> str:
    """The figure for wide and for narrow screens; the style sheet shows one of them."""
    drawn = {kind: draw_reach(report.pivots, width) for kind, width in (("wide", WIDE), ("narrow", PANEL))}
    return "".join(f'<div class="{kind}">{svg}</div>' for kind, svg in drawn.items() if svg)


def _search_entries(report: Report) -> list[tuple[str, str]]:
    """A title and a line of text for each pivot and word pair."""
    pivots = [
        (
            shown_token(row.token),
            f"pivot {row.rank}: concepts {row.n_concepts:,}, language pairs {row.n_language_pairs}, documents "
            f"{_percent(row.doc_share)}. " + " · ".join(f"{pair.word_a} – {pair.word_b}" for pair in row.pairs or ()),
        )
        for row in report.pivots
    ]
    pairs = [
        (
            f"{row.word_a} – {row.word_b}",
            f"{language_name(pair.lang_a)} – {language_name(pair.lang_b)}: {row.doc_count:,} documents, NPMI "
            f"{row.npmi:z.2f}{', a translation in the lexicon' if row.is_translation else ''}",
        )
        for pair in report.language_pairs
        for row in pair.pairs
    ]
    return pivots + pairs


def _card(value: int) -> str:
    if value < 10**_CARD_DIGITS:
        return f"{value:,}"
    return _scaled(value, ("trillion", 4), ("billion", 3), ("million", 2))


def _percent(value: float) -> str:
    """With one decimal, and two digits of a small share, so that those of rare tokens are not all 0.0%."""
    return f"{100 * value:.2g}%" if 1e-6 <= value < 0.01 else f"{value:.1%}"


def _size(n_bytes: int) -> str:
    return _scaled(n_bytes, ("TB", 4), ("GB", 3), ("MB", 2), ("kB", 1), ("bytes", 0))


def _scaled(value: int, *units: tuple[str, int]) -> str:
    """``value`` in the first unit, a name and a power of 1,000, of which it has at least one; else in the last."""
    unit, power = next((named for named in units if value >= 1000 ** named[1]), units[-1])
    return f"{value / 1000**power:,.{min(power, 1)}f} {unit}"


def _flow(text: str) -> Markup:
    """Text as one paragraph, with line ends shown as pilcrows."""
    pilcrow = ' <span class="cut">¶</span> '
    flowing = _BLANK.sub(lambda blank: pilcrow if "\n" in blank[0] else blank[0], str(escape(text)))
    return Markup(flowing)  # noqa: S704 - escaped two lines above


def _code(text: str) -> Markup:
    """Text with what is between backticks as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped in this line


def _group(key: str, kind: str) -> str:
    """The name of a group of a ``Mix``."""
    if kind == "length":
        return f"{2 ** int(key):,} to {2 ** (int(key) + 1) - 1:,}"
    return language_name(key) if kind == "language" else key
