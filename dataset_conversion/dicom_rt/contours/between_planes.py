"""The shape between two contour planes: where the mean of both signed distances is inside.

Distances are to the contours themselves, not to voxels (Raya and Udupa, IEEE TMI 9:32, 1990, on voxels). They are
only needed where one plane is in and the other out. Parts without a counterpart in the other plane are never joined
to anything: they end half a step from their plane.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from .polygons import outline_points

NEIGHBOURS_IN_SLICE = np.ones((3, 3), bool)


@dataclass(frozen=True, eq=False)
class DrawnPlane:
    """mask: (Y, X) voxels of a box. polygons: what was drawn, (N, 2) indices x, y in that box each."""

    mask: np.ndarray
    polygons: Sequence[np.ndarray]


@dataclass(frozen=True, eq=False)
class ShapeBetween:
    """Two planes, compared once for all slices between them.

    paired: of each plane the parts that share voxels with parts of the other. rows, columns: voxels in only one of
    them, (K,). depths_mm: distances of these to each outline, negative outside, (2, K).
    """

    planes: tuple[DrawnPlane, DrawnPlane]
    paired: tuple[np.ndarray, np.ndarray]
    rows: np.ndarray
    columns: np.ndarray
    depths_mm: np.ndarray

    @classmethod
    def of(cls, first: DrawnPlane, second: DrawnPlane, spacing_xy_mm: Sequence[float]) -> "ShapeBetween":
        """Compare two planes of one box."""
        paired = _overlapping(first.mask, second.mask), _overlapping(second.mask, first.mask)
        rows, columns = np.nonzero(paired[0] ^ paired[1])
        depths_mm = [
            _depth_mm(mask, plane.polygons, (rows, columns), spacing_xy_mm)
            for mask, plane in zip(paired, (first, second), strict=True)
        ]
        return cls((first, second), paired, rows, columns, np.array(depths_mm))

    def at(self, share: float, keep: tuple[bool, bool]) -> np.ndarray:
        """The mask (Y, X) at `share` of the way from the first plane (0) to the second (1).

        Parameters
        ----------
        keep: whether parts of the first, of the second plane without a counterpart reach that far. Of planes that
            share no voxel there is nothing else.
        """
        shape = self.paired[0] & self.paired[1]
        shape[self.rows, self.columns] = (1 - share) * self.depths_mm[0] + share * self.depths_mm[1] > 0
        for plane, paired, kept in zip(self.planes, self.paired, keep, strict=True):
            if kept:
                shape |= plane.mask & ~paired
        return shape


def _overlapping(mask: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The connected parts of `mask` that share a voxel with `other`."""
    labels, _ = ndimage.label(mask, NEIGHBOURS_IN_SLICE)
    touched = np.zeros(int(labels.max(initial=0)) + 1, bool)
    touched[labels[other]] = True
    touched[0] = False
    return touched[labels]


def _depth_mm(
    mask: np.ndarray,
    polygons: Sequence[np.ndarray],
    voxels: tuple[np.ndarray, np.ndarray],
    spacing_xy_mm: Sequence[float],
) -> np.ndarray:
    """Distances of voxels (rows, columns) to the outline of `mask`, which the polygons drew."""
    if not len(voxels[0]):
        return np.empty(0)
    points = np.concatenate([outline_points(polygon) for polygon in polygons])
    near = _at_the_edge(mask, points)
    tree = KDTree((near if len(near) else points) * spacing_xy_mm)
    distance_mm, _ = tree.query(np.stack(voxels[::-1], axis=1) * spacing_xy_mm)
    return np.where(mask[voxels], distance_mm, -distance_mm)


def _at_the_edge(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The points next to voxels both in and out: the cut of a keyhole, walked twice, is no outline."""
    edge = ndimage.binary_dilation(mask, NEIGHBOURS_IN_SLICE) & ~ndimage.binary_erosion(mask, NEIGHBOURS_IN_SLICE)
    limits = np.array(mask.shape[::-1]) - 1
    column, row = np.clip(np.floor(points + 0.5), 0, limits).astype(np.intp).T
    return points[edge[row, column]]
