"""Where a beam sees a point: divergent projection onto the plane of the isocentre, and depth in the patient.

Points are (z, y, x) in mm relative to the isocentre. A beam's own axes are v (along +z), u (lateral, right-handed
with the gantry's rotation) and t (along the beam, 0 at the isocentre, growing away from the source).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from .interface import SAD_MM


@dataclass(frozen=True)
class Projection:
    """Points as one beam sees them: v, u in mm in the isocentre's plane, t in mm, and SAD / (SAD + t)."""

    v_mm: np.ndarray
    u_mm: np.ndarray
    t_mm: np.ndarray
    magnification: np.ndarray


def project(points_mm: np.ndarray, gantry_deg: float) -> Projection:
    """Project points (N, 3) along the rays of one beam."""
    sine, cosine = _turn(gantry_deg)
    z, y, x = points_mm.T
    t = cosine * y - sine * x
    magnification = SAD_MM / (SAD_MM + t)
    return Projection(z * magnification, (cosine * x + sine * y) * magnification, t, magnification)


def _turn(gantry_deg: float) -> tuple[float, float]:
    """Sine and cosine, exact at multiples of 90 degrees."""
    quarter, rest = divmod(gantry_deg % 360.0, 90.0)
    s, c = float(np.sin(np.deg2rad(rest))), float(np.cos(np.deg2rad(rest)))
    return [(s, c), (c, -s), (-s, -c), (-c, s)][int(quarter)]


@dataclass(frozen=True)
class Fan:
    """Water-equivalent path from the source along the divergent rays of one beam.

    path_mm: (V, U, T), at multiples of `step_mm` from `first_mm` on along v, u and t.
    """

    path_mm: np.ndarray
    first_mm: tuple[float, ...]
    step_mm: float

    def depth_mm(self, v_mm: np.ndarray, u_mm: np.ndarray, t_mm: np.ndarray) -> np.ndarray:
        """Radiological depth (N,) of points; those beyond the fan get the value of its nearest ray."""
        at = [(values - first) / self.step_mm for values, first in zip((v_mm, u_mm, t_mm), self.first_mm, strict=True)]
        return map_coordinates(self.path_mm, np.stack(at), order=1, mode="nearest")


def trace(
    density: np.ndarray,
    spacing_mm: Sequence[float],
    isocentre_mm: Sequence[float],
    seen: Projection,
    gantry_deg: float,
    step_mm: float,
) -> Fan:
    """Trace rays that cover the projected points, from where the beam enters anything dense.

    Parameters
    ----------
    density: (Z, Y, X) relative electron density, 0 outside the body.
    step_mm: distance of neighbouring rays in the isocentre's plane, and of samples on a ray.
    """
    entrance = project(_corners_mm(density, spacing_mm, isocentre_mm), gantry_deg).t_mm.min()
    axes = [_axis(values, step_mm) for values in (seen.v_mm, seen.u_mm, np.append(seen.t_mm, entrance))]
    v, u, t = np.meshgrid(*axes, indexing="ij", sparse=True)
    sine, cosine = _turn(gantry_deg)
    spread = (SAD_MM + t) / SAD_MM
    coordinates = (v * spread, cosine * t + sine * u * spread, -sine * t + cosine * u * spread)
    shape = tuple(len(axis) for axis in axes)
    voxels = np.stack(
        [np.broadcast_to((c + i) / s, shape) for c, i, s in zip(coordinates, isocentre_mm, spacing_mm, strict=True)]
    )
    sampled = map_coordinates(density, voxels, order=1, mode="constant", cval=0.0)
    path = (np.cumsum(sampled, axis=2) - sampled / 2) * step_mm * np.sqrt(1 + (u**2 + v**2) / SAD_MM**2)
    return Fan(path, tuple(float(axis[0]) for axis in axes), step_mm)


def _corners_mm(density: np.ndarray, spacing_mm: Sequence[float], isocentre_mm: Sequence[float]) -> np.ndarray:
    """(8, 3): corners of the box around everything dense, one voxel beyond it, relative to the isocentre."""
    ends = []
    for axis, (spacing, centre) in enumerate(zip(spacing_mm, isocentre_mm, strict=True)):
        hit = np.flatnonzero(density.any(axis=tuple(a for a in range(3) if a != axis)))
        first, last = (hit[0], hit[-1]) if hit.size else (0, 0)
        ends.append(spacing * np.array([first - 1, last + 1]) - centre)
    return np.stack([edge.ravel() for edge in np.meshgrid(*ends, indexing="ij")], axis=1)


def _axis(values: np.ndarray, step_mm: float) -> np.ndarray:
    """Multiples of the step that enclose all values."""
    return step_mm * np.arange(np.floor(values.min() / step_mm), np.ceil(values.max() / step_mm) + 1)
