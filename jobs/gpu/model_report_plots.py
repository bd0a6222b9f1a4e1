"""The model report's figures, as SVG, in the corpus report's colours and manner."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's (2008), as in the corpus report.
BLUE, ORANGE, GREEN, RED, SKY, PINK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"
PALETTE = (BLUE, ORANGE, GREEN, RED, SKY, PINK)
INK, QUIET = "#26292e", "#6b7280"

_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "semantic-pivots",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.constrained_layout.use": True,
}
_SETS = (("p_source", "source word", ORANGE), ("p_pivot", "pair pivots", BLUE), ("p_target", "target word", GREEN))
Roc = tuple[Sequence[float], Sequence[float]]


def draw_layer_curves(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Mean summed probability of source, pivot and target tokens by layer, a panel a direction."""
    with mpl.rc_context(_STYLE):
        figure, axes = _panels(len(curves))
        for axis, (direction, sets) in zip(axes, curves.items(), strict=False):
            for key, label, colour in _SETS:
                axis.plot(range(1, len(sets[key]) + 1), sets[key], color=colour, label=label, linewidth=1.4)
            axis.set_title(direction)
        axes[0].set_ylim(bottom=0)  # after all are drawn: the axis is shared
        axes[0].legend(frameon=False, fontsize=8)
        figure.supxlabel("layer", fontsize=9)
        figure.supylabel("mean summed probability", fontsize=9)
        return _svg(figure, "layers")


def draw_roc(curves: Mapping[str, Mapping[str, Roc]]) -> str:
    """ROC curves of direct against pivot, a panel a direction: the pair's count and the target's count."""
    with mpl.rc_context(_STYLE):
        figure, axes = _panels(len(curves))
        for axis, (direction, lines) in zip(axes, curves.items(), strict=False):
            axis.plot([0, 1], [0, 1], color=QUIET, linewidth=0.6, linestyle=(0, (2, 2)))
            for (label, (false, true)), colour in zip(lines.items(), (BLUE, RED), strict=False):
                axis.plot(false, true, color=colour, label=label, linewidth=1.4)
            axis.set_title(direction)
        axes[0].legend(frameon=False, fontsize=8)
        figure.supxlabel("pivot pairs above the threshold", fontsize=9)
        figure.supylabel("direct pairs above it", fontsize=9)
        return _svg(figure, "roc")


def draw_count_scores(points: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Score against the pair's co-occurrence count, a dot a word, a panel a direction."""
    with mpl.rc_context(_STYLE):
        figure, axes = _panels(len(points))
        for axis, (direction, pairs) in zip(axes, points.items(), strict=False):
            counts, scores = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
            axis.scatter(1 + counts, scores, s=9, color=BLUE, alpha=0.6, linewidths=0)
            axis.set_xscale("log")
            axis.set_title(direction)
        figure.supxlabel("1 + times the two words occur together", fontsize=9)
        figure.supylabel("score", fontsize=9)
        return _svg(figure, "scatter")


def draw_training(logs: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Training loss by tokens, a line a run, a colour an arm."""
    arms = list(dict.fromkeys(name.rsplit("-seed", 1)[0] for name in logs))
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.2, 2.8))
        axis = figure.subplots()
        seen: set[str] = set()
        for name, rows in logs.items():
            arm = name.rsplit("-seed", 1)[0]
            colour = PALETTE[arms.index(arm) % len(PALETTE)]
            label = None if arm in seen else arm
            seen.add(arm)
            axis.plot([r["tokens"] for r in rows], [r["loss"] for r in rows], color=colour, label=label, linewidth=1)
        axis.legend(frameon=False, fontsize=8)
        axis.set_xlabel("tokens trained on")
        axis.set_ylabel("loss, nats a token")
        return _svg(figure, "training")


def _panels(n: int) -> tuple[Figure, Sequence[Axes]]:
    columns = min(4, max(1, n))
    rows = max(1, -(-n // columns))
    figure = Figure(figsize=(9.2, 2.3 * rows + 0.3))
    axes = np.atleast_1d(figure.subplots(rows, columns, sharey=True, squeeze=False)).ravel()
    for axis in axes[n:]:
        axis.set_visible(False)
    return figure, list(axes)


def _svg(figure: Figure, name: str) -> str:
    """The figure's ``<svg>`` without fixed size, its ids made its own."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    return re.sub(r'(<svg[^>]*?) width="[\d.]+pt" height="[\d.]+pt"|(<svg[^>]*?) height="[\d.]+pt" width="[\d.]+pt"',
                  lambda found: found[1] or found[2], text, count=1)  # fmt: skip
