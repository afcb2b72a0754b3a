"""One spatial registration object: its frames of reference, and the matrix of each (DICOM PS3.3 C.20.2, C.20.3).

What a matrix must be stands in C.20.2.1.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset

from nnunet_doselo.common.errors import DoseloError

from ..files.objects import WELL_KNOWN_ROOT, numbers, optional, read_dataset, required

ORTHOGONAL_TO = 1e-3
"""Directions written with four digits pass; over a head that is 0.1 mm."""
PLAUSIBLE_STRETCH = (0.8, 1.25)
"""One patient in two scanners; beyond lies another unit or an atlas."""
DEFORMABLE = "DeformableRegistrationSequence"
AGREEMENT_MM = 0.5
"""Two matrices are one if they differ by less, over a head's size."""
HEAD_MM = 100.0


def matrix_of(item: Dataset, path: Path) -> np.ndarray:
    """(4, 4): takes points (x, y, z, 1) of the item's frame to the registered one, mm.

    Of several matrices the first is applied first: their product is M_n ... M_2 M_1 (equation C.20.2-2).

    Raises
    ------
    DoseloError: a matrix is missing, or is not what its type promises.
    """
    registration, *more = required(item, "MatrixRegistrationSequence", path)
    if more:
        raise DoseloError(f"{path}: MatrixRegistrationSequence must hold one item, found {1 + len(more)}")
    product = np.eye(4)
    for step in required(registration, "MatrixSequence", path):
        product = _checked(step, path) @ product
    return product


def _checked(step: Dataset, path: Path) -> np.ndarray:
    kind = required(step, "FrameOfReferenceTransformationMatrixType", path)
    matrix = numbers(step, "FrameOfReferenceTransformationMatrix", path, 16).reshape(4, 4)
    fault = _fault(matrix, str(kind))
    if fault:
        raise DoseloError(f"{path}: the matrix of a spatial registration {fault}; export it again or leave it out")
    return matrix


def _fault(matrix: np.ndarray, kind: str) -> str | None:
    """What is wrong with a (4, 4) matrix of that type, in words."""
    linear = matrix[:3, :3]
    if not np.allclose(matrix[3], (0, 0, 0, 1), rtol=0, atol=1e-6):
        return "must end in the row 0, 0, 0, 1"
    stretch = np.linalg.svd(linear, compute_uv=False)
    low, high = PLAUSIBLE_STRETCH
    if stretch.min() < low or stretch.max() > high:
        return f"must keep lengths to {low:g} to {high:g} times, found {stretch.min():.3g} to {stretch.max():.3g} times"
    if np.linalg.det(linear) < 0:
        return "must not mirror, found a negative determinant"
    return _fault_of_type(linear, kind)


def _fault_of_type(linear: np.ndarray, kind: str) -> str | None:
    """RIGID: rows orthogonal and of length 1. RIGID_SCALE: a diagonal matrix times that (PS3.17 P). AFFINE: any."""
    products = linear @ linear.T
    crosswise = np.abs(products - np.diag(np.diag(products))).max()
    if kind not in ("RIGID", "RIGID_SCALE", "AFFINE"):
        return "must be of type RIGID, RIGID_SCALE or AFFINE, found another"
    if kind != "AFFINE" and crosswise > ORTHOGONAL_TO:
        return f"of type {kind} must have orthogonal rows, found a product of {crosswise:.2g}"
    if kind == "RIGID" and np.abs(np.diag(products) - 1).max() > ORTHOGONAL_TO:
        return f"of type RIGID must have rows of length 1, found {np.sqrt(np.diag(products)).round(4).tolist()}"
    return None


@dataclass(frozen=True)
class Registration:
    """One object: the items by frame of reference. `made`: date and time of its content, never shown."""

    path: Path
    items: dict[str, list[Dataset]]
    made: str
    deformable: bool

    def matrix(self, frame: str) -> np.ndarray:
        """(4, 4), from `frame` to the common one.

        Raises
        ------
        DoseloError: deformable; a matrix is missing or wrong; the frame has two matrices that differ.
        """
        if self.deformable:
            raise DoseloError(
                f"{self.path}: is a deformable registration, and only rigid and affine ones can be applied; export a "
                "rigid one, or leave this file out to have the images registered"
            )
        matrices = [matrix_of(item, self.path) for item in self.items[frame]] or [np.eye(4)]
        if any(largest_shift_mm(matrices[0], other) > AGREEMENT_MM for other in matrices[1:]):
            raise DoseloError(
                f"{self.path}: must hold one matrix for each frame of reference, found different ones for the same; "
                "it registers single images, which is not supported: leave it out to have the images registered"
            )
        return matrices[0]


def read_registration(path: Path) -> Registration:
    """Raises DoseloError if the file is damaged or no registration object."""
    dataset = read_dataset(path)
    made = "".join(str(optional(dataset, keyword, path, "")) for keyword in ("ContentDate", "ContentTime"))
    deformable = DEFORMABLE in dataset
    items: dict[str, list[Dataset]] = {}
    for item in required(dataset, DEFORMABLE if deformable else "RegistrationSequence", path):
        frame = optional(item, "SourceFrameOfReferenceUID" if deformable else "FrameOfReferenceUID", path)
        items.setdefault(str(frame), []).append(item)
    # the object's own frame is the common one; as a rule it has an item too
    items.setdefault(str(optional(dataset, "FrameOfReferenceUID", path)), [])
    patients = {frame: of_frame for frame, of_frame in items.items() if frame != str(None) and not _is_atlas(frame)}
    return Registration(path, patients, made, deformable)


def _is_atlas(frame: str) -> bool:
    """Well-known frames of reference (PS3.6 A-2), atlases and devices: no way from one image to another."""
    return frame.startswith(WELL_KNOWN_ROOT)


def largest_shift_mm(matrix: np.ndarray, other: np.ndarray) -> float:
    """How far apart two matrices (4, 4) can put a point of a head around the origin, in mm; 0 if they are equal."""
    corners = np.array(np.meshgrid(*[(-HEAD_MM, HEAD_MM)] * 3)).reshape(3, -1)
    difference = (matrix - other) @ np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.linalg.norm(difference[:3], axis=0).max())
