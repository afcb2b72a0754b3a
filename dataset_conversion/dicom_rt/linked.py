"""Spatial registration objects: the transform between two frames of reference (DICOM PS3.3 C.20.2).

An object registers each of its frames into one common, registered frame: a point p of frame F lies at M_F p there.
So moving goes to fixed by M_fixed^-1 M_moving, whichever of the two matrices is the identity.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset

from nnunet_doselo.errors import DoseloError

from .objects import optional, read_dataset, required
from .registration_matrix import matrix_of

DEFORMABLE = "DeformableRegistrationSequence"
AGREEMENT_MM = 0.5
"""Two registrations of the same frames are one if they differ by less, over a head's size."""
HEAD_MM = 100.0
DICOM_ROOT = "1.2.840.10008."


@dataclass(frozen=True)
class Link:
    """transform: maps points (x, y, z) of the fixed frame to the moving one, in mm.

    files: the registration objects it is made of, one, or more if frames in between are needed.
    notes: what was chosen where objects disagree; names files, nothing else of them.
    """

    transform: sitk.Transform
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Registration:
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
        if any(_distance_mm(matrices[0], other) > AGREEMENT_MM for other in matrices[1:]):
            raise DoseloError(
                f"{self.path}: must hold one matrix for each frame of reference, found different ones for the same; "
                "it registers single images, which is not supported: leave it out to have the images registered"
            )
        return matrices[0]


@dataclass(frozen=True)
class _Step:
    registration: _Registration
    start: str
    end: str

    @property
    def matrix(self) -> np.ndarray:
        return np.linalg.inv(self.registration.matrix(self.end)) @ self.registration.matrix(self.start)


@dataclass(frozen=True)
class _Chain:
    steps: tuple[_Step, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(step.registration.path for step in self.steps)

    @property
    def made(self) -> str:
        """A chain is as old as its oldest object."""
        return min(step.registration.made for step in self.steps)

    @property
    def matrix(self) -> np.ndarray:
        """(4, 4), from the first step's start to the last one's end."""
        product = np.eye(4)
        for step in self.steps:
            product = step.matrix @ product
        return product


def registration_between(files: Sequence[Path], moving_frame: str, fixed_frame: str) -> sitk.Transform | None:
    """The transform of `link_between` alone."""
    link = link_between(files, moving_frame, fixed_frame)
    return link.transform if link else None


def link_between(files: Sequence[Path], moving_frame: str, fixed_frame: str) -> Link | None:
    """How registration objects map the fixed frame of reference to the moving one.

    Chains through other frames are followed where no object names both; the shortest are taken. Of several that
    disagree the newest is taken, and a note says so. None if the frames are the same, or nothing links them.

    Parameters
    ----------
    files: registration objects, rigid or deformable, also of other frames.
    moving_frame, fixed_frame: FrameOfReferenceUID.

    Raises
    ------
    DoseloError: a file is no registration object or damaged; what links the frames is deformable, holds matrices
    that cannot be applied, or disagrees and does not say which is the newest.
    """
    if moving_frame == fixed_frame:
        return None
    registrations = [_read(path) for path in files]
    rigid = [registration for registration in registrations if not registration.deformable]
    chains = _chains(rigid, moving_frame, fixed_frame) or _chains(registrations, moving_frame, fixed_frame)
    return _link(chains) if chains else None


def _read(path: Path) -> _Registration:
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
    return _Registration(path, patients, made, deformable)


def _is_atlas(frame: str) -> bool:
    """Well-known frames of reference (PS3.6 A-2), atlases and devices: no way from one image to another."""
    return frame.startswith(DICOM_ROOT)


def _chains(registrations: Sequence[_Registration], start: str, goal: str) -> list[_Chain]:
    """All chains of the fewest objects; empty if there is none."""
    seen, ends = {start}, [(_Chain(()), start)]
    while ends:
        ends = [
            (_Chain((*chain.steps, step)), step.end)
            for chain, frame in ends
            for step in _steps_from(frame, registrations, seen)
        ]
        found = [chain for chain, frame in ends if frame == goal]
        if found:
            return found
        seen |= {frame for _, frame in ends}
    return []


def _steps_from(frame: str, registrations: Sequence[_Registration], seen: set[str]) -> Iterator[_Step]:
    for registration in registrations:
        if frame in registration.items:
            yield from (_Step(registration, frame, other) for other in registration.items if other not in seen)


def _link(chains: Sequence[_Chain]) -> Link:
    chosen = max(chains, key=lambda chain: chain.made)
    matrices = [chain.matrix for chain in chains]
    apart_mm = max((_distance_mm(a, b) for a, b in combinations(matrices, 2)), default=0.0)
    notes: tuple[str, ...] = ()
    if apart_mm > AGREEMENT_MM:
        _require_a_newest(chains, chosen, apart_mm)
        notes = (
            f"{len(chains)} spatial registrations disagree by up to {apart_mm:.1f} mm: the newest is taken, "
            f"{_names(chosen)}",
        )
    return Link(_transform(np.linalg.inv(chosen.matrix)), chosen.files, notes)


def _require_a_newest(chains: Sequence[_Chain], chosen: _Chain, apart_mm: float) -> None:
    as_new = [chain for chain in chains if chain.made == chosen.made]
    if len(as_new) > 1:
        raise DoseloError(
            f"{' and '.join(_names(chain) for chain in as_new)}: spatial registrations of the same frames of "
            f"reference must agree, these differ by {apart_mm:.1f} mm and none is the newest; remove those not meant"
        )


def _names(chain: _Chain) -> str:
    return ", ".join(str(path) for path in chain.files)


def _distance_mm(one: np.ndarray, other: np.ndarray) -> float:
    """How far the images of a point near the origin can lie apart."""
    corners = np.array(np.meshgrid(*[(-HEAD_MM, HEAD_MM)] * 3)).reshape(3, -1)
    difference = (one - other) @ np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.linalg.norm(difference[:3], axis=0).max())


def _transform(matrix: np.ndarray) -> sitk.Transform:
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform
