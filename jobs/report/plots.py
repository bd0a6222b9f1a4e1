"""The figures of the corpus report as SVG, a panel for each language; empty where there is no point to plot."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter, StrMethodFormatter
from pyspark.sql import Row

from jobs.report.language_names import language_name
from jobs.report.plot_style import (
    BLUE,
    DOTS,
    ORANGE,
    PALE,
    PANEL,
    QUIET,
    RED,
    SKY,
    as_svg,
    count_logarithmically,
    drawing,
    label_logarithmically,
    no_points,
    panel,
)
from jobs.report.report_types import LanguageDensity

N_LEAST_DOCS = 10
"""Octaves of length with fewer documents are not drawn."""
_GREY, _BLUE = DOTS


def draw_densities(densities: Sequence[LanguageDensity]) -> str:
    """Histograms of the documents' density by language, with those of the pivot arm in colour."""
    return "".join(_draw_density(language, k) for k, language in enumerate(densities))


def _draw_density(language: LanguageDensity, number: int) -> str:
    name, edges = language_name(language.lang), np.arange(len(language.raw) + 1) * language.bin_width
    with drawing():
        figure, axis = panel()
        axis.stairs(language.shrunken, edges, fill=True, color=PALE)
        axis.stairs(language.taken, edges, fill=True, color=BLUE)
        axis.stairs(language.raw, edges, color=QUIET, linewidth=0.7, linestyle=(0, (2, 1)))
        if language.cut is not None:
            axis.axvline(language.cut, color=RED, linewidth=1.2)
        axis.set(title=name, xlabel="pivot density", ylabel="documents", xlim=(0, edges[-1]))
        axis.xaxis.set_major_formatter(_PERCENT)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.yaxis.set_major_formatter(_THOUSANDS)
        axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        return as_svg(figure, f"densities{number}", f"{name}: number of documents by pivot density")


def draw_lengths(densities: Sequence[LanguageDensity]) -> str:
    """Density against length by language, one dot for each document: raw density above, shrunken density below."""
    if not any(language.sample for language in densities):
        return ""
    return "".join(_draw_lengths(language, k) for k, language in enumerate(densities))


def _draw_lengths(language: LanguageDensity, number: int) -> str:
    name = language_name(language.lang)
    with drawing():
        figure = Figure(figsize=(PANEL, 3.9))
        above, below = figure.subplots(2, 1, sharex=True, sharey=True)
        _draw_sample(above, language, "density")
        _draw_sample(below, language, "shrunken")
        if language.cut is not None:
            below.axhline(language.cut, color=RED, linewidth=1.2)
        high = np.quantile([p.density for p in language.sample], 0.998) if language.sample else 0.0
        above.set(title=name, ylabel="raw density", ylim=(0, max(high, 1e-3) * 1.05))
        below.set(xlabel="tokens of the document", ylabel="shrunken density")
        label = f"{name}: pivot density of a sample of documents by length, raw above and shrunken below"
        return as_svg(figure, f"lengths{number}", label)


def _draw_sample(axis: Axes, language: LanguageDensity, name: str) -> None:
    if not language.sample:
        return no_points(axis, "no document sampled")
    for taken, color in ((False, _GREY), (True, _BLUE)):
        points = [(max(p.n_tokens, 1), getattr(p, name)) for p in language.sample if p.taken == taken]
        x, y = np.array(points, np.float64).reshape(-1, 2).T
        axis.scatter(x, y, s=3, color=color, alpha=0.55, linewidths=0, rasterized=True)
    axis.yaxis.set_major_formatter(_PERCENT)
    axis.yaxis.set_major_locator(MaxNLocator(4))
    return count_logarithmically(axis, (1, 3))


def draw_share_by_length(densities: Sequence[LanguageDensity]) -> str:
    """The share of documents taken in each octave of length, and the share that ranking by raw density would take."""
    bins = [[b for b in language.lengths if b.n_docs >= N_LEAST_DOCS] for language in densities]
    if not any(bins):
        return ""
    return "".join(_draw_share(*of_language, k) for k, of_language in enumerate(zip(densities, bins, strict=True)))


