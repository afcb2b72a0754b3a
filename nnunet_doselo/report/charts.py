"""Charts as data, and as what plotly draws of them: bars of cases, and panels of lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .styles import TrainerStyle

FONT = {"family": "system-ui, sans-serif", "size": 13, "color": "#1c2330"}
GRID = "#e3e7ed"
GAP = 0.09


@dataclass(frozen=True)
class BarSeries:
    """One value a case; None where there is none."""

    name: str
    style: TrainerStyle
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class BarChart:
    y_title: str
    cases: tuple[str, ...]
    series: tuple[BarSeries, ...]


@dataclass(frozen=True)
class Line:
    """faint: drawn thin and pale, beside another line of the same trainer."""

    name: str
    style: TrainerStyle
    x: tuple[float, ...]
    y: tuple[float | None, ...]
    faint: bool = False


@dataclass(frozen=True)
class LinePanel:
    title: str
    x_title: str
    y_title: str
    lines: tuple[Line, ...]


def bars_for_plotly(chart: BarChart) -> dict[str, Any]:
    """Traces and layout; a group a case, a bar a trainer."""
    traces = [
        {
            "type": "bar",
            "name": one.name,
            "x": list(chart.cases),
            "y": list(one.values),
            "marker": {
                "color": one.style.colour,
                "pattern": {"shape": one.style.pattern, "fillmode": "overlay", "fgcolor": "white"},
            },
            "hovertemplate": "%{x}<br>%{y:.3g}",
        }
        for one in chart.series
    ]
    # a name such as 001 is no number
    x_axis = {"type": "category", "title": {"text": "case", "standoff": 8}, "automargin": True}
    y_axis = {"title": {"text": chart.y_title}, "rangemode": "tozero", "gridcolor": GRID}
    layout = {"barmode": "group", "xaxis": x_axis, "yaxis": y_axis, "height": 420}
    return {"data": traces, "layout": _layout(layout)}


def lines_for_plotly(panels: Sequence[LinePanel]) -> dict[str, Any]:
    """Panels beside each other; a trainer stands once in the legend, which switches it in all panels."""
    traces, axes, seen = [], {}, set[str]()
    width = (1 - GAP * (len(panels) - 1)) / len(panels)
    notes = []
    for index, panel in enumerate(panels):
        number = "" if index == 0 else str(index + 1)
        start = index * (width + GAP)
        axes[f"xaxis{number}"] = {
            "title": {"text": panel.x_title, "standoff": 8},
            "domain": [start, start + width],
            "gridcolor": GRID,
            "anchor": f"y{number}",
        }
        axes[f"yaxis{number}"] = {"title": {"text": panel.y_title}, "gridcolor": GRID, "anchor": f"x{number}"}
        notes.append(_panel_title(panel.title, start + width / 2))
        for line in panel.lines:
            traces.append(_line_trace(line, number, in_legend=not line.faint and line.name not in seen))
            seen |= set() if line.faint else {line.name}
    layout = {
        **axes,
        "annotations": notes,
        "height": 400,
        "legend": {"orientation": "h", "y": 1.16, "yanchor": "bottom"},
    }
    return {"data": traces, "layout": _layout(layout, top=90)}


def _line_trace(line: Line, number: str, *, in_legend: bool) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines" if len(line.x) > 1 else "markers",
        "name": line.name,
        "legendgroup": line.name,
        "showlegend": in_legend,
        "x": list(line.x),
        "y": list(line.y),
        "xaxis": f"x{number}",
        "yaxis": f"y{number}",
        "opacity": 0.45 if line.faint else 1.0,
        "line": {"color": line.style.colour, "dash": line.style.dash, "width": 1.2 if line.faint else 2.2},
    }


def _panel_title(text: str, centre: float) -> dict[str, Any]:
    return {
        "text": text,
        "x": centre,
        "y": 1.02,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "center",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 13},
    }


def _layout(own: dict[str, Any], top: int = 50) -> dict[str, Any]:
    return {
        "font": FONT,
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 65, "r": 20, "t": top, "b": 60},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        "hovermode": "x unified",
        **own,
    }
