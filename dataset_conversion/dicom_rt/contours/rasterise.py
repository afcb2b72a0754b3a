"""Contours of one structure to a mask on an image's grid.

In a plane: `polygons` (even-odd, a voxel is in if its centre is inside). Along the slices: `plane_stacks`
(which contours belong together) and `between_planes` (the shape where there is no contour).
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nnunet_doselo.dataset.geometry import Grid

from .between_planes import DrawnPlane, ShapeBetween
from .contour_planes import ContourPlane, contour_planes, outside_note, same_plane_slices
from .plane_stacks import gap_notes, reach, slices_of, stacks, step_of
from .polygons import SliceBox, has_area, inside, most_crossed


@dataclass(frozen=True, eq=False)
class Rasterised:
    """mask: (Z, Y, X) bool. notes: what a reader of the result has to know, in words, without text of the file."""

    mask: np.ndarray
    notes: tuple[str, ...]


def rasterise(contours: Sequence[np.ndarray], grid: Grid, *, fill_gaps: bool = True) -> Rasterised:
    """Voxels of `grid` whose centres lie inside of the contours of one structure.

    Contours of one plane are combined by even-odd: nested ones are holes, islands in holes are in. A contour plane
    between slices stands for its slab, shapes in between are interpolated. A contour that encloses no voxel centre
    keeps the voxels that it crosses most.

    Parameters
    ----------
    contours: (N, 3) patient coordinates, mm, each closed. None: an empty mask.
    fill_gaps: interpolate over slices without a contour (every second slice drawn, one contour forgotten). False for
        contours that an algorithm made from voxels, where such a slice is empty on purpose.

    Returns
    -------
    The mask, and notes on gaps filled or left, thin contours, and contours beyond the image.

    Raises
    ------
    DoseloError: a contour does not run parallel to the slices.
    """
    mask = np.zeros(grid.shape, bool)
    planes = contour_planes(contours, grid)
    box = _box(planes, grid)
    if not mask[:, box[0], box[1]].size:
        return Rasterised(mask, tuple(outside_note(planes, grid)))
    shape, corner = (box[0].stop - box[0].start, box[1].stop - box[1].start), (box[1].start, box[0].start)
    drawn, thin, flat = zip(*(_draw([p - corner for p in plane.polygons], shape) for plane in planes), strict=True)
    notes = _small_notes(sum(thin), sum(flat)) + outside_note(planes, grid)
    notes += _paint(mask[:, box[0], box[1]], planes, drawn, grid, fill_gaps)
    return Rasterised(mask, tuple(notes))


def _box(planes: Sequence[ContourPlane], grid: Grid) -> SliceBox:
    """Around all contours, with a voxel to spare, within the slices; empty if nothing is there."""
    if not planes:
        return slice(0, 0), slice(0, 0)
    points = np.concatenate([polygon for plane in planes for polygon in plane.polygons])
    limits = np.array(grid.size[:2])
    first = np.clip(np.floor(points.min(axis=0)) - 1, 0, limits).astype(int)
    past = np.clip(np.ceil(points.max(axis=0)) + 2, first, limits).astype(int)
    return slice(int(first[1]), int(past[1])), slice(int(first[0]), int(past[0]))


def _draw(polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> tuple[DrawnPlane, int, int]:
    """One plane by even-odd, and how many of its polygons are thinner than a voxel, how many enclose no area."""
    mask, crossed = np.zeros(shape, bool), np.zeros(shape, bool)
    thin = flat = 0
    for polygon in polygons:
        where, filled = inside(polygon, shape)
        mask[where] ^= filled
        if filled.any():
            continue
        if not has_area(polygon):
            flat += 1
            continue
        voxels = most_crossed(polygon, shape)
        crossed[voxels] = True
        thin += len(voxels[0]) > 0
    return DrawnPlane(mask | crossed, polygons), thin, flat


def _small_notes(thin: int, flat: int) -> list[str]:
    notes = [f"contours thinner than a voxel: {thin}, the voxels that they cross most were taken"] if thin else []
    return notes + ([f"contours skipped: {flat} that enclose no area"] if flat else [])


def _paint(
    mask: np.ndarray, planes: Sequence[ContourPlane], drawn: Sequence[DrawnPlane], grid: Grid, fill_gaps: bool
) -> list[str]:
    """All stacks into `mask`, the structure's box of every slice."""
    positions, near = [plane.position for plane in planes], same_plane_slices(grid)
    step = step_of(positions, grid.spacing[2], near)
    step = step if fill_gaps else min(step, 1.0)
    plane_stacks = stacks(positions, [int(plane.mask.sum()) for plane in drawn], step, near, fill_gaps=fill_gaps)
    filled = [slices_of(positions[stack[0]], positions[stack[-1]], step) for stack in plane_stacks]

    @lru_cache(maxsize=1)
    def between(below: int) -> ShapeBetween:
        return ShapeBetween.of(drawn[below], drawn[below + 1], grid.spacing[:2])

    for stack, slices in zip(plane_stacks, filled, strict=True):
        for index in range(max(0, slices.start), min(len(mask), slices.stop)):
            mask[index] |= _shape_at(index, positions, drawn, stack, step, between)
    return gap_notes(positions, filled, len(mask), step, near)


def _shape_at(
    index: int,
    positions: Sequence[float],
    drawn: Sequence[DrawnPlane],
    stack: range,
    step: float,
    between: Callable[[int], ShapeBetween],
) -> np.ndarray:
    """The mask of slice `index`: of the plane that lies on it or, beyond the stack's ends, of the last one."""
    below = bisect_right(positions, index, stack.start, stack.stop) - 1
    if below < stack.start:
        return drawn[stack.start].mask
    if below == stack[-1] or positions[below] == index:
        return drawn[below].mask
    gap, since = positions[below + 1] - positions[below], index - positions[below]
    slab = reach(min(gap, step))
    return between(below).at(since / gap, (since < slab, gap - since <= slab))
