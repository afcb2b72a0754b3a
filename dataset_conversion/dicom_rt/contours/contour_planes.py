"""Contours in patient coordinates to polygons in the planes of an image's slices."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import Grid

TILT_LIMIT_SLICES = 0.5
"""What a contour may reach along the slices' normal and still count as parallel to them."""
SAME_PLANE_SLICES, SAME_PLANE_MM = 0.1, 0.25
"""Contours nearer than both lie in one plane, and a plane that near to a slice lies on it."""
EDGE_SLACK = 1e-3


@dataclass(frozen=True)
class ContourPlane:
    """Polygons of one plane. position: in slices, 0 is the first. polygons: (N, 2) indices x, y each."""

    position: float
    polygons: tuple[np.ndarray, ...]


def same_plane_slices(grid: Grid) -> float:
    """How far apart, in slices, two contours may lie and still be in one plane."""
    return min(SAME_PLANE_SLICES, SAME_PLANE_MM / grid.spacing[2])


def contour_planes(contours: Sequence[np.ndarray], grid: Grid) -> list[ContourPlane]:
    """Contours of one structure, (N, 3) mm in patient coordinates each, by plane, in the order of the slices.

    Raises
    ------
    DoseloError: a contour does not run parallel to the slices.
    """
    if not contours:
        return []
    indices = [grid.to_index(points_mm) for points_mm in contours]
    _require_parallel(indices, grid)
    positions = np.array([points[:, 2].mean() for points in indices])
    order = np.argsort(positions, kind="stable")
    near = same_plane_slices(grid)
    breaks = np.flatnonzero(np.diff(positions[order]) > near) + 1
    return [
        ContourPlane(_position(positions[group], near), tuple(indices[i][:, :2] for i in group))
        for group in np.split(order, breaks)
    ]


def _position(positions: np.ndarray, near: float) -> float:
    """Rounded to 1e-6, so that equal distances are equal whatever the file rounded."""
    mean = float(positions.mean())
    return float(round(mean)) if abs(mean - round(mean)) <= near else round(mean, 6)


def _require_parallel(indices: list[np.ndarray], grid: Grid) -> None:
    for number, points in enumerate(indices, start=1):
        reach = float(np.ptp(points[:, 2]))
        if reach > TILT_LIMIT_SLICES:
            raise DoseloError(
                f"contours must lie in planes parallel to the slices, but number {number} of {len(indices)} closed "
                f"ones reaches {reach * grid.spacing[2]:.1f} mm across slices {grid.spacing[2]:g} mm apart; export the "
                "structure set on this image series"
            )


def outside_note(planes: Sequence[ContourPlane], grid: Grid) -> list[str]:
    """A line if contours lie outside of the image or reach beyond it: what is there, is lost."""
    last = np.array(grid.size[:2]) - 0.5 + EDGE_SLACK
    away = beyond = 0
    for plane in planes:
        off_stack = not -0.5 <= plane.position < grid.size[2] - 0.5
        for polygon in plane.polygons:
            low, high = polygon.min(axis=0), polygon.max(axis=0)
            gone = off_stack or bool((high < -0.5).any() or (low > last).any())
            away += gone
            beyond += not gone and bool((low < -0.5 - EDGE_SLACK).any() or (high > last).any())
    total = sum(len(plane.polygons) for plane in planes)
    if not away + beyond:
        return []
    return [f"of {total} contours, {away} lie outside of the image and {beyond} reach beyond it: cut off there"]
