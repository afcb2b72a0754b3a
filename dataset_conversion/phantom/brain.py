"""What lies inside the skull of a healthy patient: brain, CSF, cisterns, choroid plexus, venous sinuses, cord.

Coordinates as in `head`.
"""

import numpy as np

from .head import CANAL_MM, DURA_MM, SPINAL_CANAL, mirrored
from .shapes import coverage, ellipsoid, intersection, tube
from .template import Template
from .tissues import Composition

CORD_MM = 5.5


def paint_brain(
    composition: Composition, points: np.ndarray, outside_mm: np.ndarray, template: Template, spacing_mm: float
) -> None:
    """Fill the skull: CSF, over it the template's grey and white matter, then what the template lacks."""
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
