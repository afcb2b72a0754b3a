"""What a rigid registration looks at: the window of intensities, the voxels with something in them, their positions."""

import numpy as np
import SimpleITK as sitk

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.images import array_view, grid_of

CT_BELOW_HU = -500
"""An image with lower values is a CT: a MR's signal is not negative."""
WINDOW_HU = (-200.0, 300.0)
HIGHEST_PERCENTILE = 99.5
EMPTY = 0.1
"""Of the window, from its lower end: noise and air."""
LEAST_VOXELS = 4
MOST_POINTS = 2000


def windowed(image: sitk.Image, name: str) -> sitk.Image:
    """Float32, clipped to soft tissue and the edge of bone (CT), or to the brightest half per cent (MR).

    Raises
    ------
    DoseloError: not three-dimensional, fewer than 4 voxels along an axis, not finite, or the same everywhere.
    """
    size = grid_of(image).size
    if min(size) < LEAST_VOXELS or image.GetNumberOfComponentsPerPixel() > 1:
        raise DoseloError(f"{name}: to be registered it must be a volume of at least 4 voxels a side, found {size}")
    values = array_view(image)
    if not np.isfinite(values).all():
        raise DoseloError(f"{name}: to be registered its voxels must be finite, found some that are not")
    low, high = WINDOW_HU if values.min() < CT_BELOW_HU else _signal(values)
    if not values.max() > low < high:
        raise DoseloError(f"{name}: shows nothing to be registered, nearly all voxels are {values.min():g}")
    return sitk.Clamp(image, sitk.sitkFloat32, low, high)


def _signal(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(np.percentile(values, HIGHEST_PERCENTILE))


def content(image: sitk.Image) -> sitk.Image:
    """Mask (1 or 0) of what is not air, of a windowed image; noise in the air stays out."""
    extremes = sitk.MinimumMaximumImageFilter()
    extremes.Execute(image)
    low, high = extremes.GetMinimum(), extremes.GetMaximum()
    return sitk.BinaryThreshold(image, low + EMPTY * (high - low), high, 1, 0)


def points_mm(mask: sitk.Image) -> np.ndarray:
    """Patient coordinates (N, 3), x, y, z, of a mask's voxels, evenly thinned to about 2000; (0, 3) of an empty one."""
    centres_mm = grid_of(mask).centres_mm(array_view(mask) > 0)
    return centres_mm[:: 1 + len(centres_mm) // MOST_POINTS]


def binned(image: sitk.Image, voxel_mm: float) -> sitk.Image:
    """Averaged to voxels of at most that size, not less than 4 an axis; axes that are coarser stay."""
    factors = [
        max(1, min(int(voxel_mm / mm), n // LEAST_VOXELS))
        for n, mm in zip(image.GetSize(), image.GetSpacing(), strict=True)
    ]
    return sitk.BinShrink(image, factors)


def cropped(image: sitk.Image, around_mm: np.ndarray, margin_mm: float) -> sitk.Image:
    """The part of the image around points (N, 3), as far as it goes; all of it if hardly any lie inside."""
    grid = grid_of(image)
    index, margin = grid.to_index(around_mm), margin_mm / np.array(grid.spacing)
    first = np.clip(np.floor(index.min(axis=0) - margin), 0, None).astype(int)
    last = np.clip(np.ceil(index.max(axis=0) + margin), None, np.array(grid.size) - 1).astype(int)
    if (last - first < LEAST_VOXELS).any():
        return image
    x, y, z = (slice(a, b + 1) for a, b in zip(first.tolist(), last.tolist(), strict=True))
    return image[x, y, z]


def share_inside(image: sitk.Image, points: np.ndarray) -> float:
    """Share of the points (N, 3) that lie in the image's field of view."""
    grid = grid_of(image)
    index = grid.to_index(points)
    inside = (index >= -0.5) & (index <= np.array(grid.size) - 0.5)
    return float(inside.all(axis=1).mean())
