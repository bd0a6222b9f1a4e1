"""The look of both reports: colours, Matplotlib's settings, figures as SVG; no Spark, no torch.

Text in figures stays text: the browser draws every script with the page's fonts, and readers can search it. Dense
scatter plots are embedded bitmaps. Colours are variables of the style sheet, which has others for dark screens. Each
panel is a figure of its own: a row of the page has as many as the screen has room for. The same values give the same
bytes.
"""

import html
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, Formatter, FuncFormatter, LogLocator, NullFormatter

BLUE, ORANGE, GREEN, RED, SKY, PINK = "#0072b2", "#e69f00", "#009e73", "#c62828", "#56b4e9", "#cc79a7"
PALETTE = (BLUE, ORANGE, GREEN, RED, SKY, PINK)
"""Colours that colour-blind readers can distinguish: those of Okabe and Ito (2008), with a stronger red."""
INK, PALE, QUIET = "#26292e", "#d3d8df", "#6b7280"
DOTS = "#8d97a4", "#1f83c6"
"""Grey and blue of dots, which are bitmaps: visible on light and on dark screens."""
PANEL, WIDE = 3.0, 9.2
"""Widths of figures in inches: of one panel, which a phone has room for, and of a whole page."""
_VARIABLES = {
    INK: "ink", QUIET: "soft", PALE: "pale", BLUE: "blue", ORANGE: "orange", GREEN: "green", RED: "red", SKY: "sky",
    PINK: "pink",
}  # fmt: skip
"""Variables of the style sheet by the colour that stands for them."""
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


@contextmanager
def drawing() -> Iterator[None]:
    """Applies the style, and silences warnings about glyphs that Matplotlib's fonts lack: the browser draws them."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def panel(height: float = 2.1, width: float = PANEL) -> tuple[Figure, Axes]:
    """A figure of one panel; sizes in inches."""
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots()


def no_points(axis: Axes, reason: str) -> None:
    """Writes in a panel why it has no points."""
    axis.text(0.5, 0.5, reason, transform=axis.transAxes, ha="center", va="center", color=QUIET, fontsize=8)


def count_logarithmically(axis: Axes, steps: Sequence[float]) -> None:
    """Makes the horizontal axis logarithmic, for whole numbers; ``steps`` as for ``label_logarithmically``."""
    axis.set_xscale("log")
    label_logarithmically(axis.xaxis, steps, _WHOLE)


def label_logarithmically(axis: Axis, steps: Sequence[float], formatter: Formatter) -> None:
    """Labels the multiples ``steps`` of powers of ten; ticks at equal distances where fewer than two are in range."""
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(formatter)
    axis.set_minor_formatter(NullFormatter())


def as_svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an ``<svg>`` element.

    Ids begin with ``name``, unique in the page; ``label`` is what the figure shows, for readers who cannot see it.
    """
    out = io.StringIO()
    figure.savefig(out, format="svg", dpi=160, transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r" font-family: [^;\"]*;?", "", text)
    text = re.sub(r"(fill|stroke): (#[0-9a-f]{6})", _variable, text)
    size = ' width="[0-9.]+pt"| height="[0-9.]+pt"'
    start, end = re.sub(size, "", text[: text.index(">")]), text[text.index(">") :]
    return f'{start} role="img" aria-label="{html.escape(label)}"{end}'.strip()


def _variable(colour: re.Match[str]) -> str:
    name = _VARIABLES.get(colour[2])
    return f"{colour[1]}: var(--{name})" if name else colour[0]


_SHORT = EngFormatter(sep="")
_WHOLE = FuncFormatter(lambda value, _: _SHORT(value) if round(value, 6).is_integer() else "")
