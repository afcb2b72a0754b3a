"""The demo's report: one HTML file without links to others, so that it can be sent and kept."""

import base64
import os
import platform
import shlex
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from nnunet_doselo.common.files import all_or_nothing
from nnunet_doselo.common.versions import versions
from nnunet_doselo.evaluation.metrics import BY_KEY

from .results import DemoResults
from .runner import clock
from .stages import Stage
from .workspace import Marker

REPORT = "report.html"
TEMPLATE = "report.html"


METRICS = tuple(
    BY_KEY[key] for key in ("target_dice", "target_hd95_mm", "rmae", "dose_score_gy", "target_fp_beyond_20mm_cc")
)
"""The columns of the tables."""


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
