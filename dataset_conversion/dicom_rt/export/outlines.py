"""Outlines of masks along voxel edges: polygons that give back the mask, voxel for voxel.

An outline turns at corners of voxels. At each corner it arrives in one of four directions and leaves in another, with
the mask on its right (rows run down, columns to the right): outer outlines run clockwise, those of holes the other way.
Voxels that touch at a corner only get an outline each, so no outline crosses itself.
"""

from dataclasses import dataclass

import numpy as np

EAST, SOUTH, WEST, NORTH = range(4)

# The four voxels around a corner as bits: 1 if the one above left is in the mask, 2 above right, 4 below left, 8 below
# right. For each pattern, how the outline arrives and how it leaves; two outlines where voxels touch diagonally.
TURNS = {
    0b0001: [(SOUTH, WEST)],
    0b0010: [(WEST, NORTH)],
    0b0100: [(EAST, SOUTH)],
    0b1000: [(NORTH, EAST)],
    0b1110: [(EAST, NORTH)],
    0b1101: [(SOUTH, EAST)],
    0b1011: [(NORTH, WEST)],
    0b0111: [(WEST, SOUTH)],
    0b1001: [(SOUTH, WEST), (NORTH, EAST)],
    0b0110: [(WEST, NORTH), (EAST, SOUTH)],
}


@dataclass(frozen=True, eq=False)
class Corners:
    """All corners of all outlines of one slice, (N,) each, in no particular order.

    row, column: where; line 0 is the upper or left edge of the slice. arriving, leaving: EAST, SOUTH, WEST or NORTH.
    following: which corner comes next.
    """

    row: np.ndarray
    column: np.ndarray
    arriving: np.ndarray
    leaving: np.ndarray
    following: np.ndarray


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Closed polygons along the edges of voxels; a point is inside the mask if it is inside an odd number of them.

    Parameters
    ----------
    mask: (Y, X) boolean.

    Returns
    -------
    (N, 2) float arrays of corners (y, x), N >= 4, in units of voxels: voxel (0, 0) reaches from -0.5 to 0.5. The first
    point is not repeated, and points on straight lines are left out. Holes are polygons of their own. An empty mask
    gives an empty list.
    """
    corners = corners_of(mask)
    return [polygon(corners.row[cycle], corners.column[cycle]) for cycle in cycles_of(corners.following)]


def polygon(row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Lattice lines (N,) and (N,) as points (N, 2) in units of voxels."""
    return np.stack([row, column], axis=1) - 0.5


def corners_of(mask: np.ndarray) -> Corners:
    """The corners of all outlines of a (Y, X) mask."""
    padded = np.pad(np.asarray(mask, bool), 1).astype(np.uint8)
    pattern = padded[:-1, :-1] | padded[:-1, 1:] << 1 | padded[1:, :-1] << 2 | padded[1:, 1:] << 3
    edges = np.nonzero((pattern > 0) & (pattern < 0b1111))
    turning = [(np.flatnonzero(pattern[edges] == bits), turn) for bits, turns in TURNS.items() for turn in turns]
    row, column = (lines[np.concatenate([where for where, _ in turning])] for lines in edges)
    counts = [len(where) for where, _ in turning]
    arriving, leaving = (np.repeat([turn[way] for _, turn in turning], counts) for way in (0, 1))
    following = np.empty(len(row), np.intp)
    for direction in (EAST, SOUTH, WEST, NORTH):
        starts, ends = (along_lines(row, column, way == direction, direction) for way in (leaving, arriving))
        following[starts] = ends
    return Corners(row, column, arriving, leaving, following)


def along_lines(row: np.ndarray, column: np.ndarray, chosen: np.ndarray, direction: int) -> np.ndarray:
    """Numbers (M,) of the M chosen corners, line by line; row, column, chosen (boolean): (N,).

    Edges of one direction never overlap: the n-th corner that one leaves is followed by the n-th where one arrives.
    """
    numbers = np.flatnonzero(chosen)
    keys = (column, row) if direction in (EAST, WEST) else (row, column)
    return numbers[np.lexsort([key[numbers] for key in keys])]


def cycles_of(following: np.ndarray) -> list[list[int]]:
    """Numbers of the corners of each outline, in the order they are passed.

    following: (N,), for each corner the number of the next one. Without corners there are no outlines.
    """
    next_of = following.tolist()
    visited = bytearray(len(next_of))
    cycles = []
    for first in range(len(next_of)):
        members, corner = [], first
        while not visited[corner]:
            visited[corner] = True
            members.append(corner)
            corner = next_of[corner]
        if members:
            cycles.append(members)
    return cycles
