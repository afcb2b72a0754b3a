"""What a plan is to reach, as one convex function of dose: target, fall-off around it, organs, everything else.

All penalties are quadratic in dose / Rx, and each voxel counts with its volume, so that an island of the target is
worth its own volume wherever it lies, and the same patient at a finer grid has the same optimum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from nnunet_doselo.dataset.geometry import MM3_PER_CC, voxel_cc, voxel_mm3

FALL_OFF_WEIGHT = 0.1
ORGAN_WEIGHT = 0.03
NORMAL_TISSUE_WEIGHT = 5e-4
"""What dose of Rx costs in a voxel, relative to a target voxel that misses its own by Rx."""
FALL_OFF_MM = 20.0
"""Around a target dose may fall by a factor e within this distance, and not more slowly."""
FALL_OFF_FLOOR = 0.3
"""Dose that the fall-off objective allows everywhere, relative to the target's."""
LARGE_ORGAN_CC = 50.0
"""A larger organ counts as one of this size, or a contoured brain would outweigh any target."""


@dataclass(frozen=True)
class Goals:
    """Per voxel, (N,): wanted dose, its weight; highest dose free of charge, its weight; weight of any dose at all.

    Doses are relative to Rx.
    """

    wanted: np.ndarray
    wanted_weight: np.ndarray
    limit: np.ndarray
    limit_weight: np.ndarray
    dose_weight: np.ndarray

    def value_and_gradient(self, dose: np.ndarray) -> tuple[float, np.ndarray]:
        """The penalty of a dose (N,), and its derivative by dose."""
        miss = dose - self.wanted
        excess = np.maximum(dose - self.limit, 0)
        pulls = self.wanted_weight * miss, self.limit_weight * excess, self.dose_weight * dose
        value = pulls[0] @ miss + pulls[1] @ excess + pulls[2] @ dose
        return float(value), 2 * (pulls[0] + pulls[1] + pulls[2])


def goals_of(target: np.ndarray, organs: np.ndarray, spacing_mm: Sequence[float], share: np.ndarray) -> Goals:
    """Goals for the voxels with a share, in the order of `np.nonzero(share)`.

    Parameters
    ----------
    target: (Z, Y, X) prescribed dose / Rx, 0 outside targets. An organ voxel inside a target counts as target.
    organs: (Z, Y, X) labels, 0 where there is none.
    share: (Z, Y, X) how many voxels a voxel stands for; 0 leaves it out.
    """
    inside = target > 0
    chosen = share > 0
    count = share[chosen] * voxel_mm3(spacing_mm) / MM3_PER_CC
    in_target = inside[chosen]
    in_organ = _organ_share(np.where(inside, 0, organs), voxel_cc(spacing_mm))[chosen]
    return Goals(
        wanted=target[chosen],
        wanted_weight=count * in_target,
        limit=_limit(target, spacing_mm)[chosen],
        limit_weight=count * FALL_OFF_WEIGHT * ~in_target,
        dose_weight=count * (ORGAN_WEIGHT * in_organ + NORMAL_TISSUE_WEIGHT * ~in_target),
    )


def _organ_share(organs: np.ndarray, voxel_cc: float) -> np.ndarray:
    """(Z, Y, X): 1 in organs, less in those above `LARGE_ORGAN_CC`, 0 elsewhere."""
    volumes_cc = np.bincount(organs.ravel()) * voxel_cc
    weights = LARGE_ORGAN_CC / np.maximum(volumes_cc, LARGE_ORGAN_CC)
    weights[0] = 0
    return weights[organs]


def _limit(target: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """The highest over all levels of level * max(exp(-distance / fall-off), floor)."""
    limit = np.zeros(target.shape)
    for level in np.unique(target[target > 0]):
        distance_mm = distance_transform_edt(target < level, sampling=spacing_mm)
        limit = np.maximum(limit, level * np.maximum(np.exp(-distance_mm / FALL_OFF_MM), FALL_OFF_FLOOR))
    return limit
