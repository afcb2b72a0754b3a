"""Voxel grids, boxes of voxels, and the patient's body.

Arrays are (Z, Y, X), spacings (z, y, x) in mm, unless a name says otherwise. A grid keeps SimpleITK's order (x, y, z),
and so do patient coordinates and voxel indices with fractions. Patient coordinates are DICOM's, in mm: x to the left, y
to the back, z to the head.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nnunet_doselo.common.errors import DoseloError

MM3_PER_CC = 1000
AIR_HU = -1024
TISSUE_HU = -400
GRID_TOLERANCE = 1e-3
SAME_SPACING = 0.01
"""Voxels whose spacings differ by no more, as a fraction, are not resampled for a dose predictor."""
UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
"""Direction of a grid along the patient's axes."""

Box = tuple[slice, ...]
"""Part of an array, one slice an axis, (z, y, x); starts and stops are whole numbers."""


@dataclass(frozen=True)
class Extent:
    """A box along the patient's axes: its lowest and its highest corner, (3,) each, x, y, z in mm."""

    low: np.ndarray
    high: np.ndarray

    def overlaps(self, other: "Extent") -> bool:
        """True if both share a volume; boxes that touch do not."""
        return bool((self.low < other.high).all() and (other.low < self.high).all())

    def holds(self, other: "Extent", tolerance_mm: float | np.ndarray) -> bool:
        """True if `other` reaches out of this one by the tolerance at most: one for all axes, or (3,), x, y, z."""
        inside = (self.low - tolerance_mm <= other.low) & (other.high <= self.high + tolerance_mm)
        return bool(inside.all())


@dataclass(frozen=True)
class Grid:
    """Where the voxels of an array (Z, Y, X) lie in the patient. All in the order x, y, z.

    size: voxels along each axis. spacing: mm. origin: the first voxel's centre, mm.
    direction: row-major 3 x 3; its columns are perpendicular unit vectors, along which x, y and z count up.

    >>> from nnunet_doselo import Grid
    >>> upright = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    >>> grid = Grid(size=(32, 24, 16), spacing=(1.0, 1.0, 3.0), origin=(-10.0, 0.0, 0.0), direction=upright)
    >>> grid.shape, grid.spacing_zyx, grid.is_axial
    ((16, 24, 32), (3.0, 1.0, 1.0), True)
    >>> grid.to_patient(np.array([5, 0, 2])).tolist()
    [-5.0, 0.0, 6.0]
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]

    @classmethod
    def upright(
        cls, shape: Sequence[int], spacing_mm: Sequence[float], origin: Sequence[float] = (0.0, 0.0, 0.0)
    ) -> "Grid":
        """A grid along the patient's axes, of an array's shape (Z, Y, X) and spacing (z, y, x).

        origin: the first voxel's centre in the patient, x, y, z in mm.
        """
        return cls(tuple(reversed(shape)), tuple(reversed(spacing_mm)), tuple(origin), UPRIGHT)

    @property
    def shape(self) -> tuple[int, ...]:
        """(Z, Y, X) of an array on this grid."""
        return tuple(reversed(self.size))

    @property
    def spacing_zyx(self) -> tuple[float, ...]:
        """Spacing (z, y, x) in mm, as the array's axes run."""
        return tuple(reversed(self.spacing))

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel, mm3."""
        return voxel_mm3(self.spacing_zyx)

    @property
    def voxel_cc(self) -> float:
        """Volume of a voxel, cubic centimetres."""
        return voxel_cc(self.spacing_zyx)

    @property
    def axes(self) -> np.ndarray:
        """(3, 3): columns are the unit vectors of the voxels' x, y and z axis in the patient."""
        return np.array(self.direction, float).reshape(3, 3)

    @property
    def box(self) -> Box:
        """All voxels."""
        return tuple(slice(0, voxels) for voxels in self.shape)

    @property
    def is_axial(self) -> bool:
        """True if the array's slices are axial: the third axis runs along the patient's long axis."""
        along_z = abs(self.direction[8])
        return along_z > 1 - GRID_TOLERANCE

    def to_patient(self, index: np.ndarray) -> np.ndarray:
        """Patient coordinates (..., 3) in mm of voxel indices (..., 3), both x, y, z.

        Whole numbers are voxel centres; fractions, negative numbers and numbers beyond the grid are allowed.
        """
        return index * np.array(self.spacing) @ self.axes.T + np.array(self.origin)

    def to_index(self, points_mm: np.ndarray) -> np.ndarray:
        """Voxel indices (..., 3), with fractions, of patient coordinates (..., 3) in mm, both x, y, z.

        The inverse of `to_patient`, to rounding, also where files have rounded the direction.
        """
        offsets = np.asarray(points_mm) - np.array(self.origin)
        along_axes = np.linalg.solve(self.axes, offsets.reshape(-1, 3).T).T
        return along_axes.reshape(offsets.shape) / np.array(self.spacing)

    def centres_mm(self, mask: np.ndarray) -> np.ndarray:
        """Patient coordinates (N, 3), x, y, z, of the voxels of a boolean mask (Z, Y, X), in the array's order."""
        return self.to_patient(np.argwhere(mask)[:, ::-1])

    def cut(self, box: Box) -> "Grid":
        """The grid of `array[box]`; the box may reach beyond the array, before it with negative starts."""
        start = np.array([part.start for part in reversed(box)], float)
        size = tuple(part.stop - part.start for part in reversed(box))
        return Grid(size, self.spacing, tuple(self.to_patient(start).tolist()), self.direction)

    def respaced(self, spacing_mm: Sequence[float]) -> "Grid":
        """Voxels of another spacing (z, y, x) in the same room, to a whole number of them, at least one an axis.

        The outer faces of the first voxel stay where they are.
        """
        new = tuple(reversed(spacing_mm))
        ratios = [mm / present for mm, present in zip(new, self.spacing, strict=True)]
        size = [max(1, round(n * present / mm)) for n, present, mm in zip(self.size, self.spacing, new, strict=True)]
        origin = self.to_patient(np.array([(ratio - 1) / 2 for ratio in ratios]))
        return Grid(tuple(size), new, tuple(origin.tolist()), self.direction)

    def corners_mm(self, box: Box | None = None, *, beyond: float = 0.5) -> np.ndarray:
        """(8, 3) patient coordinates x, y, z of the corners of a box, or of all.

        beyond: distance from the outermost voxels' centres, in voxels; 0.5 is their outer faces.
        """
        ends = [(part.start - beyond, part.stop - 1 + beyond) for part in reversed(box or self.box)]
        return self.to_patient(np.array(list(itertools.product(*ends))))

    def extent(self, box: Box | None = None) -> Extent:
        """The room that a box, or all, takes up along the patient's axes, from outer face to outer face."""
        corners = self.corners_mm(box)
        return Extent(corners.min(axis=0), corners.max(axis=0))

    def differences(self, other: "Grid") -> list[str]:
        """What differs from `other`, in words; empty if the grids agree to 1e-3 in every number."""
        differences = [] if self.size == other.size else [f"size {self.size} against {other.size}"]
        for name in ("spacing", "origin", "direction"):
            values, others = getattr(self, name), getattr(other, name)
            if not np.allclose(values, others, rtol=0, atol=GRID_TOLERANCE):
                differences.append(f"{name} {_rounded(values)} against {_rounded(others)}")
        return differences


