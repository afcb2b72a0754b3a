"""The average brain that every patient is a variation of: ICBM 2009a nonlinear symmetric, in MNI space.

The maps (T1, grey matter, white matter; 1 mm, brain only) come inside nilearn's wheel: nothing is downloaded.

Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill
University. Permission to use, copy, modify, and distribute this software and its documentation for any purpose and
without fee is hereby granted, provided that the above copyright notice appear in all copies. The authors and McGill
University make no representations about the suitability of this software for any purpose. It is provided "as is"
without express or implied warranty. Fonov et al., NeuroImage 54:313 (2011).
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from scipy import ndimage

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.images import read_array

FILE = "datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
FIRST_VOXEL_MM = np.array([-72.0, -134.0, -98.0])
"""MNI coordinates z, y, x of the published maps' first voxel."""
FULL_SCALE = 255
PADDING = ((26, 1), (1, 0), (1, 0))
"""Voxels added before and behind in z, y, x: room for distances below the brain, and an even number."""
STEP_MM = 2
CLOSED_GAPS_MM = 4


@dataclass(frozen=True)
class Template:
    """Maps (Z, Y, X) on one grid; z, y and x run to superior, anterior and right, as MNI coordinates do.

    grey, white: share of grey and white matter, [0, 1]; what is left inside the brain is CSF.
    outside_mm: distance from the surface of the brain with its sulci closed; negative inside.
    origin_mm: MNI coordinates (z, y, x) of the first voxel.
    """

    grey: np.ndarray
    white: np.ndarray
    outside_mm: np.ndarray
    origin_mm: np.ndarray

    def sample(self, name: str, points_mm: np.ndarray) -> np.ndarray:
        """The map called `name` at MNI points (3, Z, Y, X), ordered x, y, z; trilinear, constant beyond the edge."""
        index = [(points_mm[2 - axis] - self.origin_mm[axis]) / STEP_MM for axis in range(3)]
        return ndimage.map_coordinates(getattr(self, name), index, order=1, mode="nearest")

    def smoothed(self, spacing_mm: float) -> "Template":
        """Tissue shares as voxels of that size see them: averaged over about one voxel."""
        sigma = 0.3 * np.sqrt(max(spacing_mm**2 - STEP_MM**2, 0)) / STEP_MM
        grey, white = (ndimage.gaussian_filter(tissue, sigma) for tissue in (self.grey, self.white))
        return Template(grey, white, self.outside_mm, self.origin_mm)


@lru_cache(maxsize=2)
def template_for(spacing_mm: float) -> Template:
    """The template as voxels of that size see it; made once a process."""
    return load_template().smoothed(spacing_mm)


@lru_cache(maxsize=1)
def load_template() -> Template:
    """Read the maps and average them over 2 mm.

    Raises
    ------
    DoseloError: nilearn is not installed, or does not hold the maps any more.
    """
    t1, grey, white = (_read(name) for name in ("t1", "gm", "wm"))
    brain = ndimage.binary_closing(_halved(t1 > 0) >= 0.5, iterations=CLOSED_GAPS_MM // STEP_MM)
    outside = ndimage.distance_transform_edt(~brain) - ndimage.distance_transform_edt(brain)
    first = FIRST_VOXEL_MM - [added for added, _ in PADDING] + (STEP_MM - 1) / 2
    return Template(
        _halved(grey / FULL_SCALE), _halved(white / FULL_SCALE), (STEP_MM * outside).astype(np.float32), first
    )


def _read(name: str) -> np.ndarray:
    try:
        path = Path(str(files("nilearn"))) / FILE.format(name)
    except ModuleNotFoundError as error:
        raise DoseloError("the phantom's brain comes with nilearn, which is missing; pip install nilearn") from error
    return np.pad(read_array(path)[0], PADDING)


def _halved(volume: np.ndarray) -> np.ndarray:
    """Mean over blocks of 2 x 2 x 2 voxels, float32."""
    z, y, x = (size // STEP_MM for size in volume.shape)
    blocks = volume.astype(np.float32).reshape(z, STEP_MM, y, STEP_MM, x, STEP_MM)
    return blocks.mean(axis=(1, 3, 5))
