"""The head: its outline, skull, face and neck around the template's brain, and what lies inside the skull.

Places are MNI coordinates (x right, y anterior, z superior, mm) of a head that fits the template; they follow the
template's surface and the usual proportions of a skull. What exists on both sides is given for x > 0 and mirrored.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from .shapes import coverage, ellipsoid, intersection, smooth_union, tube, union
from .template import Template
from .tissues import Composition

DURA_MM = 1.8
"""Thickness of CSF and dura between the brain's closed surface and the skull."""
SKULL_BASE_MM = 5.0
TABLE_MM = 2.0
"""Thickness of the compact layers that enclose the skull's marrow."""
SKIN_MM = 1.5
BONE_BELOW_SKIN_MM = 4.0
BLEND_MM = 14.0
SPINAL_CANAL = [(0, -46, -70), (0, -43, -95), (0, -43, -190)]
CANAL_MM = 9.0
VERTEBRAL_BODIES = [(0, -24, -78), (0, -22, -190)]
CORD_MM = 5.5


@dataclass(frozen=True)
class Build:
    """What makes heads differ beside size and shape: thicknesses, and deviations from the mean, in mm."""

    skull_mm: float
    scalp_mm: float
    fat_mm: float
    face_mm: float
    nose_mm: float
    neck_mm: float
    sinus_scale: float

    @classmethod
    def draw(cls, rng: Generator) -> "Build":
        """Uniform over what is usual in adults."""
        low = (5.5, 4.5, 2.0, -4.0, -5.0, -6.0, 0.75)
        high = (8.5, 7.5, 5.0, 4.0, 4.0, 8.0, 1.15)
        return cls(*rng.uniform(low, high).tolist())


def mirrored(points: np.ndarray) -> np.ndarray:
    """Points (3, Z, Y, X) with x made positive: a body at x > 0 becomes a pair."""
    return np.concatenate([np.abs(points[:1]), points[1:]])


def skin_distance(points: np.ndarray, outside_mm: np.ndarray, build: Build) -> np.ndarray:
    """Signed distance from the skin, mm (Z, Y, X), negative inside.

    points: MNI coordinates (3, Z, Y, X). outside_mm: (Z, Y, X), distance from the brain's closed surface.
    """
    head = outside_mm - DURA_MM - build.skull_mm - build.scalp_mm
    parts = [
        ellipsoid(points, (0, 22, -40), (68 + build.face_mm, 60, 46)),
        ellipsoid(points, (0, 33, -84), (50 + build.face_mm, 52, 38)),
        tube(points, [(0, -34, -75), (0, -24, -190)], [56 + build.neck_mm, 54 + build.neck_mm]),
    ]
    for part in parts:
        head = smooth_union(head, part, BLEND_MM)
    nose = tube(points, [(0, 78, -14), (0, 92 + build.nose_mm, -50)], [6, 10])
    ear = ellipsoid(mirrored(points), (70, -26, -27), (10, 12, 20))
    return union(smooth_union(head, nose, 8), ear)


def paint_head(
    composition: Composition, points: np.ndarray, outside_mm: np.ndarray, build: Build, spacing_mm: float
) -> None:
    """Skin, fat and muscle, then bone, then the air-filled spaces; the inside of the skull is left to `paint_brain`.

    points: MNI coordinates (3, Z, Y, X). outside_mm: (Z, Y, X), distance from the brain's closed surface.
    """
    skin = skin_distance(points, outside_mm, build)
    composition.paint("muscle", coverage(skin, spacing_mm))
    fat = intersection(skin + SKIN_MM, -(skin + SKIN_MM + build.fat_mm))
    composition.paint("fat", coverage(fat, spacing_mm))
    room = intersection(skin + BONE_BELOW_SKIN_MM, DURA_MM - outside_mm)
    _paint_skull(composition, points[2], outside_mm, room, build, spacing_mm)
    sides = mirrored(points)
    bone = union(*_facial_bones(points, sides, build), *_temporal_bones(sides), *_spine(points, sides))
    composition.paint("bone", coverage(intersection(bone, room), spacing_mm))
    marrow = intersection(tube(points, VERTEBRAL_BODIES, [7, 7]), _discs(points) + 2, room)
    composition.paint("marrow", coverage(marrow, spacing_mm))
    for air, share in _air_spaces(points, sides, build):
        composition.paint("air", share * coverage(intersection(air, room - 1), spacing_mm))


def _paint_skull(
    composition: Composition,
    height_mm: np.ndarray,
    outside_mm: np.ndarray,
    room: np.ndarray,
    build: Build,
    spacing_mm: float,
) -> None:
    """A shell around the brain, thinner at the base, with marrow between its two tables."""
    upper = 1 / (1 + np.exp(-(height_mm + 15) / 8))
    thickness = SKULL_BASE_MM + (build.skull_mm - SKULL_BASE_MM) * upper
    inner = outside_mm - DURA_MM
    composition.paint("bone", coverage(intersection(-inner, inner - thickness, room), spacing_mm))
    marrow = intersection(TABLE_MM - inner, inner - thickness + TABLE_MM)
    composition.paint("marrow", coverage(marrow, spacing_mm) * upper)


