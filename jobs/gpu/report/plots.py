"""The figures of the model report as SVG, in the style of the corpus report."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from jobs.report.plot_style import BLUE, GREEN, ORANGE, PALETTE, QUIET, RED, WIDTH, as_svg, drawing, no_points, panels

_SETS = (("p_source", "source word", ORANGE), ("p_pivot", "pair pivots", BLUE), ("p_target", "target word", GREEN))
Roc = tuple[Sequence[float], Sequence[float]]


def draw_layer_curves(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Mean summed probability of source, pivot and target tokens by layer, one panel per direction."""
    with drawing():
        figure, axes = panels(len(curves), 2.3, columns=4, sharey=True)
        for axis, (direction, sets) in zip(axes, curves.items(), strict=False):
            for key, label, colour in _SETS:
                axis.plot(range(1, len(sets[key]) + 1), sets[key], color=colour, label=label, linewidth=1.4)
            axis.set_title(direction)
        axes[0].set_ylim(bottom=0)  # after all are drawn: the axis is shared
        axes[0].legend(frameon=False, fontsize=8)
        figure.supxlabel("layer", fontsize=9)
        figure.supylabel("mean summed probability", fontsize=9)
        return as_svg(figure, "layers")


def draw_roc(curves: Mapping[str, Mapping[str, Roc]]) -> str:
    """ROC curves of direct against pivot by the pair's count and the target's count, one panel per direction."""
    with drawing():
        figure, axes = panels(len(curves), 2.3, columns=4, sharey=True)
        for axis, (direction, lines) in zip(axes, curves.items(), strict=False):
            axis.plot([0, 1], [0, 1], color=QUIET, linewidth=0.6, linestyle=(0, (2, 2)))
            for (label, (false, true)), colour in zip(lines.items(), (BLUE, RED), strict=False):
                axis.plot(false, true, color=colour, label=label, linewidth=1.4)
            axis.set_title(direction)
        axes[0].legend(frameon=False, fontsize=8)
        figure.supxlabel("pivot pairs above the threshold", fontsize=9)
        figure.supylabel("direct pairs above it", fontsize=9)
        return as_svg(figure, "roc")


def draw_count_scores(points: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Score against the pair's co-occurrence count, a dot per word, one panel per direction."""
    with drawing():
        figure, axes = panels(len(points), 2.3, columns=4, sharey=True)
        for axis, (direction, pairs) in zip(axes, points.items(), strict=False):
            axis.set_title(direction)
            if not pairs:
                no_points(axis, "no word scored")
                continue
            counts, scores = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
            axis.scatter(1 + counts, scores, s=9, color=BLUE, alpha=0.6, linewidths=0)
            axis.set_xscale("log")
        figure.supxlabel("1 + number of co-occurrences of the two words", fontsize=9)
        figure.supylabel("score", fontsize=9)
        return as_svg(figure, "scatter")


def draw_training(logs: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Training loss by tokens, a line per run, a colour per arm."""
    arms = list(dict.fromkeys(name.rsplit("-seed", 1)[0] for name in logs))
    with drawing():
        figure = Figure(figsize=(WIDTH, 2.8))
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
        axis.set_ylabel("loss, nats per token")
        return as_svg(figure, "training")
