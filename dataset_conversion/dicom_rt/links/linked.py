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

from nnunet_doselo.common.errors import DoseloError

from .registration_object import AGREEMENT_MM, Registration, largest_shift_mm, read_registration


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
class _Step:
    registration: Registration
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
    registrations = [read_registration(path) for path in files]
    rigid = [registration for registration in registrations if not registration.deformable]
    chains = _chains(rigid, moving_frame, fixed_frame) or _chains(registrations, moving_frame, fixed_frame)
    return _link(chains) if chains else None


def _chains(registrations: Sequence[Registration], start: str, goal: str) -> list[_Chain]:
    """All chains of the fewest objects; empty if there is none."""
    seen, ends = {start}, [(_Chain(()), start)]
    while ends:
        ends = [
            (_Chain((*chain.steps, step)), step.end)
            for chain, frame in ends
            for step in _steps_from(frame, registrations, seen)
        ]
        complete = [chain for chain, frame in ends if frame == goal]
        if complete:
            return complete
        seen |= {frame for _, frame in ends}
    return []


def _steps_from(frame: str, registrations: Sequence[Registration], seen: set[str]) -> Iterator[_Step]:
    for registration in registrations:
        if frame in registration.items:
            yield from (_Step(registration, frame, other) for other in registration.items if other not in seen)


def _link(chains: Sequence[_Chain]) -> Link:
    chosen = max(chains, key=lambda chain: chain.made)
    matrices = [chain.matrix for chain in chains]
    apart_mm = max((largest_shift_mm(a, b) for a, b in combinations(matrices, 2)), default=0.0)
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


def _transform(matrix: np.ndarray) -> sitk.Transform:
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform
