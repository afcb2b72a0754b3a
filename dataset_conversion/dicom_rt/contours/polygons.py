"""Polygons of one slice: the voxels that they hold, and points along their outlines.

A voxel is in if its centre is inside, by even-odd. Coordinates are voxel indices (x, y): centres lie at whole numbers.
An edge belongs to the voxels on its right and below it (half-open), so that polygons that share an edge share no voxel
and lose none. No half-voxel shift, no fattening: a square from 10 to 20 has ten voxels a row, 10 to 19.
"""

import numpy as np

INDEX_DECIMALS = 4
"""Coordinates are rounded to 1e-4 voxel: a vertex meant for a voxel's centre lies on it, whatever the file rounded."""
ON_CENTRE = 1e-9

SliceBox = tuple[slice, slice]
"""A rectangle of a slice: its rows, its columns."""
POINTS_PER_VOXEL = 8
LEAST_AREA_VOXELS = 1e-3
"""A contour that encloses less is a slip of the mouse: a line walked there and back, or one point many times."""


def inside(polygon: np.ndarray, shape: tuple[int, int]) -> tuple[SliceBox, np.ndarray]:
    """Where a closed polygon holds voxel centres.

    Parameters
    ----------
    polygon: (N, 2) indices x, y; the last point joins the first. May cross itself (even-odd), as keyholes do.
    shape: rows and columns of the slice; what lies beyond is cut off.

    Returns
    -------
    The polygon's box, clipped to the slice, and a boolean mask of that box; of size 0 if nothing is there.
    """
    polygon = np.round(polygon, INDEX_DECIMALS)
    box = _box(polygon, shape)
    rows, columns = box
    row, crossing = _crossings(polygon, rows)
    # one more column takes the crossings to the right of the box
    toggles = np.zeros((rows.stop - rows.start, columns.stop - columns.start + 1), np.uint8)
    column = np.clip(np.ceil(crossing - ON_CENTRE), columns.start, columns.stop).astype(np.intp)
    np.bitwise_xor.at(toggles, (row - rows.start, column - columns.start), 1)
    return box, np.bitwise_xor.accumulate(toggles, axis=1)[:, :-1].astype(bool)


def _box(polygon: np.ndarray, shape: tuple[int, int]) -> SliceBox:
    """Rows and columns whose centres are at or after the polygon's start and before its end."""
    limits = np.array(shape[::-1])
    first = np.clip(np.ceil(polygon.min(axis=0)), 0, limits).astype(int)
    past = np.clip(np.ceil(polygon.max(axis=0)), first, limits).astype(int)
    return slice(int(first[1]), int(past[1])), slice(int(first[0]), int(past[0]))


def _crossings(polygon: np.ndarray, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Each crossing of an edge with the line through a row's centres: row (M,), x (M,).

    Every edge is followed towards larger y, so that neighbours that share it find the same x to the last bit.
    """
    ends = np.stack([polygon, np.roll(polygon, -1, axis=0)])
    upwards = ends[0, :, 1] <= ends[1, :, 1]
    start, end = np.where(upwards[:, None], ends, ends[::-1])
    first = np.clip(np.ceil(start[:, 1]), rows.start, rows.stop).astype(np.intp)
    count = np.clip(np.ceil(end[:, 1]), first, rows.stop).astype(np.intp) - first
    edge, step = repeated(count)
    row = first[edge] + step
    run = (end - start)[edge]
    return row, start[edge, 0] + (row - start[edge, 1]) * (run[:, 0] / run[:, 1])


def repeated(count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(2, 0, 3) -> (0, 0, 2, 2, 2) and (0, 1, 0, 1, 2): which item, and how often it has come before."""
    item = np.repeat(np.arange(len(count)), count)
    return item, np.arange(len(item)) - np.repeat(np.cumsum(count) - count, count)


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
