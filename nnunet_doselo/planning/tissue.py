"""What a beam meets: the patient's body without couch and fixation, and relative electron density."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes, label

from nnunet_doselo.dataset.geometry import AIR_HU, MM3_PER_CC, TISSUE_HU, body_mask, voxel_mm3

# Thomas, Br J Radiol 72:781 (1999): two straight lines that meet at 100 HU
DENSITY_HU = (-1000.0, 100.0, 3000.0)
DENSITY = (0.0, 1.1, 2.492)
COUCH_MM = 6.0
"""Half of how thick a thing must be to be taken for a patient."""
APPENDAGE_MM = 15.0
"""How far from the bulk of the body thinner parts (nose, ears) still belong to it."""


@dataclass(frozen=True)
class Body:
    """mask: (Z, Y, X) boolean, the patient. ignored_cc: tissue-like voxels that are not the patient's, cc."""

    mask: np.ndarray
    ignored_cc: float


def relative_electron_density(ct_hu: np.ndarray) -> np.ndarray:
    """Density relative to water, any shape, by piecewise linear interpolation of HU; constant beyond -1000 and 3000."""
    return np.interp(ct_hu, DENSITY_HU, DENSITY)


def find_body(ct_hu: np.ndarray, spacing_mm: Sequence[float]) -> Body:
    """The largest thing thicker than 12 mm, with its cavities; couch, mask and frame are left out.

    Thin parts are cut off, the largest connected piece is chosen, and what is connected with it within 15 mm grows
    back. Of this the body is all that lies between tissue along x and along y, as in `geometry.body_mask`; a couch
    closer than 15 mm stays as a rim. An empty mask where the scan holds nothing of that size.

    ct_hu: (Z, Y, X) HU. spacing_mm: (z, y, x).
    """
    tissue = np.asarray(ct_hu) > TISSUE_HU
    closed = np.stack([binary_fill_holes(axial) for axial in tissue])
    # the scan ends inside the patient: beyond it, tissue goes on
    core = _along_axes(binary_erosion, closed, _steps(COUCH_MM, spacing_mm), border_value=1)
    pieces, number = label(core)
    if not number:
        return Body(np.zeros(tissue.shape, bool), _cc(tissue, spacing_mm))
    largest = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    grown = _along_axes(binary_dilation, largest, _steps(COUCH_MM, spacing_mm)) & closed
    for _ in range(max(_steps(APPENDAGE_MM, spacing_mm))):
        grown = binary_dilation(grown) & closed
    body = body_mask(np.where(grown, 0, AIR_HU))
    return Body(body, _cc(tissue & ~body, spacing_mm))


def _steps(length_mm: float, spacing_mm: Sequence[float]) -> list[int]:
    return [max(1, round(length_mm / s)) for s in spacing_mm]


def _along_axes(operation, mask: np.ndarray, steps: Sequence[int], **options: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Erode or dilate by a box of half-width `steps`, one axis at a time."""
    for axis, step in enumerate(steps):
        line = np.ones([2 * step + 1 if a == axis else 1 for a in range(3)], bool)
        mask = operation(mask, line, **options)
    return mask


def _cc(mask: np.ndarray, spacing_mm: Sequence[float]) -> float:
    return np.count_nonzero(mask) * voxel_mm3(spacing_mm) / MM3_PER_CC
