"""How far one contour is from another. Masks (Z, Y, X), non-zero inside; spacing (z, y, x) in mm."""

import math
from dataclasses import dataclass

import numpy as np
import surface_distance
from scipy import ndimage

from nnunet_doselo.common.versions import version_of
from nnunet_doselo.dataset.geometry import require_same_shape, voxel_cc

FAR_MM = 20.0
SURFACE_TOLERANCE_MM = 2.0


def surface_library() -> str:
    """Name and version of the library behind `surface_scores`, for reports: libraries differ in what a surface is."""
    return f"surface-distance {version_of('surface-distance')}"


def dice(reference: np.ndarray, evaluated: np.ndarray) -> float:
    """Dice coefficient of the volumes, in [0, 1]: 2 |A and B| / (|A| + |B|).

    Parameters
    ----------
    reference, evaluated: (Z, Y, X), non-zero inside.

    Returns
    -------
    0 if one mask is empty, NaN if both are.

    Raises
    ------
    DoseloError: shapes differ.
    """
    reference, evaluated = _masks(reference, evaluated)
    total = np.count_nonzero(reference) + np.count_nonzero(evaluated)
    return 2 * np.count_nonzero(reference & evaluated) / total if total else float("nan")


@dataclass(frozen=True)
class SurfaceScores:
    """Distances in mm between two surfaces, and the share of both that lies within 2 mm of the other."""

    hd_mm: float
    hd95_mm: float
    surface_dice_2mm: float


def surface_scores(reference: np.ndarray, evaluated: np.ndarray, spacing_mm: tuple[float, ...]) -> SurfaceScores:
    """Largest and 95th percentile of the distance between the surfaces, each the larger of the two directions.

    Surfaces run through voxel corners and each element weighs as much as its area (`surface_library()`), so a
    shift of n voxels is n spacings, and a thin slice counts for less than a thick one.

    Parameters
    ----------
    reference, evaluated: (Z, Y, X).
    spacing_mm: (z, y, x).

    Returns
    -------
    All NaN if either mask is empty: a distance to nothing has no value. Say so in the report.

    Raises
    ------
    DoseloError: shapes differ.
    """
    reference, evaluated = _masks(reference, evaluated)
    # the library answers an empty mask with np.Inf, which numpy 2 has removed (AttributeError)
    if not (reference.any() and evaluated.any()):
        return SurfaceScores(math.nan, math.nan, math.nan)
    distances = surface_distance.compute_surface_distances(reference, evaluated, spacing_mm)
    largest_mm = max(distances[way].max() for way in ("distances_gt_to_pred", "distances_pred_to_gt"))
    robust_mm = surface_distance.compute_robust_hausdorff(distances, 95)
    near = surface_distance.compute_surface_dice_at_tolerance(distances, SURFACE_TOLERANCE_MM)
    return SurfaceScores(float(largest_mm), float(robust_mm), float(near))


def false_positive_cc_beyond(
    reference: np.ndarray, evaluated: np.ndarray, spacing_mm: tuple[float, ...], distance_mm: float = FAR_MM
) -> float:
    """Volume of `evaluated` that lies farther than `distance_mm` from `reference`: the islands that cost dose.

    Parameters
    ----------
    reference, evaluated: (Z, Y, X).
    spacing_mm: (z, y, x).
    distance_mm: between voxel centres; a voxel at exactly this distance does not count.

    Returns
    -------
    Cubic centimetres; 0 if `evaluated` is empty, NaN if `reference` is.

    Raises
    ------
    DoseloError: shapes differ.
    """
    reference, evaluated = _masks(reference, evaluated)
    if not reference.any():
        return float("nan")
    # the distance transform is dear, and nothing outside both masks matters
    (box,) = ndimage.find_objects((reference | evaluated).astype(np.uint8))
    to_reference_mm = ndimage.distance_transform_edt(~reference[box], sampling=spacing_mm)
    far = evaluated[box] & (to_reference_mm > distance_mm)
    return float(np.count_nonzero(far)) * voxel_cc(spacing_mm)


def _masks(reference: np.ndarray, evaluated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    require_same_shape(reference=reference, evaluated=evaluated)
    return np.asarray(reference, bool), np.asarray(evaluated, bool)
