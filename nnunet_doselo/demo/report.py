"""The demo's report: one HTML file without links to others, so that it can be sent and kept."""

import base64
import math
import os
import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from nnunet_doselo.atomic import all_or_nothing
from nnunet_doselo.versions import versions

from .results import DemoResults
from .runner import clock
from .stages import Stage
from .workspace import Marker

REPORT = "report.html"
TEMPLATE = "report.html"


@dataclass(frozen=True)
class Metric:
    """A column of the tables. `scale` turns the stored number into the shown one."""

    key: str
    title: str
    unit: str
    better: str
    meaning: str
    digits: int
    scale: float = 1.0

    def show(self, value: float | None) -> str:
        """An en dash where there is no value."""
        return "–" if value is None or not math.isfinite(value) else f"{self.scale * value:.{self.digits}f}"


METRICS = (
    Metric(
        "target_dice",
        "Dice",
        "",
        "higher",
        "overlap of the predicted with the true target: 1 is the same volume, 0 is none in common",
        3,
    ),
    Metric(
        "target_hd95_mm",
        "HD95",
        "mm",
        "lower",
        "95th percentile of the distance between both surfaces; a dash where nothing was predicted",
        1,
    ),
    Metric(
        "rmae",
        "RMAE",
        "%",
        "lower",
        "mean relative difference between the dose planned on the true and on the predicted contour, inside the body "
        "where the former is at least 10 % of the prescription: what the mistake costs",
        1,
        100.0,
    ),
    Metric("dose_score_gy", "dose score", "Gy", "lower", "mean absolute difference of both doses inside the body", 2),
    Metric(
        "target_fp_beyond_20mm_cc",
        "far false positives",
        "cc",
        "lower",
        "volume predicted more than 20 mm from any target: hardly moves Dice, and gets a prescription's worth of dose",
        2,
    ),
)


def write_report(
    folder: Path, results: DemoResults, stages: Sequence[Stage], markers: Sequence[Marker], *, quick: bool
) -> Path:
    """Write report.html into the demo's folder, all or nothing; its path."""
    report = folder / REPORT
    text = render(results, stages, markers, quick=quick)
    with all_or_nothing(report) as partial:
        partial.write_text(text)
    return report


def render(results: DemoResults, stages: Sequence[Stage], markers: Sequence[Marker], *, quick: bool) -> str:
    """The page as text, pictures inside."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"embed": _data_url, "clock": clock, "command": shlex.join, "before_folder": _before_folder}
    template = environment.from_string(files(__package__).joinpath(TEMPLATE).read_text())
    errors_gy = list(results.predictor.errors_gy.values())
    return template.render(
        results=results,
        metrics=METRICS,
        stages=list(zip(stages, markers, strict=True)),
        total_seconds=sum(marker.seconds for marker in markers),
        peak_gb=max(marker.peak_mb for marker in markers) / 1000,
        predictor_error_gy=sum(errors_gy) / len(errors_gy),
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, no GPU used",
        versions=versions(),
        quick=quick,
    )


def _before_folder(origin: str) -> str:
    """Of "who planned it; folder", as `doselo evaluate` says it, the first half."""
    return origin.rpartition("; ")[0] or origin


def _data_url(picture: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
