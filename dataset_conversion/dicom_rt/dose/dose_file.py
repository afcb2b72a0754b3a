"""One RTDOSE file: what it is a dose of, and its grid in Gy (DICOM PS3.3 C.8.8.3)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.images import as_image

from ..files.objects import integer, numbers, optional, read_dataset, required
from ..files.pixels import stored_values
from ..files.plane_geometry import ORTHONORMAL, Plane, out_of_step, read_plane


@dataclass(frozen=True)
class DoseHeader:
    """What a dose belongs to. The identifiers are DICOM's: they are compared, and never printed or written.

    parts: of a FRACTION or BEAM dose, the fraction groups or beams it holds, as far as the file says.
    """

    file: Path
    instance: str
    summation: str
    plan: str | None
    parts: frozenset[tuple[int, int | None]]


def read_dose_header(file: Path) -> DoseHeader:
    """Raises DoseloError if the file is no RTDOSE, or does not say what it is the sum of."""
    dataset = read_dataset(file)
    if optional(dataset, "Modality", file) != "RTDOSE":
        raise DoseloError(f"{file}: must be a RTDOSE object, and is not")
    plan = optional(dataset, "ReferencedRTPlanSequence", file, [Dataset()])[0]
    return DoseHeader(
        file,
        required(dataset, "SOPInstanceUID", file),
        required(dataset, "DoseSummationType", file),
        optional(plan, "ReferencedSOPInstanceUID", file),
        frozenset(_parts(plan, file)),
    )


def read_dose_image(file: Path) -> sitk.Image:
    """The dose in Gy, float32, in patient coordinates; frames in ascending order along the planes' normal.

    A dose of one plane has the thickness that SliceThickness says, or else that of its pixels' spacing.

    Raises
    ------
    DoseloError: the dose is not in Gy, an error estimate or negative, its scaling is not positive, its planes are
        uneven or do not fit the number of frames, or its pixels cannot be decoded.
    """
    dataset = read_dataset(file, pixels=True)
    _require_gy(dataset, file)
    plane = read_plane(dataset, file)
    dose_gy = _dose_gy(dataset, plane, file)
    offsets_mm = _offsets_mm(dataset, plane, len(dose_gy), file)
    if offsets_mm[-1] < offsets_mm[0]:
        offsets_mm, dose_gy = offsets_mm[::-1], dose_gy[::-1]
    step_mm = _step_mm(offsets_mm, dataset, plane, file)
    return as_image(dose_gy, plane.stacked(len(dose_gy), step_mm, offsets_mm[0]))


def _parts(plan: Dataset, file: Path) -> list[tuple[int, int | None]]:
    parts: list[tuple[int, int | None]] = []
    for group in optional(plan, "ReferencedFractionGroupSequence", file, []):
        number = integer(group, "ReferencedFractionGroupNumber", file)
        beams = optional(group, "ReferencedBeamSequence", file, [])
        parts += [(number, integer(beam, "ReferencedBeamNumber", file)) for beam in beams] or [(number, None)]
    return parts


def _require_gy(dataset: Dataset, file: Path) -> None:
    if required(dataset, "DoseUnits", file) != "GY":
        raise DoseloError(f"{file}: DoseUnits must be GY, this dose is relative; export it as absolute dose")
    if optional(dataset, "DoseType", file) == "ERROR":
        raise DoseloError(f"{file}: is an error estimate (DoseType ERROR), not a dose; choose another file")


def _dose_gy(dataset: Dataset, plane: Plane, file: Path) -> np.ndarray:
    """(Z, Y, X) float32."""
    scaling = float(numbers(dataset, "DoseGridScaling", file, 1)[0])
    if scaling <= 0:
        raise DoseloError(f"{file}: DoseGridScaling must be positive, found {scaling:g}; export the dose again")
    stored = stored_values(dataset, file)
    if stored.shape[-2:] != plane.shape:
        raise DoseloError(f"{file}: pixels must be (rows, columns) {plane.shape}, found {stored.shape[-2:]}")
    if stored.min() < 0:
        raise DoseloError(f"{file}: dose must not be negative, lowest value is {scaling * float(stored.min()):g} Gy")
    dose_gy = np.empty(stored.shape, np.float32)
    with np.errstate(over="ignore"):
        np.multiply(stored, scaling, out=dose_gy, casting="same_kind")
    if not np.isfinite(dose_gy).all():
        raise DoseloError(f"{file}: DoseGridScaling leads beyond the range of numbers; export the dose again")
    return dose_gy.reshape(-1, *plane.shape)


def _offsets_mm(dataset: Dataset, plane: Plane, frames: int, file: Path) -> np.ndarray:
    """(frames,) along the planes' normal, from ImagePositionPatient; ascending or descending.

    GridFrameOffsetVector holds these offsets (C.8.8.3.2 a), or patient z coordinates of axial planes (b).
    """
    if frames == 1:
        return np.zeros(1)
    vector_mm = numbers(dataset, "GridFrameOffsetVector", file, frames)
    if vector_mm[0] == 0:
        offsets_mm = vector_mm
    elif _is_axial(plane) and abs(vector_mm[0] - plane.origin_mm[2]) < ORTHONORMAL:
        offsets_mm = (vector_mm - vector_mm[0]) * plane.normal[2]
    else:
        raise DoseloError(
            f"{file}: GridFrameOffsetVector must begin with 0, or for axial planes with the z of ImagePositionPatient "
            f"({plane.origin_mm[2]:g}), found {vector_mm[0]:g}; export the dose again"
        )
    _require_even(offsets_mm, file)
    return offsets_mm


def _is_axial(plane: Plane) -> bool:
    return abs(plane.normal[2]) > 1 - ORTHONORMAL


def _require_even(offsets_mm: np.ndarray, file: Path) -> None:
    ascending = offsets_mm if offsets_mm[-1] > offsets_mm[0] else -offsets_mm
    if (np.diff(ascending) <= 0).any():
        raise DoseloError(f"{file}: GridFrameOffsetVector must rise, or fall, from frame to frame; export it again")
    if (index := out_of_step(ascending)) is not None:
        raise DoseloError(
            f"{file}: dose planes must be evenly spaced, frame {index + 1} is "
            f"{ascending[index] - ascending[index - 1]:g} mm from the one before, the median is "
            f"{np.median(np.diff(ascending)):g} mm; calculate the dose on an even grid"
        )


def _step_mm(offsets_mm: np.ndarray, dataset: Dataset, plane: Plane, file: Path) -> float:
    if len(offsets_mm) > 1:
        return float((offsets_mm[-1] - offsets_mm[0]) / (len(offsets_mm) - 1))
    has_thickness = optional(dataset, "SliceThickness", file) is not None
    thickness_mm = float(numbers(dataset, "SliceThickness", file, 1)[0]) if has_thickness else 0.0
    return thickness_mm if thickness_mm > 0 else max(plane.spacing_mm)
