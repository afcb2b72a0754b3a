"""From fluence to dose: penumbra and scatter of every bixel in every voxel of the body."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.sparse import csr_matrix

from .beam_geometry import Projection, project, trace
from .interface import Beams
from .kernels import PencilBeam
from .lattice import Blur, Lattice, interpolation_matrix

Item = TypeVar("Item")
Result = TypeVar("Result")

PENUMBRA_REACH_MM = 24.0
SCATTER_REACH_MM = 150.0
FINEST_STEP_MM = 2.0
SCATTER_CELLS = 3
"""Nodes of the scatter are this many bixels apart."""
_THREADS = 2


@dataclass(frozen=True)
class PlannedPatient:
    """A patient as the beams of one plan meet them.

    density: (Z, Y, X) relative to water, 0 outside the body.
    body: (Z, Y, X) boolean.
    spacing_mm, isocentre_mm: (z, y, x), the isocentre from the centre of voxel 0.
    """

    density: np.ndarray
    body: np.ndarray
    spacing_mm: tuple[float, float, float]
    isocentre_mm: tuple[float, float, float]

    def points_mm(self, voxels: Sequence[np.ndarray]) -> np.ndarray:
        """(N, 3) in mm, relative to the isocentre, of voxel indices, three arrays (N,) as `np.nonzero` gives them."""
        columns = [i * s - c for i, s, c in zip(voxels, self.spacing_mm, self.isocentre_mm, strict=True)]
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class Influence:
    """The dose in the body of a fluence (beams, rows, columns) on the lattice `bixels`."""

    patient: PlannedPatient
    beams: Beams
    bixels: Lattice
    pencil: PencilBeam

    @cached_property
    def points_mm(self) -> np.ndarray:
        """(N, 3) in mm, the body's voxels in the order of `np.nonzero`."""
        return self.patient.points_mm(np.nonzero(self.patient.body))

    @cached_property
    def blurs(self) -> tuple[Blur, Blur]:
        """Of the penumbra, and of the scatter."""
        return (
            Blur(self.pencil.penumbra_mm, self.bixels, 1, PENUMBRA_REACH_MM),
            Blur(self.pencil.scatter_mm, self.bixels, SCATTER_CELLS, SCATTER_REACH_MM),
        )

    @cached_property
    def depths_mm(self) -> np.ndarray:
        """(beams, 2, N) float32: radiological depth of the voxel, and of the nearest ray of the field beside it.

        Scatter starts in the field: it has been through what lies before the field, not before the voxel.
        """
        return np.stack(side_by_side(self._depths_of_beam, self.beams.gantry_deg))

    def _depths_of_beam(self, gantry_deg: float) -> np.ndarray:
        step_mm = max(FINEST_STEP_MM, min(self.patient.spacing_mm))
        seen = project(self.points_mm, gantry_deg)
        fan = trace(self.patient.density, self.patient.spacing_mm, self.patient.isocentre_mm, seen, gantry_deg, step_mm)
        v_mm, u_mm = (
            np.clip(at, -half, half) for at, half in zip((seen.v_mm, seen.u_mm), self.bixels.half_mm, strict=True)
        )
        depth_mm, field_mm = fan.depth_mm(seen.v_mm, seen.u_mm, seen.t_mm), fan.depth_mm(v_mm, u_mm, seen.t_mm)
        return np.stack([depth_mm, field_mm]).astype(np.float32)

    def matrices(self, chosen: np.ndarray) -> tuple[csr_matrix, csr_matrix]:
        """(n, beams * nodes) each: relative dose in chosen voxels, from the nodes of each of the two `blurs`.

        chosen: (n,) indices into `points_mm`.
        """
        points_mm, depths_mm = self.points_mm[chosen], self.depths_mm[..., chosen]
        views = [project(points_mm, gantry) for gantry in self.beams.gantry_deg]
        strengths = [self._strengths(depth, seen) for depth, seen in zip(depths_mm, views, strict=True)]
        narrow, wide = (
            interpolation_matrix(blur.nodes, views, [of_beam[component] for of_beam in strengths])
            for component, blur in enumerate(self.blurs)
        )
        return narrow, wide

    def _strengths(self, depths_mm: np.ndarray, seen: Projection) -> tuple[np.ndarray, np.ndarray]:
        """What penumbra and scatter bring per unit of fluence: depth dose and inverse square."""
        depth_mm, field_mm = depths_mm
        narrow = self.pencil.depth_dose(depth_mm) * (1 - self.pencil.scattered_share(depth_mm))
        wide = self.pencil.depth_dose(field_mm) * self.pencil.scattered_share(field_mm)
        return narrow * seen.magnification**2, wide * seen.magnification**2

    def dose(self, fluence: np.ndarray) -> np.ndarray:
        """Relative dose (Z, Y, X) of a fluence (beams, rows, columns), 0 outside the body; beams are added in turn."""
        maps = [blur.forward(fluence) for blur in self.blurs]
        total = np.zeros(len(self.points_mm))
        for beam, gantry in enumerate(self.beams.gantry_deg):
            seen = project(self.points_mm, gantry)
            for blur, nodes, strength in zip(
                self.blurs, maps, self._strengths(self.depths_mm[beam], seen), strict=True
            ):
                indices = np.stack(blur.nodes.at(seen))
                total += strength * map_coordinates(nodes[beam], indices, order=1, mode="grid-constant", cval=0.0)
        volume = np.zeros(self.patient.body.shape)
        volume[self.patient.body] = total
        return volume


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Apply `work` to every item, two at a time; results come in order, and do not depend on who was first.

    NumPy and SciPy let go of the interpreter while they calculate, so threads share the work.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(work, items))
