"""The thirteen organs at risk of the paper's cohort, at their places in MNI space.

Which thirteen: those of the group's published dose predictor for glioblastoma (Kamath et al., ISBI 2023); how they are
delineated: Scoccianti et al., Radiother Oncol 114:230 (2015); names: AAPM TG-263. Brainstem, hippocampi and chiasm
were placed on the template itself; eyes, glands, nerves, pituitary and cochleae, of which a skull-stripped template
shows nothing, at the usual distances from it. Sizes are those of adults (hippocampus 3 cc, eye 7 cc, cochlea 0.2 cc).
"""

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

from .head import mirrored, orbit_distance
from .shapes import coverage, ellipsoid, intersection, largest_share, tube
from .tissues import Composition

PAIRS = ("Cochlea", "Eye", "Glnd_Lacrimal", "Hippocampus", "OpticNrv")
NAMES = sorted(["Brainstem", "OpticChiasm", "Pituitary", *(f"{name}_{side}" for name in PAIRS for side in "LR")])
PHANTOM_OARS = {name: label for label, name in enumerate(NAMES, start=1)}

SIZE_MM = 0.3
"""Standard deviation of an organ's surface from its mean."""
TISSUE_NEEDED = 0.5
LENS_MM = (4.5, 2.0, 4.5)
EYE = (33, 58, -37)
LENS = (33, 67, -37)
TISSUE_OF = {"Eye": "vitreous", "Glnd_Lacrimal": "gland", "OpticNrv": "white", "OpticChiasm": "white"}
TISSUE_OF |= {"Pituitary": "gland", "Cochlea": "csf"}


def organ_distances(points: np.ndarray, brain_share: np.ndarray, rng: Generator) -> dict[str, np.ndarray]:
    """Signed distance of each organ, mm (Z, Y, X), by name; no two patients have organs of the same size.

    points: MNI coordinates (3, Z, Y, X).
    `brain_share` (Z, Y, X), grey and white matter in [0, 1], bounds the brainstem.
    """
    size_mm = {name: float(rng.normal(0, SIZE_MM)) for name in NAMES}
    sides = mirrored(points)
    distances = _midline(points, brain_share)
    for name, pair in _pairs(sides).items():
        distances[f"{name}_R"] = intersection(pair, -points[0])  # MNI: x > 0 is the patient's right
        distances[f"{name}_L"] = intersection(pair, points[0])
    return {name: distances[name] - size_mm[name] for name in NAMES}


def _midline(points: np.ndarray, brain_share: np.ndarray) -> dict[str, np.ndarray]:
    narrowed = points * np.array([0.85, 1, 1], points.dtype)[:, None, None, None]
    stem = tube(
        narrowed, [(0, -26, -8), (0, -26, -18), (0, -25, -34), (0, -38, -52), (0, -46, -74)], [12, 13, 13.5, 8.5, 6.5]
    )
    in_brain = 4 * (TISSUE_NEEDED - brain_share)
    chiasm = tube(mirrored(points), [(7, 9, -19), (0, 3, -17), (8, -4, -15)], [2, 2.2, 2])
    return {
        "Brainstem": intersection(stem, points[2] + 6, in_brain),
        "OpticChiasm": chiasm,
        "Pituitary": ellipsoid(points, (0, 4, -31), (6.5, 5, 4.5)),
    }


def _pairs(sides: np.ndarray) -> dict[str, np.ndarray]:
    hippocampus = [(22, -8, -22), (26, -16, -18), (30, -26, -12), (28, -36, -4), (22, -40, 2)]
    return {
        "Cochlea": ellipsoid(sides, (37, -22, -40), (4, 4, 3.5)),
        "Eye": ellipsoid(sides, EYE, (12, 12, 12)),
        "Glnd_Lacrimal": ellipsoid(sides, (44, 60, -26), (4.5, 8, 4)),
        "Hippocampus": tube(sides, hippocampus, [6, 5.5, 4.8, 4, 3]),
        "OpticNrv": tube(sides, [(9, 12, -20), (13, 21, -23), (21, 34, -31), (30, 44, -35)], [2, 2.2, 2.2, 2.2]),
    }


def paint_organ_tissues(
    composition: Composition, points: np.ndarray, distances: Mapping[str, np.ndarray], spacing_mm: float
) -> None:
    """Orbits and what is in them, glands, nerves and the inner ear; brainstem and hippocampi are in the template.

    points: MNI coordinates (3, Z, Y, X). distances: of `organ_distances`, (Z, Y, X) each.
    """
    sides = mirrored(points)
    orbit = intersection(orbit_distance(sides), sides[1] - 66)
    composition.paint("fat", coverage(orbit, spacing_mm) * (1 - _brain(composition)))
    for name, distance in distances.items():
        tissue = TISSUE_OF.get(name.removesuffix("_L").removesuffix("_R"))
        if tissue:
            composition.paint(tissue, coverage(distance, spacing_mm))
    composition.paint("lens", coverage(ellipsoid(sides, LENS, LENS_MM), spacing_mm))


def _brain(composition: Composition) -> np.ndarray:
    return composition.share("grey") + composition.share("white") + composition.share("csf")


def organ_masks(distances: Mapping[str, np.ndarray], spacing_mm: float) -> dict[str, np.ndarray]:
    """Boolean masks (Z, Y, X) that keep each organ's volume; none is empty, however large the voxels."""
    return {name: largest_share(distance, spacing_mm) for name, distance in distances.items()}
