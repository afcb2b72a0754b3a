"""From an extended dataset's grid back to OpenKBP's own voxels, where its evaluator counts."""

import numpy as np

from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.images import array_of, as_image, onto_grid

SHAPE = (128, 128, 128)


def on_native_grid(dose_gy: np.ndarray, converted: Grid, voxel_mm: np.ndarray) -> np.ndarray:
    """(Z, Y, X) on the grid `converted` -> (128, 128, 128) in OpenKBP's order, interpolated linearly.

    OpenKBP's voxels lie at multiples of `voxel_mm` (anterior-posterior, right-left, superior-inferior) from the
    origin: the converter keeps that frame. Outside the converted image the dose is 0.
    """
    spacing = (float(voxel_mm[1]), float(voxel_mm[0]), float(voxel_mm[2]))
    native = Grid((SHAPE[1], SHAPE[0], SHAPE[2]), spacing, (0.0, 0.0, 0.0), converted.direction)
    return array_of(onto_grid(as_image(dose_gy, converted), native))[::-1].transpose(1, 2, 0)
