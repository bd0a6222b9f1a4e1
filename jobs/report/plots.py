"""The figures of the corpus report as SVG; a figure without any point to plot is an empty string."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator, PercentFormatter, StrMethodFormatter
from pyspark.sql import Row

from jobs.report.language_names import language_name
from jobs.report.plot_style import (
    BLUE,
    ORANGE,
    PALE,
    PALETTE,
    QUIET,
    RED,
    SKY,
    WIDTH,
    as_svg,
    drawing,
    no_points,
    panels,
)
from jobs.report.report_types import ArmContent, LanguageDensity

N_LEAST_DOCS = 10
"""Octaves of length with fewer documents are not drawn."""


def draw_densities(densities: Sequence[LanguageDensity]) -> str:
    """Histograms of the documents' density by language, with those of the pivot arm in colour."""
    if not densities:
        return ""
    with drawing():
        figure, axes = panels(len(densities), 2.1)
        for axis, language in zip(axes, densities, strict=True):
            _draw_density(axis, language)
        figure.supxlabel("pivot density", fontsize=9)
        figure.supylabel("documents", fontsize=9)
        return as_svg(figure, "densities")


def _draw_density(axis: Axes, language: LanguageDensity) -> None:
    edges = np.arange(len(language.raw) + 1) * language.bin_width
    axis.stairs(language.shrunken, edges, fill=True, color=PALE)
    axis.stairs(language.taken, edges, fill=True, color=BLUE)
    axis.stairs(language.raw, edges, color=QUIET, linewidth=0.7, linestyle=(0, (2, 1)))
    if language.cut is not None:
        axis.axvline(language.cut, color=RED, linewidth=1)
    axis.set_title(language_name(language.lang))
    axis.xaxis.set_major_formatter(_PERCENT)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.yaxis.set_major_formatter(_THOUSANDS)
    axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.set_xlim(0, edges[-1])


def draw_lengths(densities: Sequence[LanguageDensity]) -> str:
    """Density against length, one dot for each document: raw density above, shrunken density below."""
    if not any(language.sample for language in densities):
        return ""
    with drawing():
        figure = Figure(figsize=(WIDTH, 4.6))
        grid = figure.subplots(2, len(densities), sharex=True, sharey="col", squeeze=False)
        for column, language in enumerate(densities):
            for row, name in enumerate(("density", "shrunken")):
                _draw_sample(grid[row, column], language, name)
            if language.cut is not None:
                grid[1, column].axhline(language.cut, color=RED, linewidth=0.8)
            grid[0, column].set_title(language_name(language.lang))
            high = np.quantile([p.density for p in language.sample], 0.998) if language.sample else 0.0
            grid[0, column].set_ylim(0, max(high, 1e-3) * 1.05)
        grid[0, 0].set_ylabel("raw density")
        grid[1, 0].set_ylabel("shrunken density")
        figure.supxlabel("tokens of the document", fontsize=9)
        return as_svg(figure, "lengths")


def _draw_sample(axis: Axes, language: LanguageDensity, name: str) -> None:
    if not language.sample:
        return no_points(axis, "no document sampled")
    for taken, color in ((False, "#9aa3af"), (True, BLUE)):
        points = [(max(p.n_tokens, 1), getattr(p, name)) for p in language.sample if p.taken == taken]
        x, y = np.array(points, np.float64).reshape(-1, 2).T
        axis.scatter(x, y, s=3, color=color, alpha=0.55, linewidths=0, rasterized=True)
    axis.set_xscale("log")
    axis.yaxis.set_major_formatter(_PERCENT)
    axis.yaxis.set_major_locator(MaxNLocator(4))
    axis.xaxis.set_major_formatter(_SHORT)
    return None


def draw_share_by_length(densities: Sequence[LanguageDensity]) -> str:
    """The share of documents taken in each octave of length, and the share that ranking by raw density would take."""
    bins = [[b for b in language.lengths if b.n_docs >= N_LEAST_DOCS] for language in densities]
    if not any(bins):
        return ""
    with drawing():
        figure, axes = panels(len(densities), 1.9, sharex=True, sharey=True)
        for axis, language, shown in zip(axes, densities, bins, strict=True):
            axis.set_title(language_name(language.lang))
            axis.axhline(language.n_taken / max(language.n_docs, 1), color=QUIET, linewidth=0.6)
            _draw_shares(axis, shown)
        for axis in axes:
            axis.set_ylim(bottom=0)
        figure.supxlabel("tokens of the document", fontsize=9)
        figure.supylabel("documents taken", fontsize=9)
        return as_svg(figure, "share-by-length")


