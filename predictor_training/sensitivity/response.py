"""How a predicted dose answers to an edited contour, against how the planned dose does: figures, no files.

The planned change is the open planner's dose of the edited contour minus its dose of the reference contour, with the
same isocentre and beams; the predicted change is the same difference of the predictor's doses.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nnunet_doselo.planning.contour_edits import FUNCTIONS

COUNTED_GY = 1.0
"""A voxel counts for an edit if either change is at least that large: elsewhere there is nothing to answer to."""
RAISED_SHARE = 0.5
FEWEST = 3
"""Two points lie on a line, whatever they are."""


@dataclass(frozen=True)
class Line:
    """Pearson's r, and the slope of the least-squares line of predicted on planned; NaN where not defined."""

    r: float
    slope: float


@dataclass(frozen=True)
class EditResponse:
    """What one edit of one patient changed.

    planned_gy, predicted_gy: mean absolute change in the body. voxels: how many counted for `voxelwise`.
    island_planned_gy, island_predicted_gy: mean change in the added island; NaN for other kinds.
    """

    planned_gy: float
    predicted_gy: float
    voxels: int
    voxelwise: Line
    island_planned_gy: float = math.nan
    island_predicted_gy: float = math.nan


def line(planned: np.ndarray, predicted: np.ndarray) -> Line:
    """r and slope of pairs, (n,) each.

    Both are NaN for fewer than three pairs or if `planned` does not vary. If only `predicted` does not vary, the
    slope is 0 and r is NaN.
    """
    if len(planned) < FEWEST or np.ptp(planned) == 0:
        return Line(math.nan, math.nan)
    if np.ptp(predicted) == 0:
        return Line(math.nan, 0.0)
    x, y = (np.asarray(values, np.float64) - np.mean(values, dtype=np.float64) for values in (planned, predicted))
    return Line(float(x @ y / math.sqrt((x @ x) * (y @ y))), float(x @ y / (x @ x)))


def respond(
    planned_gy: np.ndarray, predicted_gy: np.ndarray, body: np.ndarray, island: np.ndarray | None = None
) -> EditResponse:
    """Compare two dose changes.

    Parameters
    ----------
    planned_gy, predicted_gy: (Z, Y, X) change of dose, edited minus reference, Gy.
    body: boolean (Z, Y, X), not empty; nothing outside counts.
    island: boolean (Z, Y, X), voxels that an island added; None for other edits, or if there are none.
    """
    planned, predicted = planned_gy[body], predicted_gy[body]
    counted = np.maximum(np.abs(planned), np.abs(predicted)) >= COUNTED_GY
    rises = [float(change[island].mean()) for change in (planned_gy, predicted_gy)] if island is not None else []
    return EditResponse(
        float(np.abs(planned).mean()),
        float(np.abs(predicted).mean()),
        int(np.count_nonzero(counted)),
        line(planned[counted], predicted[counted]),
        *rises,
    )


def summarise(kinds: Sequence[str], responses: Sequence[EditResponse]) -> dict[str, Any]:
    """Figures over edits for the predictor's card, as `nnunet_doselo.common.sensitivity` describes them.

    kinds: of each response, names of `contour_edits.FUNCTIONS`. NaN becomes None, which JSON can hold.
    """
    by_kind = {kind: [r for k, r in zip(kinds, responses, strict=True) if k == kind] for kind in FUNCTIONS}
    return {
        **_figures(responses),
        "kinds": {kind: _figures(of_kind) for kind, of_kind in by_kind.items() if of_kind},
        "island": _island(responses),
    }


def _figures(responses: Sequence[EditResponse]) -> dict[str, Any]:
    overall = line(np.array([r.planned_gy for r in responses]), np.array([r.predicted_gy for r in responses]))
    return {
        "edits": len(responses),
        **{name: _or_none(value) for name, value in asdict(overall).items()},
        "voxel_r": _mean_voxel_r(responses),
    }


def _mean_voxel_r(responses: Sequence[EditResponse]) -> float | None:
    """An edit that the plan answers and the predictor does not counts as 0; None if the plan answers to none."""
    answered = [response.voxelwise for response in responses if not math.isnan(response.voxelwise.slope)]
    return float(np.mean([0.0 if math.isnan(voxels.r) else voxels.r for voxels in answered])) if answered else None


def _island(responses: Sequence[EditResponse]) -> dict[str, Any] | None:
    rises = np.array([(r.island_planned_gy, r.island_predicted_gy) for r in responses if r.island_planned_gy > 0])
    if not len(rises):
        return None
    planned, predicted = rises.T
    return {
        "edits": len(rises),
        "planned_rise_gy": float(planned.mean()),
        "predicted_rise_gy": float(predicted.mean()),
        "share_raised": float(np.mean(predicted >= RAISED_SHARE * planned)),
    }


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
