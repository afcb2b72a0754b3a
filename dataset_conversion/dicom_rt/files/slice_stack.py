"""Single slices become an even stack, or it is said which slice prevents that.

A planning CT is the stack that contours are drawn on: where its slices lie, and which objects they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import Grid

from .objects import numbers, optional, read_dataset
from .plane_geometry import ROUNDING_MM, Plane, out_of_step, read_plane

SAME = 1e-3
"""Within this, direction cosines and pixel spacings (mm) are the same."""
SAME_POSITION_MM = 0.01
GANTRY_TILT_DEG = 0.1
SHEAR = np.deg2rad(GANTRY_TILT_DEG)
WHOLE = 0.1
"""How far a gap may be from a whole number of spacings, as a share of the gap."""
UNTILT = "scan without tilt, or export the volume resampled"


@dataclass(frozen=True)
class Slice:
    """One file of a series, as it was read."""

    file: Path
    dataset: Dataset
    plane: Plane

    @property
    def where(self) -> str:
        x, y, z = self.plane.origin_mm
        return f"{self.file} at (x, y, z) = ({x:g}, {y:g}, {z:g}) mm"


def even_stack(slices: Sequence[Slice]) -> tuple[list[Slice], float]:
    """The slices in order along their normal, and their spacing in mm.

    Raises
    ------
    DoseloError: fewer than two slices; another size, pixel spacing or orientation in one of them; gantry tilt; two
        slices at one position; missing slices; varying slice spacing.
    """
    if len(slices) < 2:
        named = f" ({slices[0].file})" if slices else ""
        raise DoseloError(f"a series must have at least two slices, found {len(slices)}{named}")
    for other in slices[1:]:
        _require_alike(slices[0], other)
    normal = slices[0].plane.normal
    ordered = sorted(slices, key=lambda s: float(s.plane.origin_mm @ normal))
    positions_mm = np.array([s.plane.origin_mm @ normal for s in ordered])
    _refuse_duplicates(ordered, positions_mm)
    _refuse_tilt(ordered)
    _refuse_gaps(ordered, positions_mm)
    if (index := out_of_step(positions_mm)) is not None:
        raise DoseloError(
            f"slice spacing must not vary: {_step(positions_mm, index)} mm before {ordered[index].where}, "
            f"{np.median(np.diff(positions_mm)):g} mm elsewhere; reconstruct the series with one spacing"
        )
    return ordered, float((positions_mm[-1] - positions_mm[0]) / (len(ordered) - 1))


def _require_alike(first: Slice, other: Slice) -> None:
    a, b = first.plane, other.plane
    same = {
        "size": a.shape == b.shape,
        "pixel spacing": np.allclose(a.spacing_mm, b.spacing_mm, rtol=0, atol=SAME),
        "orientation": np.allclose(a.matrix, b.matrix, rtol=0, atol=SAME),
    }
    if differing := [name for name, agrees in same.items() if not agrees]:
        raise DoseloError(
            f"the slices of a series must agree in {' and '.join(differing)}: {other.file} differs from {first.file}; "
            "move slices of another series (a localizer?) away"
        )


def _refuse_duplicates(ordered: Sequence[Slice], positions_mm: np.ndarray) -> None:
    for index in np.flatnonzero(np.diff(positions_mm) < SAME_POSITION_MM)[:1]:
        raise DoseloError(
            f"two slices lie at one position: {ordered[index].where} and {ordered[index + 1].file}; remove copies, "
            "and split series of several echoes, b-values or time points"
        )


def _refuse_tilt(ordered: Sequence[Slice]) -> None:
    """A tilted stack is sheared: from slice to slice the corner does not move along the normal."""
    for item in ordered:
        tag = "GantryDetectorTilt"
        if optional(item.dataset, tag, item.file) is not None:
            tilt_deg = float(numbers(item.dataset, tag, item.file, 1)[0])
            if abs(tilt_deg) > GANTRY_TILT_DEG:
                raise DoseloError(f"{item.where}: gantry tilt must be 0, found {tilt_deg:g} degrees; {UNTILT}")
    first = ordered[0].plane
    moved = np.array([s.plane.origin_mm for s in ordered]) - first.origin_mm
    along = moved @ first.normal
    aside = np.linalg.norm(moved - np.outer(along, first.normal), axis=1)
    for index in np.flatnonzero(aside > np.maximum(ROUNDING_MM, SHEAR * along))[:1]:
        raise DoseloError(
            f"slices must be stacked along their normal (no gantry tilt): {ordered[index].where} lies "
            f"{aside[index]:.2f} mm aside; {UNTILT}"
        )


def _refuse_gaps(ordered: Sequence[Slice], positions_mm: np.ndarray) -> None:
    """A step of a whole number of spacings, two or more, means missing slices."""
    steps_mm = np.diff(positions_mm)
    spacing_mm = float(np.median(steps_mm))
    spacings = np.rint(steps_mm / spacing_mm)
    gaps = np.flatnonzero((spacings > 1) & (np.abs(steps_mm / spacing_mm - spacings) <= WHOLE * spacings))
    if not len(gaps):
        return
    lower, upper = ordered[gaps[0]], ordered[gaps[0] + 1]
    x, y, z = lower.plane.origin_mm + spacing_mm * lower.plane.normal
    raise DoseloError(
        f"{int((spacings[gaps] - 1).sum())} of the slices are missing, the first at (x, y, z) = ({x:g}, {y:g}, {z:g}) "
        f"mm between {lower.file} and {upper.file}; export the whole series"
    )


def _step(positions_mm: np.ndarray, index: int) -> str:
    return f"{positions_mm[index] - positions_mm[index - 1]:g}"


@dataclass(frozen=True)
class CtStack:
    """Slices in order along their normal, and the grid that they make: that of `series.read_series`."""

    slices: tuple[Slice, ...]
    grid: Grid

    def positions(self, index: int, points: np.ndarray) -> np.ndarray:
        """Patient coordinates (N, 3) in mm of points (N, 2), row and column in voxels, on one slice."""
        plane = self.slices[index].plane
        y_mm, x_mm = points[:, :1] * plane.spacing_mm[0], points[:, 1:] * plane.spacing_mm[1]
        return plane.origin_mm + x_mm * plane.matrix[:, 0] + y_mm * plane.matrix[:, 1]


def read_stack(files: Sequence[Path]) -> CtStack:
    """The slices of one series, in any order.

    Raises
    ------
    DoseloError: a file cannot be read, or see `slice_stack.even_stack`: missing slices, gantry tilt...
    """
    datasets = [(file, read_dataset(file)) for file in files]
    slices, spacing_mm = even_stack([Slice(file, dataset, read_plane(dataset, file)) for file, dataset in datasets])
    return CtStack(tuple(slices), slices[0].plane.stacked(len(slices), spacing_mm))
