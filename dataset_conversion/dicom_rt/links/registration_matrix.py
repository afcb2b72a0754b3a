"""The matrix of one item of a spatial registration object, and what it must be (DICOM PS3.3 C.20.2.1)."""

from pathlib import Path

import numpy as np
from pydicom import Dataset

from nnunet_doselo.common.errors import DoseloError

from ..files.objects import numbers, required

ORTHOGONAL_TO = 1e-3
"""Directions written with four digits pass; over a head that is 0.1 mm."""
PLAUSIBLE_STRETCH = (0.8, 1.25)
"""One patient in two scanners; beyond lies another unit or an atlas."""


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
