"""Which voxels find their dose nearby: gamma up to 1 somewhere in the cells between the voxels around them.

The evaluated dose is taken as trilinear between voxels. Where a voxel passes neither in place nor down the gradient,
the cells around it are searched: in a cell gamma squared is a polynomial, whose Bernstein coefficients bound it from
below (Farouki, Comput Aided Geom Des 29:379, 2012). A box that cannot pass is left, another is halved. That is finer
than fixed steps, and a head takes about a second. PyMedPhys, with which the tests compare, is far slower.
"""

import itertools

import numpy as np
from scipy import ndimage

# single precision doses: 3 % of 60 Gy is then known to 2e-6 of itself
LIMIT = 1 + 2e-5
RESOLUTION = 0.05
"""Boxes are halved down to this share of the distance criterion."""
AT_ONCE = 20_000
CORNERS = np.array(list(itertools.product((0, 1), repeat=3)))


def voxels_that_pass(points: np.ndarray, reference: np.ndarray, evaluated: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Which voxels have gamma up to 1, (n,) bool, with doses in units of the dose criterion, lengths of the distance.

    points: (n, 3) indices. reference: (n,) their doses. evaluated: (Z, Y, X). steps: (3,) edges of a voxel.
    """
    passed = np.abs(evaluated[tuple(points.T)] - reference) <= LIMIT
    for axis in range(3):
        if evaluated.shape[axis] == 1:
            evaluated = np.repeat(evaluated, 2, axis)
    todo = np.flatnonzero(~passed)
    passed[todo] = _passed_down_the_gradient(points[todo], reference[todo], evaluated, steps)
    for cell in _cells_within_reach(steps):
        todo = np.flatnonzero(~passed)
        first = points[todo] + cell
        todo = todo[(first >= 0).all(1) & (first + 1 < evaluated.shape).all(1)]
        for part in np.split(todo, range(AT_ONCE, len(todo), AT_ONCE)):
            corners = (points[part] + cell)[:, None] + CORNERS
            differences = evaluated[tuple(np.moveaxis(corners, -1, 0))] - reference[part][:, None]
            passed[part] = _passes_in_cell(differences.reshape(-1, 2, 2, 2), cell * steps, steps)
    return passed


def _passed_down_the_gradient(
    points: np.ndarray, reference: np.ndarray, evaluated: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """Whether voxels pass where gamma would be smallest if the dose were linear: most do, and are found at once."""
    where = tuple(points.T)
    difference = evaluated[where] - reference
    slope = np.stack([np.gradient(evaluated, step, axis=axis)[where] for axis, step in enumerate(steps)])
    offset = -difference * slope / (1 + (slope**2).sum(0))
    there = points.T + offset / steps[:, None]
    last = np.array(evaluated.shape)[:, None] - 1
    inside = ((there >= 0) & (there <= last)).all(0)
    dose = ndimage.map_coordinates(evaluated, there, order=1, mode="nearest")
    return inside & ((dose - reference) ** 2 + (offset**2).sum(0) <= LIMIT)


def _cells_within_reach(steps: np.ndarray) -> list[np.ndarray]:
    """Offsets (3,) of the cells between voxels that lie within distance 1 of a voxel, nearest first."""
    reach = np.ceil(1 / steps).astype(int)
    cells = [np.array(cell) for cell in itertools.product(*(range(-n, n) for n in reach))]
    square = {tuple(cell): _square_of_nearest(cell * steps, steps) for cell in cells}
    return sorted((c for c in cells if square[tuple(c)] <= LIMIT), key=lambda c: square[tuple(c)])


def _square_of_nearest(starts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Squared distance from the origin to boxes: starts (..., 3), edges (3,)."""
    return (np.maximum(0, np.maximum(starts, -(starts + edges))) ** 2).sum(-1)


def _passes_in_cell(differences: np.ndarray, start: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Whether gamma is at most 1 somewhere in a cell, for n voxels at once.

    differences: (n, 2, 2, 2), evaluated dose at the corners less the voxel's. start, edges: (3,) of the cell.
    """
    passes = np.zeros(len(differences), bool)
    owner, starts = np.arange(len(differences)), np.broadcast_to(start, (len(differences), 3))
    while owner.size:
        away = starts[:, None] + CORNERS * edges
        squares = differences.reshape(-1, 8) ** 2 + (away**2).sum(-1)
        passes[owner[(squares <= LIMIT).any(1)]] = True
        if edges.max() <= RESOLUTION:
            break
        low, high = differences.min((1, 2, 3)), differences.max((1, 2, 3))
        bound = np.maximum(0, np.maximum(low, -high)) ** 2 + _square_of_nearest(starts, edges)
        alive = np.flatnonzero((bound <= LIMIT) & ~passes[owner])
        alive = alive[_smallest_coefficient(differences[alive], starts[alive], edges) <= LIMIT]
        differences, edges = _halved(differences[alive]), edges / 2
        owner, starts = np.repeat(owner[alive], 8), (starts[alive][:, None] + CORNERS * edges).reshape(-1, 3)
    return passes


def _smallest_coefficient(differences: np.ndarray, starts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(n,) lower bounds of gamma squared in boxes, the tighter the smaller they are (with the square of the edge)."""
    ends = starts + edges
    z, y, x = np.moveaxis(np.stack([starts**2, starts * ends, ends**2]), -1, 0)
    squares = _product(differences, differences)
    squares += z.T[:, :, None, None] + y.T[:, None, :, None] + x.T[:, None, None, :]
    return squares.min((1, 2, 3))


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Bernstein coefficients of a product: of two functions linear along each axis, (n, 2, ...), to (n, 3, ...)."""
    if left.ndim == 1:
        return left * right
    first, last = _product(left[:, 0], right[:, 0]), _product(left[:, 1], right[:, 1])
    mixed = (_product(left[:, 0], right[:, 1]) + _product(left[:, 1], right[:, 0])) / 2
    return np.stack([first, mixed, last], 1)


def _halved(boxes: np.ndarray) -> np.ndarray:
    """(n, 2, 2, 2) corner values to those of the eight halves, (8 n, 2, 2, 2): trilinear, so edges are linear."""
    for axis in (1, 2, 3):
        first, last = np.split(boxes, 2, axis)
        boxes = np.concatenate([first, (first + last) / 2, last], axis)
    eight = [boxes[:, z : z + 2, y : y + 2, x : x + 2] for z, y, x in CORNERS]
    return np.stack(eight, 1).reshape(-1, 2, 2, 2)
