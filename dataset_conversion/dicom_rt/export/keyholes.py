"""Outlines with holes as single polygons: the keyhole technique (DICOM PS3.3 C.8.8.6.3).

From the upper left corner of each hole a channel of no width runs to the left, along voxel edges, to the nearest
outline: the outer one, or another hole's. Holes are so tied to each other, and the leftmost of them to the outside.
"""

import numpy as np

from .outlines import NORTH, WEST, Corners, along_lines, corners_of, cycles_of, polygon


def keyholed_outlines(mask: np.ndarray) -> list[np.ndarray]:
    """As `outlines.outlines` of a mask (Y, X), but one polygon (N, 2) for each piece of it, holes included.

    A piece is what hangs together by edges of voxels. The even-odd and the winding rule both give back the mask.
    Both passes of a channel go through the same points. Masks without holes give what `outlines` gives.
    """
    corners = corners_of(mask)
    holes = _first_corners_of_holes(corners)
    if not holes.size:
        return [polygon(corners.row[cycle], corners.column[cycle]) for cycle in cycles_of(corners.following)]
    columns = _where_channels_end(mask, corners.row[holes], corners.column[holes])
    edges = _edges_there(corners, corners.row[holes], columns)
    following = _tied(corners, holes, edges)
    row = np.concatenate([corners.row, np.repeat(corners.row[holes], 3)])
    column = np.concatenate([corners.column, np.stack([columns, corners.column[holes], columns], axis=1).ravel()])
    return [_without_repeats(polygon(row[cycle], column[cycle])) for cycle in cycles_of(following)]


def _first_corners_of_holes(corners: Corners) -> np.ndarray:
    """The uppermost corner of each hole, and of several the leftmost: only there holes have the mask on the left."""
    cycles = cycles_of(corners.following)
    lattice = corners.row * (int(corners.column.max(initial=0)) + 1) + corners.column
    first = np.array([cycle[int(np.argmin(lattice[cycle]))] for cycle in cycles], np.intp)
    return first[corners.arriving[first] == WEST]


def _where_channels_end(mask: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Going left between two rows of voxels: the column where they are no longer both in the mask."""
    ends = []
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        gaps = np.flatnonzero(~(mask[row - 1, :column] & mask[row, :column]))
        ends.append(int(gaps[-1]) + 1 if gaps.size else 0)
    return np.array(ends, np.intp)


def _edges_there(corners: Corners, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Number of the corner from which an edge runs north through (or from, or to) each of the given places.

    Outlines have the mask on their right, so what bounds it on the left runs north; edges of a column do not overlap.
    """
    starts = along_lines(corners.row, corners.column, corners.leaving == NORTH, NORTH)
    stride = int(corners.row.max()) + 1
    upper_ends = corners.column[starts] * stride + corners.row[corners.following[starts]]
    return starts[np.searchsorted(upper_ends, columns * stride + rows, side="right") - 1]


def _tied(corners: Corners, holes: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """`following` with three new corners a hole: the channel's end, the hole's first corner again, the end again."""
    count = len(corners.row)
    next_of = [*corners.following.tolist(), *[0] * (3 * len(holes))]
    preceding = np.argsort(corners.following)
    for new, hole in zip(range(count, len(next_of), 3), holes.tolist(), strict=True):
        next_of[preceding[hole]] = new + 1
        next_of[new], next_of[new + 1] = hole, new + 2
    last_on: dict[int, int] = {}
    for hole_number in np.argsort(-corners.row[holes], kind="stable").tolist():  # as they come when an edge runs north
        edge, new = int(edges[hole_number]), count + 3 * hole_number
        preceding_end = last_on.get(edge, edge)
        next_of[preceding_end], next_of[new + 2] = new, next_of[preceding_end]
        last_on[edge] = new + 2
    return np.array(next_of, np.intp)


def _without_repeats(points: np.ndarray) -> np.ndarray:
    """A channel that ends at a corner names it twice in a row."""
    return points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
