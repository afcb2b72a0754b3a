"""Where the pixels of one image plane lie in the patient (DICOM PS3.3 C.7.6.2.1.1), and whether planes make a stack.

Positions are patient coordinates (x, y, z) in mm: x to the left, y to the back, z to the head.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import Grid

from .objects import integer, numbers

ORTHONORMAL = 1e-3
"""By how much length and angle of the direction cosines may be rounded."""
UNEVEN_STEP = 0.05
"""How far a plane may lie from its place in an even stack, as a share of the spacing..."""
ROUNDING_MM = 0.1
"""...or as a length, if that is more: some scanners write positions with one decimal."""


@dataclass(frozen=True)
class Plane:
    """One image plane.

    origin_mm: (3,), centre of the first pixel.
    matrix: (3, 3); its columns are the unit vectors along which columns, rows and planes count up, as in a SimpleITK
        direction. The third is the cross product of the others.
    spacing_mm: (y, x).
    shape: (rows, columns).
    """

    origin_mm: np.ndarray
    matrix: np.ndarray
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]

    @property
    def normal(self) -> np.ndarray:
        """(3,), a unit vector."""
        return self.matrix[:, 2]

    def stacked(self, planes: int, step_mm: float, first_mm: float = 0.0) -> Grid:
        """The grid of so many planes like this one, the first of them `first_mm` from here along the normal."""
        rows, columns = self.shape
        return Grid(
            (columns, rows, planes),
            (self.spacing_mm[1], self.spacing_mm[0], step_mm),
            tuple((self.origin_mm + first_mm * self.normal).tolist()),
            tuple(self.matrix.ravel().tolist()),
        )


def read_plane(dataset: Dataset, path: Path) -> Plane:
    """The plane of an image, or the first one of a dose.

    Raises
    ------
    DoseloError: a tag is missing or no number, the directions are not perpendicular unit vectors, or a spacing is not
        positive.
    """
    y_mm, x_mm = numbers(dataset, "PixelSpacing", path, 2)
    if min(y_mm, x_mm) <= 0:
        raise DoseloError(f"{path}: PixelSpacing must be positive, found {y_mm:g} and {x_mm:g} mm")
    return Plane(
        numbers(dataset, "ImagePositionPatient", path, 3),
        _matrix(numbers(dataset, "ImageOrientationPatient", path, 6), path),
        (float(y_mm), float(x_mm)),
        (integer(dataset, "Rows", path, at_least=1), integer(dataset, "Columns", path, at_least=1)),
    )


def _matrix(orientation: np.ndarray, path: Path) -> np.ndarray:
    """Rounded cosines are made orthonormal, which NIfTI files need: the row stays, the column is turned to fit."""
    row, column = orientation.reshape(2, 3)
    off = max(abs(np.linalg.norm(row) - 1), abs(np.linalg.norm(column) - 1), abs(row @ column))
    if off > ORTHONORMAL:
        raise DoseloError(
            f"{path}: ImageOrientationPatient must hold two perpendicular unit vectors, off by {off:.3g}; "
            "export the image again"
        )
    row = row / np.linalg.norm(row)
    normal = np.cross(row, column)
    normal /= np.linalg.norm(normal)
    return np.stack([row, np.cross(normal, row), normal], axis=1)


def out_of_step(positions_mm: np.ndarray) -> int | None:
    """None if the planes make an even stack, else the index of the one whose step is the most unusual.

    positions_mm: (N,) along the normal, ascending, N >= 2.
    """
    even = np.linspace(positions_mm[0], positions_mm[-1], len(positions_mm))
    if np.abs(positions_mm - even).max() <= max(ROUNDING_MM, UNEVEN_STEP * (even[1] - even[0])):
        return None
    steps_mm = np.diff(positions_mm)
    return int(np.argmax(np.abs(steps_mm - np.median(steps_mm)))) + 1
