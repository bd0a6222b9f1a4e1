"""The look of both reports: colours, Matplotlib's settings, and conversion of figures to SVG; no Spark, no torch.

Text in figures stays text, so that the browser draws every script with its own fonts and readers can search it; dense
scatter plots are embedded bitmaps. The colours are those of Okabe and Ito (2008), which colour-blind readers can
distinguish. The same values give the same bytes.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, SKY, PINK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"
PALETTE = (BLUE, ORANGE, GREEN, RED, SKY, PINK)
INK, PALE, QUIET = "#26292e", "#d3d8df", "#6b7280"
WIDTH = 9.2
"""Width of every figure in inches."""
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "semantic-pivots",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
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
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.constrained_layout.use": True,
}
_FONTS = "font-family:system-ui,'Segoe UI','Noto Sans','Noto Sans CJK SC','Hiragino Sans','PingFang SC',sans-serif"


@contextmanager
def drawing() -> Iterator[None]:
    """Applies the style, and silences warnings about glyphs that Matplotlib's fonts lack: the browser draws them."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def panels(
    n: int, height: float, columns: int = 3, sharex: bool = False, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of ``n`` panels, each ``height`` inches high, ``columns`` in a row; no panels give an empty figure."""
    columns = min(max(n, 1), columns)
    rows = -(-max(n, 1) // columns)
    figure = Figure(figsize=(WIDTH, height * rows + 0.3))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey).ravel().tolist()
    for axis in axes[n:]:
        axis.set_visible(False)
    for axis in axes[max(n - columns, 0) : n]:
        axis.tick_params(labelbottom=True)
    return figure, axes[:n]


def no_points(axis: Axes, reason: str) -> None:
    """Writes in a panel why it has no points."""
    axis.text(0.5, 0.5, reason, transform=axis.transAxes, ha="center", va="center", color=QUIET, fontsize=8)


def as_svg(figure: Figure, name: str) -> str:
    """The figure as an ``<svg>`` element; ids begin with ``name``, so that several figures fit in one page."""
    out = io.StringIO()
    figure.savefig(out, format="svg", dpi=160, transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", rf"font-size:\1;{_FONTS}", text)
    text = re.sub(r'(<svg[^>]*?) width="[\d.]+pt"', r"\1", text, count=1)
    return re.sub(r'(<svg[^>]*?) height="[\d.]+pt"', r"\1", text, count=1).strip()
