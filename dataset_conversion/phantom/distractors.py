"""Findings that look like tumour and are not: what makes networks draw false positives far from the target.

Each imitates the tumour in some of the sequences only; a reader who looks at all four can tell them apart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from .anatomy import PhantomAnatomy
from .random_fields import smooth_field
from .shapes import coverage

CLEARANCE_MM = 15.0
"""At least so much lies between a distractor's surface and the target."""
SURFACE_KNOT_MM = 8.0
UNEVEN_SURFACE = 0.18


@dataclass(frozen=True)
class Kind:
    """core, wall: tissues; no wall if None. radius_mm: range. number: range, drawn for each patient.

    place: "white" (deep white matter), "surface" (below the skull) or "brain" (anywhere in it).
    """

    core: str
    wall: str | None
    place: str
    radius_mm: tuple[float, float]
    number: tuple[int, int]


DISTRACTORS = {
    "white-matter lesion": Kind("gliosis", None, "white", (2.5, 5.0), (1, 6)),
    "cyst": Kind("csf", None, "surface", (7.0, 13.0), (0, 1)),
    "blood product": Kind("blood", None, "brain", (4.0, 8.0), (0, 2)),
    "meningioma": Kind("meningioma", None, "surface", (5.0, 11.0), (0, 1)),
    "ring without oedema": Kind("cavity", "tumour", "brain", (5.0, 9.0), (0, 1)),
}
WALL_MM = 2.5


@dataclass(frozen=True)
class Distractor:
    """What was painted where: centre (x, y, z) in the patient (LPS, mm), mean radius."""

    kind: str
    centre_mm: tuple[float, float, float]
    radius_mm: float


def paint_distractors(anatomy: PhantomAnatomy, gtv: np.ndarray, rng: Generator) -> tuple[list[Distractor], np.ndarray]:
    """Draw distractors and paint them; returns them, and where they are, boolean (Z, Y, X), outside the target.

    gtv: boolean (Z, Y, X); where it is empty there is room everywhere.
    A distractor for which the target leaves no room is left out. Every patient has at least one white-matter lesion.
    """
    from_gtv = ndimage.distance_transform_edt(~gtv) * anatomy.spacing_mm
    uneven = 1 + UNEVEN_SURFACE * smooth_field(rng, anatomy.axes, SURFACE_KNOT_MM)
    painted, where = [], np.zeros(gtv.shape, bool)
    for name, kind in DISTRACTORS.items():
        for _ in range(int(rng.integers(kind.number[0], kind.number[1] + 1))):
            radius_mm = float(rng.uniform(*kind.radius_mm))
            room = _places(anatomy, kind.place) & (from_gtv > CLEARANCE_MM + 1.5 * radius_mm) & ~where
            lottery = rng.random()
            if not room.any():
                continue
            candidates = np.flatnonzero(room)
            centre = np.unravel_index(candidates[int(lottery * candidates.size)], room.shape)
            z, y, x = (float(axis[index]) for axis, index in zip(anatomy.axes, centre, strict=True))
            distance = _distance(anatomy, (z, y, x)) - radius_mm * uneven
            where |= _paint(anatomy, kind, distance)
            painted.append(Distractor(name, (x, y, z), round(radius_mm, 2)))
    return painted, where & ~gtv


def _places(anatomy: PhantomAnatomy, place: str) -> np.ndarray:
    if place == "white":
        return anatomy.cerebrum & (anatomy.white > 0.7)
    if place == "surface":
        return (np.abs(anatomy.outside_mm) < anatomy.spacing_mm) & (anatomy.points[2] > -30)
    return anatomy.brain & (anatomy.outside_mm < -6)


def _distance(anatomy: PhantomAnatomy, centre_mm: tuple[float, float, float]) -> np.ndarray:
    z, y, x = np.meshgrid(*anatomy.axes, indexing="ij", sparse=True)
    return np.sqrt((z - centre_mm[0]) ** 2 + (y - centre_mm[1]) ** 2 + (x - centre_mm[2]) ** 2)


def _paint(anatomy: PhantomAnatomy, kind: Kind, distance: np.ndarray) -> np.ndarray:
    """Paint one, inside the skull only; where it fills at least half a voxel comes back."""
    inside_skull = anatomy.outside_mm < 1
    whole = np.where(inside_skull, coverage(distance, anatomy.spacing_mm), 0)
    if kind.wall:
        anatomy.composition.paint(kind.wall, whole)
    core = np.where(inside_skull, coverage(distance + (WALL_MM if kind.wall else 0), anatomy.spacing_mm), 0)
    anatomy.composition.paint(kind.core, core)
    return whole >= 0.5