def _draw_shares(axis: Axes, bins: Sequence[Row]) -> None:
    if not bins:
        return no_points(axis, f"no length with {N_LEAST_DOCS} documents")
    at = [b.n_tokens * 2**0.5 for b in bins]
    axis.plot(at, [b.n_by_raw / b.n_docs for b in bins], color=ORANGE, linewidth=1.2, linestyle=(0, (3, 1.5)))
    axis.plot(at, [b.n_taken / b.n_docs for b in bins], color=BLUE, linewidth=1.8)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(_SHORT)
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return None


def draw_arms(corpus: dict[str, int], arms: Sequence[ArmContent]) -> str:
    """The languages of the corpus and of each arm, as shares of tokens."""
    if not any(corpus.values()):
        return ""
    rows = [("corpus", corpus), *((arm.name, arm.language_tokens) for arm in arms)]
    main = sorted(corpus, key=lambda lang: -corpus[lang])[: len(PALETTE)]
    with drawing():
        figure = Figure(figsize=(WIDTH, 0.6 + 0.36 * len(rows)))
        axis = figure.subplots()
        left = np.zeros(len(rows))
        totals = np.array([max(sum(tokens.values()), 1) for _, tokens in rows])
        parts = [(language_name(lang), np.array([t.get(lang, 0) for _, t in rows])) for lang in main]
        others = totals * np.array([bool(t) for _, t in rows]) - sum((part for _, part in parts), np.zeros(len(rows)))
        parts += [("others", others)] if others.sum() > 0 else []
        for (name, tokens), color in zip(parts, (*PALETTE, PALE), strict=False):
            axis.barh([label for label, _ in rows], tokens / totals, left=left, color=color, label=name, height=0.68)
            left += tokens / totals
        axis.invert_yaxis()
        axis.set_xlim(0, 1)
        axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.spines["left"].set_visible(False)
        axis.tick_params(left=False)
        figure.legend(loc="outside upper left", ncols=len(parts), frameon=False, fontsize=8, handlelength=1)
        return as_svg(figure, "arms")


def draw_reach(pivots: Sequence[Row], n_labels: int = 60) -> str:
    """Pivots by number of concepts and share of documents; the first ``n_labels`` are labelled where there is room."""
    if not pivots:
        return ""
    with drawing():
        figure = Figure(figsize=(WIDTH, 4.2))
        axis = figure.subplots()
        x, y = [_place(p) for p in pivots], [p.doc_share for p in pivots]
        wide = max((p.n_language_pairs for p in pivots), default=1)
        colors = [BLUE if p.n_language_pairs == wide else SKY if p.n_language_pairs > 1 else PALE for p in pivots]
        top = max(p.score for p in pivots)
        sizes = [6 + 90 * (max(p.score, 0) / top) ** 0.5 if top > 0 else 6 for p in pivots]
        axis.scatter(x, y, s=sizes, color=colors, alpha=0.75, linewidths=0, rasterized=True)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("concepts linked")
        axis.set_ylabel("documents with the token")
        axis.xaxis.set_major_formatter(_SHORT)
        axis.yaxis.set_major_formatter(_PERCENT)
        _name_points(axis, pivots[:n_labels])
        return as_svg(figure, "reach")


def _name_points(axis: Axes, pivots: Sequence[Row]) -> None:
    """Labels points in order of rank, without labels that would overlap another."""
    taken: list[tuple[float, float, float]] = []
    axis.figure.draw_without_rendering()  # type: ignore[union-attr]
    for pivot in pivots:
        label = pivot.token.strip() or repr(pivot.token)
        x, y = axis.transData.transform((_place(pivot), pivot.doc_share))
        width = 6.5 * sum(2 if ord(char) > 0x2E80 else 1 for char in label) + 14
        if all(abs(y - other_y) > 11 or x > right or x + width < left for left, right, other_y in taken):
            taken.append((x, x + width, y))
            at = (_place(pivot), pivot.doc_share)
            axis.annotate(label, at, (6, -3), textcoords="offset points", fontsize=8.5, parse_math=False)


def _place(pivot: Row) -> float:
    """Its concepts, shifted a little by rank so that dots with equal numbers do not coincide."""
    return float(pivot.n_concepts * 2 ** (0.22 * ((pivot.rank * 0.618034) % 1 - 0.5)))


_PERCENT = FuncFormatter(lambda value, _: f"{100 * value:.4g}%")
_SHORT = EngFormatter(sep="")
_THOUSANDS = StrMethodFormatter("{x:,.0f}")
