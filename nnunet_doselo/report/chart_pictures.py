"""The same charts as pictures, for print and for browsers without scripts."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from nnunet_doselo.common.files import png_bytes

from .charts import BarChart, LinePanel

CHART_DPI = 130
PALETTE_COLOURS = 256
MATPLOTLIB_DASHES = {
    "solid": "-",
    "dash": "--",
    "dot": ":",
    "dashdot": "-.",
    "longdash": (0, (8, 3)),
    "longdashdot": (0, (8, 3, 1, 3)),
}


def bars_picture(chart: BarChart) -> bytes:
    """PNG: a group a case, a bar a trainer; a case without a value has no bar."""
    figure = Figure(figsize=(10.5, 3.8), facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / max(1, len(chart.series))
    at = np.arange(len(chart.cases))
    for index, series in enumerate(chart.series):
        heights = [0.0 if value is None else value for value in series.values]
        left = at + (index - (len(chart.series) - 1) / 2) * width
        hatch = 2 * series.style.pattern
        axes.bar(left, heights, width, color=series.style.colour, hatch=hatch, edgecolor="white", label=series.name)
    axes.set_xticks(at, chart.cases, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set(ylabel=chart.y_title, xlabel="case")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return png_of(figure)


def lines_picture(panels: Sequence[LinePanel]) -> bytes:
    """PNG: panels beside each other, one legend above."""
    figure = Figure(figsize=(10.5, 3.6), facecolor="white", layout="constrained")
    named: dict[str, Line2D] = {}
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for line in panel.lines:
            y = [np.nan if value is None else value for value in line.y]
            look = {
                "color": line.style.colour,
                "linestyle": MATPLOTLIB_DASHES[line.style.dash],
                "alpha": 0.45 if line.faint else 1,
            }
            (drawn,) = axes.plot(line.x, y, linewidth=0.8 if line.faint else 1.6, **look)
            named.setdefault(line.name, drawn)
        axes.set_title(panel.title, fontsize=9)
        axes.set(xlabel=panel.x_title, ylabel=panel.y_title)
        axes.grid(alpha=0.3)
    figure.legend(list(named.values()), list(named), loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return png_of(figure)


def png_of(figure: Figure, dpi: int = CHART_DPI, *, few_colours: bool = True) -> bytes:
    """A figure as a PNG. With `few_colours` at most 256 of them, at a third of the size: for lines, not for maps."""
    whole = png_bytes(figure, dpi=dpi)
    if not few_colours:
        return whole
    small = io.BytesIO()
    Image.open(io.BytesIO(whole)).convert("RGB").quantize(PALETTE_COLOURS, dither=Image.Dither.NONE).save(
        small, "PNG", optimize=True
    )
    return small.getvalue()
