"""One spatial registration object: its frames of reference, and the matrix of each (DICOM PS3.3 C.20.2, C.20.3)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset

from nnunet_doselo.common.errors import DoseloError

from ..files.objects import optional, read_dataset, required
from .registration_matrix import matrix_of

DEFORMABLE = "DeformableRegistrationSequence"
AGREEMENT_MM = 0.5
"""Two matrices are one if they differ by less, over a head's size."""
HEAD_MM = 100.0
DICOM_ROOT = "1.2.840.10008."


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
        if any(distance_mm(matrices[0], other) > AGREEMENT_MM for other in matrices[1:]):
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
    patients = {frame: found for frame, found in items.items() if frame != str(None) and not _is_atlas(frame)}
    return Registration(path, patients, made, deformable)


def _is_atlas(frame: str) -> bool:
    """Well-known frames of reference (PS3.6 A-2), atlases and devices: no way from one image to another."""
    return frame.startswith(DICOM_ROOT)


def distance_mm(one: np.ndarray, other: np.ndarray) -> float:
    """How far the images of a point near the origin can lie apart."""
    corners = np.array(np.meshgrid(*[(-HEAD_MM, HEAD_MM)] * 3)).reshape(3, -1)
    difference = (one - other) @ np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.linalg.norm(difference[:3], axis=0).max())
