"""The figures of the model report as SVG, in the style of the corpus report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import EngFormatter

from jobs.report.plot_style import (
    BLUE,
    GREEN,
    ORANGE,
    PALETTE,
    QUIET,
    as_svg,
    count_logarithmically,
    drawing,
    panel,
)

_LONGEST_NAME = 14
"""The end of a revision's name that a panel has room for, in characters."""
_ROLES = {"source": ORANGE, "target": GREEN, "third language": BLUE}
Line = Mapping[str, Any]
Curves = Mapping[str, Mapping[str, Line]]


def draw_curves(curves: Curves, what: str = "mean probability") -> str:
    """Values by layer with their 95 % bands, one panel per direction; controls are dashed.

    ``curves`` are by panel and line (``mean``, ``low``, ``high`` by layer): roles, languages or directions, and
    ``control`` with or without a language; ``what`` names the values.
    """
    languages = sorted({name.removeprefix("control ") for lines in curves.values() for name in lines} - {"control"})
    colours = {name: PALETTE[k % len(PALETTE)] for k, name in enumerate(n for n in languages if n not in _ROLES)}
    colours |= _ROLES
    return "".join(_draw_direction(name, lines, colours, what) for name, lines in curves.items())


def _draw_direction(direction: str, lines: Mapping[str, Line], colours: Mapping[str, str], what: str) -> str:
    with drawing():
        figure, axis = panel(2.3)
        for name, band in lines.items():
            colour = colours.get(name.removeprefix("control "), QUIET)
            layers = range(1, len(band["mean"]) + 1)
            style = (0, (2, 2)) if name.startswith("control") else "-"
            label = name if direction == "all" or not name.startswith("control") else None
            axis.plot(layers, band["mean"], color=colour, linestyle=style, label=label, linewidth=1.3)
            if band["low"][0] is not None:
                axis.fill_between(layers, band["low"], band["high"], color=colour, alpha=0.15, linewidth=0)
        axis.set(title=direction, xlabel="layer", ylabel=what)
        axis.set_ylim(bottom=0)
        axis.legend(frameon=False, fontsize=8)
        return as_svg(figure, f"{what}-{direction}".replace(" ", "-"), f"{direction}: {what} by layer")


def draw_count_scores(points: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Score against the pair's co-occurrence count, a dot per word, one panel per direction with words that occur."""
    shown = {name: pairs for name, pairs in points.items() if any(count for count, _ in pairs)}
    return "".join(_draw_scores(name, np.array(pairs), k) for k, (name, pairs) in enumerate(shown.items()))


def _draw_scores(direction: str, pairs: npt.NDArray[np.float64], number: int) -> str:
    with drawing():
        figure, axis = panel(2.3)
        axis.scatter(1 + pairs[:, 0], pairs[:, 1], s=9, color=BLUE, alpha=0.6, linewidths=0)
        count_logarithmically(axis, (1, 3))
        axis.set(title=direction, xlabel="1 + co-occurrences of the two words", ylabel="score")
        return as_svg(figure, f"scatter{number}", f"{direction}: score of each word by number of co-occurrences")


def draw_sweep(revisions: Sequence[Mapping[str, Any]]) -> str:
    """Share of words labelled pivot by revision of ``sweep.json``, random concepts' dashed, and the answer's log p."""
    share = _draw_revisions(revisions, ("pivot", "control"), "share labelled pivot")
    return share + _draw_revisions(revisions, ("log_probability",), "log-probability of the answer, nats")


def _draw_revisions(revisions: Sequence[Mapping[str, Any]], lines: Sequence[str], title: str) -> str:
    names = [str(row["revision"] if row["step"] is None else row["step"])[-_LONGEST_NAME:] for row in revisions]
    with drawing():
        figure, axis = panel(2.5)
        for line in lines:
            mean, low, high = (np.array([row[line][k] for row in revisions], float) for k in ("mean", "low", "high"))
            style = {"color": QUIET, "linestyle": (0, (2, 2))} if line == "control" else {"color": BLUE}
            label = {"control": "random concept"}.get(line, line)
            bars = np.nan_to_num([mean - low, high - mean])
            axis.errorbar(range(len(names)), mean, bars, capsize=2, linewidth=1.3, label=label, **style)
        axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
        axis.set_title(title)
        if len(lines) > 1:
            axis.set_ylim(bottom=0)
            axis.legend(frameon=False, fontsize=8)
        return as_svg(figure, f"sweep-{lines[0]}", f"{title}, by revision")


def draw_training(logs: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Training loss by tokens, a line per run, a colour per arm."""
    arms = list(dict.fromkeys(name.rsplit("-seed", 1)[0] for name in logs))
    with drawing():
        figure, axis = panel(2.8)
        seen: set[str] = set()
        for name, rows in logs.items():
            arm = name.rsplit("-seed", 1)[0]
            colour = PALETTE[arms.index(arm) % len(PALETTE)]
            label = None if arm in seen else arm
            seen.add(arm)
            axis.plot([r["tokens"] for r in rows], [r["loss"] for r in rows], color=colour, label=label, linewidth=1)
        axis.legend(frameon=False, fontsize=8)
        axis.set(xlabel="tokens trained on", ylabel="loss, nats per token")
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        return as_svg(figure, "training", "Training loss of every run by tokens")
