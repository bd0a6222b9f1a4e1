"""The figures of the model report as SVG, in the style of the corpus report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jobs.report.plot_style import BLUE, GREEN, ORANGE, PALETTE, QUIET, WIDTH, as_svg, drawing, no_points, panels

_ROLES = {"source": ORANGE, "target": GREEN, "third language": BLUE}
Curves = Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]


def draw_curves(curves: Curves) -> str:
    """Mean probability by layer with its 95 % band, one panel per direction; controls are dashed.

    ``curves`` are by panel and line (``mean``, ``low``, ``high`` by layer): roles or languages, and ``control`` with or
    without a language.
    """
    languages = sorted({name.removeprefix("control ") for lines in curves.values() for name in lines} - {"control"})
    free = [colour for colour in PALETTE if colour not in _ROLES.values()]
    colours = {name: free[k % len(free)] for k, name in enumerate(n for n in languages if n not in _ROLES)} | _ROLES
    with drawing():
        figure, axes = panels(len(curves), 2.3, columns=4)
        for axis, (panel, lines) in zip(axes, curves.items(), strict=False):
            for name, band in lines.items():
                colour = colours.get(name.removeprefix("control "), QUIET)
                layers = range(1, len(band["mean"]) + 1)
                style = (0, (2, 2)) if name.startswith("control") else "-"
                label = name if panel == "all" or not name.startswith("control") else None
                axis.plot(layers, band["mean"], color=colour, linestyle=style, label=label, linewidth=1.3)
                if band["low"][0] is not None:
                    axis.fill_between(layers, band["low"], band["high"], color=colour, alpha=0.15, linewidth=0)
            axis.set_title(panel)
            axis.set_ylim(bottom=0)
            axis.legend(frameon=False, fontsize=7)
        figure.supxlabel("layer", fontsize=9)
        figure.supylabel("mean probability", fontsize=9)
        return as_svg(figure, "layers")


def draw_count_scores(points: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Score against the pair's co-occurrence count, a dot per word, one panel per direction."""
    with drawing():
        figure, axes = panels(len(points), 2.3, columns=4, sharey=True)
        for axis, (direction, pairs) in zip(axes, points.items(), strict=False):
            axis.set_title(direction)
            if not pairs:
                no_points(axis, "no word scored")
                continue
            if not any(count for count, _ in pairs):
                no_points(axis, "no pair occurs in the corpus")
                continue
            counts, scores = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
            axis.scatter(1 + counts, scores, s=9, color=BLUE, alpha=0.6, linewidths=0)
            axis.set_xscale("log")
        figure.supxlabel("1 + number of co-occurrences of the two words", fontsize=9)
        figure.supylabel("score", fontsize=9)
        return as_svg(figure, "scatter")


def draw_sweep(revisions: Sequence[Mapping[str, Any]]) -> str:
    """Share of words labelled pivot by revision of ``sweep.json``, random concepts' dashed, and the answer's log p."""
    names = [str(row["revision"] if row["step"] is None else row["step"]) for row in revisions]
    with drawing():
        figure, axes = panels(2, 2.5, columns=2)
        for axis, lines in zip(axes, (("pivot", "control"), ("log_probability",)), strict=True):
            for line in lines:
                mean, low, high = (
                    np.array([row[line][k] for row in revisions], float) for k in ("mean", "low", "high")
                )
                style = {"color": QUIET, "linestyle": (0, (2, 2))} if line == "control" else {"color": BLUE}
                bars = np.nan_to_num([mean - low, high - mean])
                label = {"control": "random concept"}.get(line, line)
                axis.errorbar(range(len(names)), mean, bars, capsize=2, linewidth=1.3, label=label, **style)
            axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
        axes[0].set_title("share labelled pivot")
        axes[0].set_ylim(bottom=0)
        axes[0].legend(frameon=False, fontsize=7)
        axes[1].set_title("log-probability of the answer, nats")
        return as_svg(figure, "sweep")


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
