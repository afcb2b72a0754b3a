"""What a rigid registration looks at, and where it starts from.

Looked at: the window of intensities, the voxels with something in them, their positions. Starts: guesses at the shift,
and turned copies of the best one.
"""

import numpy as np
import SimpleITK as sitk

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.images import array_view, grid_of

CT_BELOW_HU = -500
"""An image with lower values is a CT: a MR's signal is not negative."""
REGISTERED_HU = (-200.0, 300.0)
HIGHEST_PERCENTILE = 99.5
AIR_SHARE = 0.1
"""Of the window, from its lower end: noise and air."""
LEAST_VOXELS = 4
MOST_POINTS = 2000
TOP_MM = 120.0
"""From the vertex down: the head, without neck and shoulders, which only one of the images may show."""
TURN_DEG = 20.0
"""A head in a coil and in a mask: nodding above all."""


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
    low, high = REGISTERED_HU if values.min() < CT_BELOW_HU else _signal(values)
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
    return sitk.BinaryThreshold(image, low + AIR_SHARE * (high - low), high, 1, 0)


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


def shifted(fixed_mm: np.ndarray, moving_mm: np.ndarray) -> list[sitk.Euler3DTransform]:
    """Points (N, 3) of what the images show: centre to centre, vertex to vertex, and where the scanners put them."""
    centre = fixed_mm.mean(axis=0)
    shifts = (moving_mm.mean(axis=0) - centre, _vertex(moving_mm) - _vertex(fixed_mm), np.zeros(3))
    # turns are about the head that is sought: where the moving image's centre comes from
    return [_start(moving_mm.mean(axis=0) - shift, shift) for shift in shifts]


def turned(start: sitk.Euler3DTransform) -> list[sitk.Euler3DTransform]:
    """Six: forwards and backwards about the three axes."""
    angles = np.radians(TURN_DEG) * np.vstack([np.eye(3), -np.eye(3)])
    copies = [sitk.Euler3DTransform(start) for _ in angles]
    for copy, (x, y, z) in zip(copies, angles.tolist(), strict=True):
        copy.SetRotation(x, y, z)
    return copies


def _start(centre_mm: np.ndarray, shift_mm: np.ndarray) -> sitk.Euler3DTransform:
    transform = sitk.Euler3DTransform()
    transform.SetCenter(centre_mm.tolist())
    transform.SetTranslation(shift_mm.tolist())
    return transform


def _vertex(points_mm: np.ndarray) -> np.ndarray:
    """The uppermost point in z, in the middle of what lies below it."""
    top = np.percentile(points_mm[:, 2], 99.5)
    head = points_mm[points_mm[:, 2] > top - TOP_MM]
    return np.array([*head[:, :2].mean(axis=0), top])
