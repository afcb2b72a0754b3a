"""Where a glioblastoma grows: a front that starts at a point and runs through the brain.

It runs through grey and white matter, hardly through CSF, and crosses falx and tentorium by way of white matter alone:
lobes, ventricles and the skull shape the tumour, and one that starts near the corpus callosum becomes a butterfly.
"""

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from numpy.random import Generator
from scipy import ndimage

from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.images import array_of, as_image, index_xyz

from .anatomy import PhantomAnatomy
from .random_fields import smooth_field

Index = tuple[int, int, int]
ROUGH_KNOT_MM = 14.0
IN_GREY, IN_CSF = 0.7, 0.01
FALX_MM = 3.0
ACROSS_NEEDS_WHITE = 0.5
"""Share of white matter with which the midline can be crossed."""


def tumour_speed(anatomy: PhantomAnatomy, roughness: float, rng: Generator) -> np.ndarray:
    """Relative speed of the front in every voxel, 0 outside the cerebrum; rougher gives less regular shapes."""
    grey, white = anatomy.grey, anatomy.white
    speed = IN_CSF + IN_GREY * grey + white
    midline = (np.abs(anatomy.points[0]) < FALX_MM) & (white < ACROSS_NEEDS_WHITE)
    speed *= np.exp(roughness * smooth_field(rng, anatomy.axes, ROUGH_KNOT_MM))
    speed[midline] *= IN_CSF
    return np.where(anatomy.cerebrum, speed, 0)


def arrival(speed: np.ndarray, seeds: Sequence[Index] | np.ndarray, spacing_mm: float) -> np.ndarray:
    """When the front comes to each voxel: mm that it would have run at speed 1, (Z, Y, X); huge where it never does.

    speed: (Z, Y, X), relative, 0 where it cannot run. seeds: indices (z, y, x) where it starts, at least one.
    """
    grid = Grid.upright(speed.shape, (spacing_mm,) * 3)
    front = sitk.FastMarchingImageFilter()
    front.SetTrialPoints([index_xyz(seed) for seed in seeds])
    return array_of(front.Execute(as_image(speed.astype(np.float32), grid)))


def first_reached(arrival_mm: np.ndarray, volume_mm3: float, spacing_mm: float) -> np.ndarray:
    """Boolean mask (Z, Y, X) of the voxels that the front reaches first, as many as have that volume, at least one.

    arrival_mm: (Z, Y, X), see `arrival`. Holes of the mask are filled.
    """
    voxels = max(1, round(volume_mm3 / spacing_mm**3))
    latest = np.partition(arrival_mm, voxels - 1, axis=None)[voxels - 1]
    return ndimage.binary_fill_holes(arrival_mm <= latest)