def _rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(float(v), 4) for v in values)


def voxel_mm3(spacing_mm: Sequence[float]) -> float:
    """Volume of a voxel, mm3."""
    return math.prod(spacing_mm)


def voxel_cc(spacing_mm: Sequence[float]) -> float:
    """Volume of a voxel, cubic centimetres."""
    return voxel_mm3(spacing_mm) / MM3_PER_CC


def box_between(first: np.ndarray, past: np.ndarray) -> Box:
    """The box from one index to another, (3,) each, x, y, z, whole numbers; `past` is one beyond the last voxel."""
    return tuple(slice(int(start), int(stop)) for start, stop in zip(first[::-1], past[::-1], strict=True))


def box_around(mask: np.ndarray, margin: int | Sequence[int] = 0) -> Box | None:
    """The smallest box that holds all of a boolean mask (any shape); None if the mask is empty.

    margin: voxels to add on both sides, one number or one for each axis, as far as there are voxels.
    """
    box: list[slice] = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        hit = np.flatnonzero(mask[tuple(box)].any(axis=others))
        if not hit.size:
            return None
        box.append(slice(int(hit[0]), int(hit[-1]) + 1))
    margins = np.broadcast_to(margin, mask.ndim).tolist()
    return tuple(
        slice(max(0, part.start - more), min(part.stop + more, voxels))
        for part, more, voxels in zip(box, margins, mask.shape, strict=True)
    )


def require_same_shape(**arrays: np.ndarray) -> None:
    """Check that all arrays have the shape of the first; the names go into the message.

    Raises
    ------
    DoseloError: they do not.
    """
    shapes = {name: np.shape(array) for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise DoseloError(f"arrays must lie on one voxel grid, found {listed}; resample them to one grid first")


def body_mask(ct_hu: np.ndarray, tissue_hu: float = TISSUE_HU) -> np.ndarray:
    """Voxels that lie between tissue on both sides, along x and along y of their own slice.

    This closes lungs, airways and sinuses without a search for connected components, so that the same
    definition can run inside a network (`predictor.inputs.tensor_body_mask`). A couch counts as tissue.

    Parameters
    ----------
    ct_hu: (..., Y, X), HU.
    tissue_hu: everything above counts as tissue.

    Returns
    -------
    Boolean mask of the same shape; all False where a slice holds no tissue.
    """
    tissue = np.asarray(ct_hu) > tissue_hu
    return _between(tissue, -1) & _between(tissue, -2)


def _between(tissue: np.ndarray, axis: int) -> np.ndarray:
    since_first = np.logical_or.accumulate(tissue, axis=axis)
    until_last = np.flip(np.logical_or.accumulate(np.flip(tissue, axis), axis=axis), axis)
    return since_first & until_last
