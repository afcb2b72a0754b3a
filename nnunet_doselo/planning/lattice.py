"""The lattices of a beam in the plane of its isocentre: bixels, and the nodes between which dose is interpolated.

A lattice has odd numbers of rows (along v) and columns (along u); its middle is the isocentre.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from .beam_geometry import Projection, project
from .kernels import Spread


@dataclass(frozen=True)
class Lattice:
    """Distance of neighbours in mm, and (rows, columns)."""

    spacing_mm: float
    shape: tuple[int, int]

    @classmethod
    def covering(cls, half_mm: Sequence[float], spacing_mm: float) -> "Lattice":
        """The smallest lattice that reaches as far as `half_mm` (v, u) from the middle on every side."""
        rows, columns = (2 * int(np.ceil(half / spacing_mm)) + 1 for half in half_mm)
        return cls(spacing_mm, (rows, columns))

    @property
    def half_mm(self) -> tuple[float, float]:
        rows, columns = self.shape
        return (rows - 1) / 2 * self.spacing_mm, (columns - 1) / 2 * self.spacing_mm

    def at(self, seen: Projection) -> tuple[np.ndarray, np.ndarray]:
        """Fractional (row, column) of projected points."""
        v_mm, u_mm = self.half_mm
        return (seen.v_mm + v_mm) / self.spacing_mm, (seen.u_mm + u_mm) / self.spacing_mm

    def corners(self, seen: Projection) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each of the four nodes around every point: its flat index, and its weight, 0 outside the lattice."""
        rows, columns = self.shape
        row, column = self.at(seen)
        low_row, low_column = np.floor(row).astype(np.int32), np.floor(column).astype(np.int32)
        for i, along_row in enumerate((1 - (row - low_row), row - low_row)):
            for j, along_column in enumerate((1 - (column - low_column), column - low_column)):
                r, c = low_row + i, low_column + j
                inside = (r >= 0) & (r < rows) & (c >= 0) & (c < columns)
                yield np.where(inside, r * columns + c, 0), np.where(inside, along_row * along_column, 0.0)


class Blur:
    """From fluence on bixels to the nodes of one lateral component, and back (its adjoint).

    A wide kernel needs few nodes: fluence is first averaged, with linear weights, over cells of the nodes' spacing.
    """

    def __init__(self, length_mm: float, bixels: Lattice, cells: int, reach_mm: float) -> None:
        spacing_mm = cells * bixels.spacing_mm
        coarse = Lattice.covering(bixels.half_mm, spacing_mm)
        self.nodes = Lattice.covering([half + reach_mm for half in coarse.half_mm], spacing_mm)
        self._rows, self._columns = (_sharing(n, m, cells) for n, m in zip(coarse.shape, bixels.shape, strict=True))
        self._spread = Spread(length_mm, spacing_mm, coarse.shape, self.nodes.shape)

    def forward(self, fluence: np.ndarray) -> np.ndarray:
        """Fluence (beams, rows, columns) of bixels to that of nodes, (beams, node rows, node columns)."""
        return self._spread.forward(self._rows @ fluence @ self._columns.T)

    def adjoint(self, nodes: np.ndarray) -> np.ndarray:
        """What belongs to nodes, (beams, node rows, node columns), to bixels, (beams, rows, columns)."""
        return self._rows.T @ self._spread.adjoint(nodes) @ self._columns


def _sharing(coarse: int, fine: int, cells: int) -> np.ndarray:
    """(coarse, fine): what each fine cell adds to the mean fluence of each coarse one; columns sum to 1 / cells."""
    fine_middles = np.arange(fine) - (fine - 1) / 2
    middles = cells * (np.arange(coarse) - (coarse - 1) / 2)
    return np.maximum(0, 1 - np.abs(fine_middles[None] - middles[:, None]) / cells) / cells


def interpolation_matrix(lattice: Lattice, views: Sequence[Projection], strengths: Sequence[np.ndarray]) -> csr_matrix:
    """(points, beams * nodes) float32: linear interpolation of each beam's nodes at the points, times strength (N,)."""
    points, beams, nodes = len(strengths[0]), len(views), int(np.prod(lattice.shape))
    values = np.empty((points, beams, 4), np.float64)
    indices = np.empty((points, beams, 4), np.int32)
    for beam, (seen, strength) in enumerate(zip(views, strengths, strict=True)):
        for corner, (index, weight) in enumerate(lattice.corners(seen)):
            indices[:, beam, corner] = index + beam * nodes
            values[:, beam, corner] = weight * strength
    starts = np.arange(points + 1) * beams * 4
    matrix = csr_matrix((values.ravel(), indices.ravel(), starts), (points, beams * nodes))
    matrix.eliminate_zeros()
    return matrix


def bixels_that_hit(lattice: Lattice, points_mm: np.ndarray, gantries: Sequence[float], margin_mm: float) -> np.ndarray:
    """(beams, rows, columns) boolean: bixels within a margin of where a beam sees one of the points (N, 3)."""
    rows, columns = lattice.shape
    margin = int(np.ceil(margin_mm / lattice.spacing_mm))
    hit = np.zeros((len(gantries), rows, columns), bool)
    for beam, gantry in enumerate(gantries):
        row, column = (np.rint(index).astype(int) for index in lattice.at(project(points_mm, gantry)))
        for i in range(-margin, margin + 1):
            for j in range(-margin, margin + 1):
                hit[beam, np.clip(row + i, 0, rows - 1), np.clip(column + j, 0, columns - 1)] = True
    return hit
