"""The contours of one region of interest, read from its item of the ROIContourSequence (DICOM PS3.3 C.8.8.6)."""

from collections import Counter
from pathlib import Path

import numpy as np
from pydicom import Dataset

from nnunet_doselo.common.errors import DoseloError

from ..files.objects import integer, numbers, optional, required

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
NOT_CLOSED = ("POINT", "OPEN_PLANAR", "OPEN_NONPLANAR")
LEAST_POINTS = 3
FARTHEST_POINT_MM = 1e5
"""Coordinates beyond 100 m are damage, not a patient."""


def read_contours(item: Dataset, file: Path) -> tuple[list[np.ndarray], list[str]]:
    """Closed contours, (N, 3) mm each, and notes on what was skipped.

    Points and open contours, closed ones of fewer than three points, and copies of a CLOSED_PLANAR one (which even-odd
    would cancel out) are skipped.

    Raises
    ------
    DoseloError: a tag is missing or damaged, or a coordinate is no finite number; names the contour's number.
    """
    contours: dict[object, np.ndarray] = {}
    skipped: Counter[str] = Counter()
    for number, contour in enumerate(optional(item, "ContourSequence", file, ()), start=1):
        try:
            kind, points = _read_contour(contour, file)
        except DoseloError as error:
            raise DoseloError(f"{error} (contour number {number})") from None
        key = (points.shape, points.tobytes()) if kind == "CLOSED_PLANAR" else number
        if kind not in CLOSED:
            skipped[f"of type {kind}" if kind in NOT_CLOSED else "of unknown type"] += 1
        elif len(points) < LEAST_POINTS:
            skipped["of fewer than 3 points"] += 1
        elif key in contours:
            skipped["stored twice"] += 1
        else:
            contours[key] = points
    return list(contours.values()), [f"contours skipped: {count} {why}" for why, count in skipped.items()]


def _read_contour(contour: Dataset, file: Path) -> tuple[str, np.ndarray]:
    kind = str(required(contour, "ContourGeometricType", file))
    values = numbers(contour, "ContourData", file)
    if len(values) % 3:
        raise DoseloError(
            f"{file}: the tag ContourData must hold x, y and z of every point, found {len(values)} numbers"
        )
    points = values.reshape(-1, 3)
    if np.abs(points).max() > FARTHEST_POINT_MM:
        raise DoseloError(f"{file}: the tag ContourData must hold mm, found a point more than 100 m away")
    _require_count(contour, len(points), file)
    return kind, points


def _require_count(contour: Dataset, points: int, file: Path) -> None:
    """A wrong number means that points got lost."""
    if "NumberOfContourPoints" not in contour:
        return
    said = integer(contour, "NumberOfContourPoints", file)
    if said != points:
        raise DoseloError(f"{file}: NumberOfContourPoints says {said}, but ContourData holds {points}; export it again")
