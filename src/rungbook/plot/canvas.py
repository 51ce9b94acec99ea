"""Drawing with matplotlib in the house style; `style` loads this when something is drawn, since matplotlib takes half a second to load."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, LogFormatter

from rungbook.plot.style import INK, number

_RC: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.unicode_minus": True,
    "font.size": 9,
    "grid.alpha": 0.15,
    "grid.color": INK,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "rungbook",
    "text.color": INK,
    "text.parse_math": False,  # a class may be called $5$
    "xtick.color": INK,
    "xtick.labelsize": 8,
    "ytick.color": INK,
    "ytick.labelsize": 8,
}


@contextmanager
def _styled() -> Iterator[None]:
    with matplotlib.style.context(_RC, after_reset=True), warnings.catch_warnings():  # the user's own settings do not count
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the browser has its own fonts
        yield


class _PlainPowers(Formatter):
    """Labels of a logarithmic axis as `number` writes them, where matplotlib's own are formulas, which no text here is read as.

    Powers of ten are labelled; where fewer than two are in view, so are 2 and 5 times them; within a factor of 3, every tick.
    """

    def __call__(self, x: float, pos: int | None = None) -> str:
        assert self.axis is not None
        low, high = sorted(self.axis.get_view_interval())
        powers = math.floor(math.log10(high)) - math.ceil(math.log10(low)) + 1
        digits = "1" if powers > 1 else "125" if high > 3 * low else "123456789"
        return number(x) if f"{x:e}"[0] in digits else ""


def _plain_powers(ax: Axes) -> None:
    """Give logarithmic axes such labels unless the painter has given them others."""
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() == "log" and isinstance(axis.get_major_formatter(), LogFormatter):
            axis.set_major_formatter(_PlainPowers())
            axis.set_minor_formatter(_PlainPowers())


def svg(paints: Sequence[Callable[[Axes], object]], columns: int, size: tuple[float, float]) -> bytes:
    """Several pairs of axes, row by row, as matplotlib writes them.

    Args:
        paints: draw on their axes.
        columns: axes side by side.
        size: width and height of each in inches.
    """
    rows = max(1, math.ceil(len(paints) / columns))
    with _styled():
        figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
        for i, ax in enumerate(figure.subplots(rows, columns, squeeze=False).ravel()):
            if i < len(paints):
                paints[i](ax)
                _plain_powers(ax)
            else:
                ax.set_axis_off()
        for patch in (figure.patch, *(ax.patch for ax in figure.axes)):  # the page shows through
            patch.set(facecolor="none", edgecolor="none")
        buffer = io.BytesIO()
        # `savefig` would draw everything twice, the first time for the layout, which this one drawing finds as well
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return buffer.getvalue()
