"""What a beam meets: the patient's body without couch and fixation, and relative electron density."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes, label

from nnunet_doselo.geometry import TISSUE_HU

# Thomas, Br J Radiol 72:781 (1999): two straight lines that meet at 100 HU
DENSITY_HU = (-1000.0, 100.0, 3000.0)
DENSITY = (0.0, 1.1, 2.492)
COUCH_MM = 6.0
NOTED_CC = 1.0


@dataclass(frozen=True)
class Body:
    """mask: (Z, Y, X) boolean, the patient. ignored_cc: tissue-like voxels that are not the patient's, cc."""

    mask: np.ndarray
    ignored_cc: float


def relative_electron_density(ct_hu: np.ndarray) -> np.ndarray:
    """Density relative to water by piecewise linear interpolation of HU; constant beyond -1000 and 3000 HU."""
    return np.interp(ct_hu, DENSITY_HU, DENSITY)


def find_body(ct_hu: np.ndarray, spacing_mm: Sequence[float]) -> Body:
    """The largest thing thicker than 12 mm, with its cavities; couch, mask and frame are left out.

    Thin parts are cut off before the largest connected piece is chosen, and those that belong to it grown back. An
    empty mask where the scan holds nothing of that size.
    """
    tissue = np.asarray(ct_hu) > TISSUE_HU
    steps = [max(1, round(COUCH_MM / s)) for s in spacing_mm]
    # the scan ends inside the patient: beyond it, tissue goes on
    core = _along_axes(binary_erosion, tissue, steps, border_value=1)
    pieces, number = label(core)
    if not number:
        return Body(np.zeros(tissue.shape, bool), _cc(tissue, spacing_mm))
    largest = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    grown = _along_axes(binary_dilation, largest, steps) & tissue
    filled = np.stack([binary_fill_holes(one) for one in grown])
    return Body(filled, _cc(tissue & ~filled, spacing_mm))


def _along_axes(operation, mask: np.ndarray, steps: Sequence[int], **options: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Erode or dilate by a box of half-width `steps`, one axis at a time."""
    for axis, step in enumerate(steps):
        line = np.ones([2 * step + 1 if a == axis else 1 for a in range(3)], bool)
        mask = operation(mask, line, **options)
    return mask


def _cc(mask: np.ndarray, spacing_mm: Sequence[float]) -> float:
    return float(np.count_nonzero(mask) * np.prod(spacing_mm) / 1000)
