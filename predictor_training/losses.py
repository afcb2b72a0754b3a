"""How far a predicted dose is from the planned one, as numbers a network can be trained on.

Doses are in units of Rx. All are 0 where nothing counts.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Error = Callable[[Tensor, Tensor, Tensor], Tensor]


def masked_mean_square(reference: Tensor, evaluated: Tensor, counts: Tensor) -> Tensor:
    """Mean of (reference - evaluated)^2 where `counts`."""
    return ((reference - evaluated).square() * counts).sum() / counts.sum().clamp_min(1)


def masked_mean_absolute(reference: Tensor, evaluated: Tensor, counts: Tensor) -> Tensor:
    """Mean of |reference - evaluated| where `counts`."""
    return ((reference - evaluated).abs() * counts).sum() / counts.sum().clamp_min(1)


def dvh_distance(reference: Tensor, evaluated: Tensor, structures: Tensor) -> Tensor:
    """Area between the dose-volume histograms of each structure, averaged over samples and structures that occur.

    The area between two cumulative histograms is the mean of |difference| of the sorted doses; sorting passes the
    gradient on to the voxel that holds each rank.

    Parameters
    ----------
    reference, evaluated: (B, 1, *S).
    structures: (B, K, *S) boolean, one channel a structure.
    """
    areas = [
        (reference[sample, 0][mask].sort().values - evaluated[sample, 0][mask].sort().values).abs().mean()
        for sample, masks in enumerate(structures)
        for mask in masks
        if mask.any()
    ]
    return torch.stack(areas).mean() if areas else evaluated.sum() * 0


ERRORS: dict[str, Error] = {"l1": masked_mean_absolute, "l2": masked_mean_square}