def _draw_share(language: LanguageDensity, shown: Sequence[Row], number: int) -> str:
    name = language_name(language.lang)
    with drawing():
        figure, axis = panel()
        axis.axhline(language.n_taken / max(language.n_docs, 1), color=QUIET, linewidth=0.6)
        _draw_shares(axis, shown)
        axis.set(title=name, xlabel="tokens of the document", ylabel="documents taken")
        axis.set_ylim(bottom=0)
        return as_svg(figure, f"share-by-length{number}", f"{name}: share of documents in the pivot arm by length")


def _draw_shares(axis: Axes, bins: Sequence[Row]) -> None:
    if not bins:
        return no_points(axis, f"no length with {N_LEAST_DOCS} documents")
    at = [b.n_tokens * 2**0.5 for b in bins]
    axis.plot(at, [b.n_by_raw / b.n_docs for b in bins], color=ORANGE, linewidth=1.2, linestyle=(0, (3, 1.5)))
    axis.plot(at, [b.n_taken / b.n_docs for b in bins], color=BLUE, linewidth=1.8)
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.yaxis.set_major_locator(MaxNLocator(4))
    return count_logarithmically(axis, (1, 3))


def draw_reach(pivots: Sequence[Row], width: float, n_labels: int = 60) -> str:
    """Pivots by number of concepts and share of documents; the first ``n_labels`` are labelled where there is room.

    ``width`` of the figure in inches, WIDE or PANEL.
    """
    if not pivots:
        return ""
    with drawing():
        figure, axis = panel(4.2, width)
        x, y = [_place(p) for p in pivots], [p.doc_share for p in pivots]
        wide = max((p.n_language_pairs for p in pivots), default=1)
        colors = [_BLUE if p.n_language_pairs == wide else SKY if p.n_language_pairs > 1 else _GREY for p in pivots]
        top = max(p.score for p in pivots)
        sizes = [6 + 90 * (max(p.score, 0) / top) ** 0.5 if top > 0 else 6 for p in pivots]
        axis.scatter(x, y, s=sizes, color=colors, alpha=0.75, linewidths=0, rasterized=True)
        axis.set(yscale="log", xlabel="concepts linked", ylabel="documents with the token")
        count_logarithmically(axis, (1, 2, 5))
        least, most = min(p.n_concepts for p in pivots), max(p.n_concepts for p in pivots)
        axis.set_xlim(least / 1.1, most * 1.1)  # wide enough for the shifted dots, and a whole number is in range
        label_logarithmically(axis.yaxis, (1, 2, 5), _PERCENT)
        _name_points(axis, pivots[:n_labels])
        return as_svg(figure, f"reach{width:.0f}", "Pivots by number of concepts linked and share of documents")


def _name_points(axis: Axes, pivots: Sequence[Row]) -> None:
    """Labels points in order of rank, left of those near the right edge, without labels that would overlap another."""
    taken: list[tuple[float, float, float]] = []
    axis.figure.draw_without_rendering()  # type: ignore[union-attr]
    for pivot in pivots:
        label, at = pivot.token.strip() or repr(pivot.token), (_place(pivot), pivot.doc_share)
        x, y = axis.transData.transform(at)
        width = 6.5 * sum(2 if ord(char) > 0x2E80 else 1 for char in label) + 14
        is_left = x + width > axis.bbox.x1
        start = x - width if is_left else x
        if start >= axis.bbox.x0 and all(
            abs(y - other_y) > 11 or start > right or start + width < left for left, right, other_y in taken
        ):
            taken.append((start, start + width, y))
            side = {"xytext": (-6, -3), "ha": "right"} if is_left else {"xytext": (6, -3)}
            axis.annotate(
                label, at, **side, textcoords="offset points", fontsize=8.5, parse_math=False, in_layout=False
            )


def _place(pivot: Row) -> float:
    """Its concepts, shifted a little by rank so that dots with equal numbers do not coincide."""
    return float(pivot.n_concepts * 2 ** (0.22 * ((pivot.rank * 0.618034) % 1 - 0.5)))


_PERCENT = FuncFormatter(lambda value, _: f"{100 * value:.4g}%")
_THOUSANDS = StrMethodFormatter("{x:,.0f}")
