"""How one patient's head differs from the template: size, shape, tilt, and where a voxel lies in MNI space."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from .random_fields import smooth_field

Axes = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Patient coordinates of a grid's voxels along z, y and x: mm, to superior, posterior and left (LPS)."""

LPS_TO_MNI = np.diag([-1.0, -1.0, 1.0])
MEAN_SIZE = 0.93
"""The template, 1.9 l inside its closed surface, is larger than the mean of adults, about 1.5 l."""
HEAD_TILT_DEG = 6.0
TWIST_KNOT_MM, TWIST_MM = 40.0, 2.2
VENTRICLES_MNI = (0.0, -12.0, 14.0)
VENTRICLES_REACH_MM = 26.0


@dataclass(frozen=True)
class Pose:
    """A draw of size and position.

    matrix: (3, 3), patient x, y, z (LPS, mm) to MNI x, y, z (mm), before the small displacements.
    shift_mm: MNI coordinates (x, y, z) of the patient's origin.
    swelling: how much larger the ventricles are than the template's, relative to their size.
    displacement_seed: seeds the smooth displacements.
    """

    matrix: np.ndarray
    shift_mm: np.ndarray
    swelling: float
    displacement_seed: int

    @classmethod
    def draw(cls, rng: Generator) -> "Pose":
        """Sizes vary by about 4 % as a whole and 2 % an axis, tilts by 6 degrees about each axis."""
        size = np.clip(rng.normal(MEAN_SIZE, 0.035), 0.86, 1.02) * np.clip(rng.normal(1, 0.02, 3), 0.95, 1.05)
        shear = np.eye(3) + np.triu(rng.normal(0, 0.015, (3, 3)), 1)
        turn = _rotation(np.radians(np.clip(rng.normal(0, HEAD_TILT_DEG, 3), -15, 15)))
        matrix = LPS_TO_MNI @ np.linalg.inv(turn @ shear @ np.diag(size))
        return cls(matrix, rng.normal(0, 3, 3), float(rng.uniform(-0.05, 0.3)), int(rng.integers(2**31)))

    def mni(self, axes: Axes) -> np.ndarray:
        """MNI coordinates x, y, z of every voxel, float32 (3, Z, Y, X)."""
        z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
        rng = np.random.default_rng(self.displacement_seed)
        points = [
            row[0] * x + row[1] * y + row[2] * z + shift + TWIST_MM * smooth_field(rng, axes, TWIST_KNOT_MM)
            for row, shift in zip(self.matrix, self.shift_mm, strict=True)
        ]
        return self._swollen(np.stack(points).astype(np.float32))

    def _swollen(self, points: np.ndarray) -> np.ndarray:
        """Enlarge what lies around the ventricles: there, neighbours in the patient are closer in the template."""
        centre = np.array(VENTRICLES_MNI, np.float32)[:, None, None, None]
        from_centre = points - centre
        nearness = np.exp(-(from_centre**2).sum(axis=0) / (2 * VENTRICLES_REACH_MM**2))
        return centre + from_centre * (1 - self.swelling * nearness)


def _rotation(angles: np.ndarray) -> np.ndarray:
    """Turns about x, then y, then z, in radians."""
    turned = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (a for a in range(3) if a != axis)
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        turned = turn @ turned
    return turned
