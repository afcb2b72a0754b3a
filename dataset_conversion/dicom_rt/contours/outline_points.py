"""Points along the outlines of polygons: what thin contours and the shape between two planes are measured with."""

import numpy as np

from .polygon_parity import repeated

POINTS_PER_VOXEL = 8
LEAST_AREA_VOXELS = 1e-3
"""A contour that encloses less is a slip of the mouse: a line walked there and back, or one point many times."""


def outline_points(polygon: np.ndarray) -> np.ndarray:
    """(N, 2) indices of a closed polygon to (M, 2) points on it, an eighth of a voxel apart or closer."""
    run = np.roll(polygon, -1, axis=0) - polygon
    count = np.ceil(np.hypot(run[:, 0], run[:, 1]) * POINTS_PER_VOXEL).astype(np.intp)
    edge, step = repeated(count)
    return polygon[edge] + run[edge] * ((step + 0.5) / count[edge])[:, None]


def has_area(polygon: np.ndarray) -> bool:
    """Whether a polygon (N, 2) in indices encloses more than a thousandth of a voxel (0 for a figure of eight)."""
    x, y = (polygon - polygon[0]).T
    doubled = np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))
    return abs(doubled) / 2 > LEAST_AREA_VOXELS


def most_crossed(polygon: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Voxels that a contour thinner than a voxel passes through most: rows and columns (M,).

    Of the voxels that its outline crosses, those with at least half of the longest piece; none if it leaves the slice.
    """
    points = np.floor(outline_points(polygon) + 0.5).astype(np.intp)
    voxels, crossed = np.unique(points, axis=0, return_counts=True)
    if (voxels < 0).any() or (voxels >= shape[::-1]).any():
        return np.empty(0, np.intp), np.empty(0, np.intp)
    columns, rows = voxels[crossed * 2 >= crossed.max()].T
    return rows, columns
