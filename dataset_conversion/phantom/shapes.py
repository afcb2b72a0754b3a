"""Signed distances of simple bodies, in mm: negative inside, 0 on the surface.

Points are (3, Z, Y, X): the coordinates x, y, z, in mm, of every voxel. Distances are (Z, Y, X).
"""

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise

import numpy as np

Point = tuple[float, float, float]


def ellipsoid(points: np.ndarray, centre: Point, radii_mm: Point) -> np.ndarray:
    """Distance (Z, Y, X) of points (3, Z, Y, X): exact on the surface, to first order beside it; in the very middle
    minus the smallest radius.
    """
    offsets = [(points[axis] - centre[axis]) / radii_mm[axis] for axis in range(3)]
    length = _norm(offsets)
    slope = _norm([offset / radius for offset, radius in zip(offsets, radii_mm, strict=True)])
    return np.where(slope > 0, length * (length - 1) / np.maximum(slope, 1e-9), -min(radii_mm))


def tube(points: np.ndarray, line: Sequence[Point], radii_mm: Sequence[float]) -> np.ndarray:
    """A round tube along a line of two or more points, with a radius at each; its ends are half balls.

    Distance (Z, Y, X) of points (3, Z, Y, X).
    """
    pieces = zip(pairwise(line), pairwise(radii_mm), strict=True)
    return union(*(_capsule(points, start, end, *radii) for (start, end), radii in pieces))


def _capsule(points: np.ndarray, start: Point, end: Point, start_mm: float, end_mm: float) -> np.ndarray:
    along = [float(e - s) for s, e in zip(start, end, strict=True)]
    offsets = [points[axis] - start[axis] for axis in range(3)]
    projected = sum(offset * a for offset, a in zip(offsets, along, strict=True))
    share = np.clip(projected / sum(a * a for a in along), 0, 1)
    distance = _norm([offset - share * a for offset, a in zip(offsets, along, strict=True)])
    return distance - start_mm - share * (end_mm - start_mm)


def _norm(components: Sequence[np.ndarray]) -> np.ndarray:
    return np.sqrt(sum(component * component for component in components))


def union(*distances: np.ndarray) -> np.ndarray:
    """Distance from the nearest of bodies, one or more, all of one shape."""
    return reduce(np.minimum, distances)


def intersection(*distances: np.ndarray) -> np.ndarray:
    """Distance from what bodies, one or more, all of one shape, have in common."""
    return reduce(np.maximum, distances)


def smooth_union(first: np.ndarray, second: np.ndarray, blend_mm: float) -> np.ndarray:
    """The union of two bodies, of the same shape (Z, Y, X), its crease filled up: `blend_mm` away nothing changes."""
    closeness = np.maximum(blend_mm - np.abs(first - second), 0) / blend_mm
    return np.minimum(first, second) - closeness**2 * (blend_mm / 4)


def coverage(distance: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Share of each voxel that lies inside, in [0, 1], as if the surface were flat within the voxel; of any shape."""
    return np.clip(0.5 - distance / spacing_mm, 0, 1)


def largest_share(distance: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Boolean mask (Z, Y, X) of the voxels that lie deepest inside, as many as have the body's volume, at least one.

    Voxels that lie equally deep stay together, so a symmetric body may become a few voxels larger.

    Cut at 0 instead, a body smaller than a voxel would be lost whenever it lies between voxel centres.
    """
    voxels = max(1, round(float(coverage(distance, spacing_mm).sum())))
    return distance <= np.partition(distance, voxels - 1, axis=None)[voxels - 1]
