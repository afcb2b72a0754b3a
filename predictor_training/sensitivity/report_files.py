"""A sensitivity measurement on disk: a row an edit, the figures, and planned against predicted as a picture."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nnunet_doselo.common.files import csv_bytes, json_bytes, png_bytes, replace_files
from nnunet_doselo.common.sensitivity import shown
from nnunet_doselo.common.versions import versions
from nnunet_doselo.planning.contour_edits import FUNCTIONS, ContourEdit
from nnunet_doselo.predictor.artifact import FrozenPredictor

from .response import COUNTED_GY, EditResponse

CSV_FILE, JSON_FILE, PICTURE_FILE = "sensitivity.csv", "sensitivity.json", "sensitivity.png"
MARKERS = dict(zip(FUNCTIONS, "o^vsD", strict=True))
DPI = 150


@dataclass(frozen=True)
class EditRow:
    """One edit of one case, by its number, and what it changed."""

    case: str
    number: int
    edit: ContourEdit
    response: EditResponse

    @property
    def kind(self) -> str:
        return self.edit.kind

    def cells(self) -> dict[str, Any]:
        """For the table, units in the names; NaN where not defined."""
        response = self.response
        return {
            "case": self.case,
            "edit": self.number,
            "kind": self.kind,
            "parameters": json.dumps(self.edit.parameters),
            "planned_change_gy": response.planned_gy,
            "predicted_change_gy": response.predicted_gy,
            f"voxels_from_{COUNTED_GY:g}_gy": response.voxels,
            "voxel_r": response.voxelwise.r,
            "voxel_slope": response.voxelwise.slope,
            "island_planned_rise_gy": response.island_planned_gy,
            "island_predicted_rise_gy": response.island_predicted_gy,
        }


def write_sensitivity_report(
    output: Path, rows: Sequence[EditRow], figures: Mapping[str, Any], predictor: FrozenPredictor
) -> None:
    """Write table, figures and picture into `output`, which is made if missing; earlier ones are replaced.

    rows: at least one.
    """
    provenance = {"predictor": predictor.path.name, "predictor_sha256": predictor.sha256, "versions": versions()}
    output.mkdir(parents=True, exist_ok=True)
    replace_files(
        {
            output / CSV_FILE: csv_bytes([*rows[0].cells()], ([*row.cells().values()] for row in rows)),
            output / JSON_FILE: json_bytes({**figures, **provenance}),
            output / PICTURE_FILE: png_bytes(scatter(rows, figures), dpi=DPI),
        }
    )


def scatter(rows: Sequence[EditRow], figures: Mapping[str, Any]) -> Figure:
    """Predicted against planned mean dose change, one marker a kind of edit, with the line where both are equal."""
    figure = Figure(figsize=(6.5, 6), facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    for kind, of_kind in figures["kinds"].items():
        pairs = [(row.response.planned_gy, row.response.predicted_gy) for row in rows if row.kind == kind]
        axes.scatter(*np.transpose(pairs), marker=MARKERS[kind], label=_label(kind, of_kind), alpha=0.8)
    highest = 1.05 * max(max(row.response.planned_gy, row.response.predicted_gy) for row in rows) or 1.0
    axes.plot([0, highest], [0, highest], color="grey", linewidth=1, label="equal")
    axes.set(xlim=(0, highest), ylim=(0, highest), aspect="equal")
    axes.set_xlabel("Planned mean |dose change| in the body [Gy]")
    axes.set_ylabel("Predicted mean |dose change| in the body [Gy]")
    axes.set_title(_label("all edits", figures), fontsize=10)
    axes.legend(fontsize=8)
    return figure


def _label(name: str, figures: Mapping[str, Any]) -> str:
    """With r and slope as far as they are defined."""
    defined = [f"{key} = {shown(figures[key])}" for key in ("r", "slope") if figures[key] is not None]
    return ": ".join([f"{name} (n = {figures['edits']})", *([", ".join(defined)] if defined else [])])