def _facial_bones(points: np.ndarray, sides: np.ndarray, build: Build) -> list[np.ndarray]:
    wide = build.face_mm
    orbit = orbit_distance(sides)
    return [
        intersection(orbit - 2.5, -orbit, sides[1] - 62),
        ellipsoid(points, (0, 76, -12), (26, 8, 14)),
        ellipsoid(points, (0, 12, -42), (17, 17, 14)),
        ellipsoid(points, (0, 50, -50), (14, 30, 22)),
        ellipsoid(sides, (27, 44, -62), (17, 20, 18)),
        tube(sides, [(38, 58, -54), (58 + wide, 40, -52), (64 + wide, 5, -46)], [5, 4, 3]),
        tube(sides, [(0, 70, -78), (14, 66, -78), (24, 50, -78), (26, 38, -78)], [6, 6, 6, 6]),
        tube(
            sides,
            [(0, 70, -106), (16, 66, -105), (34, 44, -100), (44 + wide, 20, -90), (48 + wide, 8, -52)],
            [8, 8, 7, 7, 4],
        ),
    ]


def orbit_distance(sides: np.ndarray) -> np.ndarray:
    """Signed distance, mm (Z, Y, X), from the cone from the optic canal to the eye; sides: `mirrored` (3, Z, Y, X)."""
    return tube(sides, [(12, 22, -25), (32, 60, -38)], [4, 18])


def _temporal_bones(sides: np.ndarray) -> list[np.ndarray]:
    """Petrous ridge and mastoid."""
    return [tube(sides, [(20, -14, -38), (56, -30, -44)], [7, 10]), ellipsoid(sides, (56, -36, -52), (11, 14, 18))]


def _spine(points: np.ndarray, sides: np.ndarray) -> list[np.ndarray]:
    """Vertebral bodies, and the arches around a canal that `brain.paint_brain` fills."""
    canal = tube(points, SPINAL_CANAL, [CANAL_MM] * len(SPINAL_CANAL))
    bodies = tube(points, VERTEBRAL_BODIES, [9, 9])
    lateral_masses = tube(sides, [(19, -34, -80), (19, -33, -190)], [7, 7])
    arches = intersection(canal - 4, -canal, points[2] + 76)
    return [intersection(part, _discs(points)) for part in (bodies, lateral_masses, arches)]


def _discs(points: np.ndarray) -> np.ndarray:
    """Negative but for slabs of 4 mm, one in every 17 mm."""
    return 2 - np.abs(np.mod(points[2] + 84, 17) - 8.5)


def _air_spaces(points: np.ndarray, sides: np.ndarray, build: Build) -> list[tuple[np.ndarray, float]]:
    """Signed distance and the share of air inside: the rest is mucosa, septa or the walls of small cells."""
    s = build.sinus_scale
    septum = 1.5 - sides[0]
    return [
        (ellipsoid(sides, (27, 44, -62), (14 * s, 17 * s, 15 * s)), 1.0),
        (ellipsoid(sides, (11, 77, -11), (10 * s, 4 * s, 10 * s)), 1.0),
        (intersection(ellipsoid(points, (0, 14, -44), (13 * s, 12 * s, 8 * s)), septum), 1.0),
        (intersection(ellipsoid(points, (0, 50, -54), (11, 34, 18)), septum), 0.8),
        (intersection(ellipsoid(points, (0, 42, -32), (11, 18, 8)), septum), 0.6),
        (ellipsoid(sides, (57, -36, -52), (8, 10, 14)), 0.6),
        (tube(sides, [(46, -22, -41), (62, -24, -39)], [2.5, 2.5]), 1.0),
        (tube(points, [(0, 20, -62), (0, 6, -80), (0, 1, -104), (0, 0, -190)], [9, 8, 7, 8]), 1.0),
    ]


def paint_brain(
    composition: Composition, points: np.ndarray, outside_mm: np.ndarray, template: Template, spacing_mm: float
) -> None:
    """Fill the skull: CSF, over it the template's grey and white matter, then what the template lacks.

    points: MNI coordinates (3, Z, Y, X). outside_mm: (Z, Y, X), distance from the brain's closed surface.
    """
    canal = tube(points, SPINAL_CANAL, [CANAL_MM] * len(SPINAL_CANAL))
    cord = tube(points, SPINAL_CANAL, [CORD_MM] * len(SPINAL_CANAL))
    cistern = ellipsoid(points, (0, 0, -20), (14, 11, 9))
    for fluid in (outside_mm - DURA_MM, canal, cistern):
        composition.paint("csf", coverage(fluid, spacing_mm))
    composition.paint("white", coverage(cord, spacing_mm))
    white, grey = template.sample("white", points), template.sample("grey", points)
    composition.paint("grey", np.clip(grey / np.maximum(1 - white, 1e-3), 0, 1))
    composition.paint("white", white)
    _paint_vessels(composition, points, outside_mm, spacing_mm)


def _paint_vessels(composition: Composition, points: np.ndarray, outside_mm: np.ndarray, spacing_mm: float) -> None:
    """Falx and choroid plexus in the CSF, and the large sinuses: all take up contrast agent, none is tumour."""
    sides, fluid = mirrored(points), composition.share("csf").copy()
    falx = intersection(sides[0] - 0.8, outside_mm - DURA_MM, -15 - points[2])
    plexus = tube(sides, [(22, -38, 16), (25, -41, 6), (23, -36, -2)], [3, 4, 3])
    composition.paint("dura", fluid * coverage(falx, spacing_mm))
    composition.paint("plexus", fluid * coverage(plexus, spacing_mm))
    radius = 2 + 2.5 * np.clip((50 - points[1]) / 130, 0, 1)
    sagittal = intersection(np.hypot(sides[0], outside_mm) - radius, -10 - points[2])
    transverse = tube(sides, [(2, -103, -14), (32, -94, -20), (53, -70, -26), (57, -48, -38)], [4, 4, 4, 4])
    for sinus in (sagittal, transverse):
        composition.paint("vessel", coverage(sinus, spacing_mm))
