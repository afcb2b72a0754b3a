"""Boxes of voxels, and where they lie in the patient."""

import itertools
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from nnunet_doselo.dataset.geometry import Grid

Box = tuple[slice, ...]
# of a voxel: how far two centres may lie apart that are meant to be one
SAME_VOXEL = 1e-2


@dataclass(frozen=True)
class Extent:
    """A box along the patient's axes, in mm: (x, y, z) of its lowest and its highest corner."""

    low: np.ndarray
    high: np.ndarray

    def overlaps(self, other: "Extent") -> bool:
        return bool((self.low < other.high).all() and (other.low < self.high).all())

    def holds(self, other: "Extent", tolerance_mm: float | np.ndarray) -> bool:
        """`tolerance_mm`: one, or one for each axis."""
        inside = (self.low - tolerance_mm <= other.low) & (other.high <= self.high + tolerance_mm)
        return bool(inside.all())


def box_around(mask: np.ndarray, margin: tuple[int, ...] = (0, 0, 0)) -> Box | None:
    """The smallest box (z, y, x) that holds all of the mask, and a margin as far as there are voxels; None if empty."""
    rows = np.logical_or.reduce(mask, axis=2)
    z, y = _hit(rows, 1), _hit(rows, 0)
    if z is None or y is None:
        return None
    x = _hit(mask[slice(*z), slice(*y)], (0, 1))
    return tuple(
        slice(max(0, first - m), min(stop + m, n))
        for (first, stop), m, n in zip((z, y, x or (0, 0)), margin, mask.shape, strict=True)
    )


def _hit(mask: np.ndarray, axes: int | tuple[int, int]) -> tuple[int, int] | None:
    """Along the axis that is left: the first index with a True, and one past the last."""
    hit = np.flatnonzero(mask.any(axis=axes))
    return (int(hit[0]), int(hit[-1]) + 1) if hit.size else None


def whole(grid: Grid) -> Box:
    return tuple(slice(0, n) for n in reversed(grid.size))


def cut(grid: Grid, box: Box) -> Grid:
    """The grid of `array[box]`."""
    start = np.array([part.start for part in reversed(box)], float)
    origin = to_patient(grid, start)
    size = tuple(part.stop - part.start for part in reversed(box))
    return Grid(size, grid.spacing, tuple(origin.tolist()), grid.direction)


def to_patient(grid: Grid, index_xyz: np.ndarray) -> np.ndarray:
    """Patient coordinates (..., 3) in mm of voxel indices (..., 3), both in the order x, y, z."""
    return index_xyz * np.array(grid.spacing) @ _directions(grid).T + np.array(grid.origin)


def to_index(grid: Grid, points_mm: np.ndarray) -> np.ndarray:
    """Voxel indices (..., 3) of patient coordinates (..., 3), fractions included."""
    return (points_mm - np.array(grid.origin)) @ _directions(grid) / np.array(grid.spacing)


def extent_of(grid: Grid, box: Box | None = None) -> Extent:
    """From outer face to outer face of the voxels of a box, or of all."""
    corners = to_patient(grid, _corners(box or whole(grid)))
    return Extent(corners.min(axis=0), corners.max(axis=0))


def part_of(grid: Grid, other: Grid) -> Box | None:
    """The voxels of `grid` that `other` can reach, a box; None if the two do not meet."""
    corners = to_index(grid, to_patient(other, _corners(whole(other))))
    low = np.floor(corners.min(axis=0)).astype(int)
    high = np.ceil(corners.max(axis=0)).astype(int) + 1
    box = [slice(max(0, lo), min(int(hi), n)) for lo, hi, n in zip(low.tolist(), high, grid.size, strict=True)]
    return tuple(reversed(box)) if all(part.start < part.stop for part in box) else None


def coincide(grid: Grid, other: Grid) -> bool:
    """True if the voxels of one, as far as both reach, are voxels of the other: cut, turned by quarters or mirrored."""
    steps = np.vstack([np.zeros(3), np.eye(3), np.diag(np.array(grid.size) - 1.0)])
    at = to_index(other, to_patient(grid, steps))
    same_volume = np.isclose(np.prod(grid.spacing), np.prod(other.spacing))
    return bool(same_volume and np.abs(at - np.rint(at)).max() < SAME_VOXEL)


def as_image(array: np.ndarray, grid: Grid) -> sitk.Image:
    """A (Z, Y, X) array on its grid; booleans become 0 and 1."""
    image = sitk.GetImageFromArray(array.astype(np.uint8) if array.dtype == bool else array)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    return image


def _corners(box: Box) -> np.ndarray:
    """The eight corners of a box, at the outer faces of its voxels, as indices (8, 3) in the order x, y, z."""
    return np.array(list(itertools.product(*((part.start - 0.5, part.stop - 0.5) for part in reversed(box)))))


def _directions(grid: Grid) -> np.ndarray:
    return np.array(grid.direction).reshape(3, 3)
