"""Charts as data, and as what plotly draws of them: bars of cases, and panels of lines, such as training curves."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .styles import TrainerStyle

FONT = {"family": "system-ui, sans-serif", "size": 13, "color": "#1c2330"}
GRID = "#e3e7ed"
GAP = 0.09

TrainingCurves = Mapping[str, Mapping[Any, Mapping[str, Any]]]
"""By trainer, by run: lists by name, one value an epoch."""
CURVE_PANELS = (
    ("Dice of validation patches", "moving average", "ema_dice", None),
    ("Loss", "nnU-Net's units", "val_loss", "train_loss"),
    ("Dose term", "(dose / Rx)²", "val_dose_term", "train_dose_term"),
    ("Dose error", "Gy, root mean square", "val_dose_rms_gy", "train_dose_rms_gy"),
)
"""Title, unit, what is drawn, and what is drawn thin beside it."""


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
class ChartLine:
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
    lines: tuple[ChartLine, ...]


def curve_panels(
    curves: TrainingCurves, titles: Mapping[str, str], styles: Mapping[str, TrainerStyle]
) -> list[LinePanel]:
    """Panels that have a line, in the order of `CURVE_PANELS`; trainers without a dose term have no line there."""
    panels = []
    for title, unit, main, beside in CURVE_PANELS:
        curves_by_name = {
            (name, key): mean_over_epochs(runs, key) for name, runs in curves.items() for key in (main, beside) if key
        }
        lines = [
            ChartLine(titles[name], styles[name], tuple(range(1, len(values) + 1)), values, faint=key == beside)
            for (name, key), values in curves_by_name.items()
            if any(value is not None for value in values)
        ]
        if lines:
            panels.append(LinePanel(title, "epoch", unit, tuple(lines)))
    return panels


def mean_over_epochs(runs: Mapping[Any, Mapping[str, Any]], key: str) -> tuple[float | None, ...]:
    """Mean over the runs by epoch, None where one of them has no value; as long as the shortest run."""
    several: Sequence[Sequence[float | None]] = [run[key] for run in runs.values() if run.get(key)]
    return tuple(_mean(at) for at in zip(*several, strict=False))


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if len(there) == len(values) else None


def bars_for_plotly(chart: BarChart) -> dict[str, Any]:
    """Traces and layout; a group a case, a bar a trainer."""
    traces = [
        {
            "type": "bar",
            "name": series.name,
            "x": list(chart.cases),
            "y": list(series.values),
            "marker": {
                "color": series.style.colour,
                "pattern": {"shape": series.style.pattern, "fillmode": "overlay", "fgcolor": "white"},
            },
            "hovertemplate": "%{x}<br>%{y:.3g}",
        }
        for series in chart.series
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


def _line_trace(line: ChartLine, number: str, *, in_legend: bool) -> dict[str, Any]:
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


def _layout(changes: dict[str, Any], top: int = 50) -> dict[str, Any]:
    return {
        "font": FONT,
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 65, "r": 20, "t": top, "b": 60},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        "hovermode": "x unified",
        **changes,
    }
