"""Masks on another grid, each structure on its own, keeping its volume."""

import numpy as np
import SimpleITK as sitk

from nnunet_doselo.dataset.geometry import Box, Grid, box_around, box_between
from nnunet_doselo.dataset.images import array_of, as_image, grid_of, onto_grid

TIE = 1e-6
# of a voxel: how far two centres may lie apart that are meant to be one
SAME_VOXEL = 1e-2


def keep_volume(share: np.ndarray, volume_mm3: float, voxel_mm3: float) -> np.ndarray:
    """The voxels of largest share, as many as have the volume, and those of the same share as the last of them.

    Cut at one half instead, thin structures shrink: a spinal cord (OpenKBP's patient 3, at 3 mm) lost a quarter.

    Parameters
    ----------
    share: how much of each voxel belongs to the structure, 0 to 1.

    Returns
    -------
    Boolean mask of the same shape, empty if the volume is below half a voxel or nothing is touched.
    """
    touched = share[share > 0]
    wanted = min(round(volume_mm3 / voxel_mm3), touched.size)
    if wanted == 0:
        return np.zeros(share.shape, bool)
    return share >= np.partition(touched, -wanted)[-wanted]


def resample_mask(mask: np.ndarray, source: Grid, grid: Grid) -> np.ndarray:
    """A boolean mask (Z, Y, X) on `source`, put onto `grid`, which has to hold all of it: interpolated linearly, its
    volume kept.

    Where the voxels of both grids coincide (cut, turned by quarters, mirrored) the mask stays as it is, to the voxel.
    """
    placed = np.zeros(grid.shape, bool)
    box = box_around(mask, margin=1)
    part = None if box is None else part_of(grid, source.cut(box))
    if box is None or part is None:
        return placed
    volume_mm3 = float(np.count_nonzero(mask[box])) * source.voxel_mm3
    image = as_image(mask[box].astype(np.float32), source.cut(box))
    share = resample(image, grid.cut(part), sitk.sitkLinear, 0.0)
    placed[part] = keep_volume(_middle_first(share, grid.spacing_zyx), volume_mm3, grid.voxel_mm3)
    return placed


def _middle_first(share: np.ndarray, spacing_mm: tuple[float, ...]) -> np.ndarray:
    """Of equal shares those near the middle become the larger ones, by less than one in a million.

    From 1 to 2 mm every second voxel of a straight wall has the share of one half: all of them, or none, would be a
    sixth of a small structure.
    """
    total = float(share.sum(dtype=float))
    axes = np.ogrid[tuple(slice(0, n) for n in share.shape)]
    middle = [float((share * axis).sum(dtype=float)) / total if total else 0.0 for axis in axes]
    square_mm2 = sum(((axis - m) * s) ** 2 for axis, m, s in zip(axes, middle, spacing_mm, strict=True))
    farthest = max(float(np.max(square_mm2)), 1.0)
    return np.where(share > 0, share * (1 - TIE * square_mm2 / farthest), 0.0)


def resample(image: sitk.Image, grid: Grid, interpolator: int, outside: float) -> np.ndarray:
    """The image's values at the voxels of `grid`, (Z, Y, X), in the image's type; `outside` where it does not reach.

    Where the voxels coincide, the values are the image's own, to the bit.
    """
    how = sitk.sitkNearestNeighbor if coincide(grid, grid_of(image)) else interpolator
    return array_of(onto_grid(image, grid, interpolator=how, outside=outside))


def part_of(grid: Grid, other: Grid) -> Box | None:
    """The voxels of `grid` that `other` can reach, a box; None if the two do not meet."""
    corners = grid.to_index(other.corners_mm())
    first = np.maximum(np.floor(corners.min(axis=0)), 0)
    past = np.minimum(np.ceil(corners.max(axis=0)) + 1, grid.size)
    return box_between(first, past) if (first < past).all() else None


def coincide(grid: Grid, other: Grid) -> bool:
    """True if the voxels of one, as far as both reach, are voxels of the other: cut, turned by quarters or mirrored."""
    steps = np.vstack([np.zeros(3), np.eye(3), np.diag(np.array(grid.size) - 1.0)])
    index = other.to_index(grid.to_patient(steps))
    same_volume = np.isclose(grid.voxel_mm3, other.voxel_mm3)
    return bool(same_volume and np.abs(index - np.rint(index)).max() < SAME_VOXEL)
