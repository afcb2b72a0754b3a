"""How far a predicted dose is from the planned one, as numbers a network can be trained on.

Doses are in units of Rx. All are 0 where nothing counts.

Where several processes share a batch, each one's gradient is averaged with the others', so what each computes has to be
a share whose mean over the processes is the number of the whole batch: its own sum / mean of all counts.
`mean_over` gives that mean of counts; `alone`, that of a single process, is the count itself.
"""

from collections.abc import Callable

import torch
from torch import Tensor

MeanOver = Callable[[Tensor], Tensor]
"""A process' own number -> mean of all processes' numbers, the same in each, without gradient."""
Error = Callable[[Tensor, Tensor, Tensor, MeanOver], Tensor]


def alone(number: Tensor) -> Tensor:
    """The mean over one process: the number itself, a scalar."""
    return number


def masked_mean_square(reference: Tensor, evaluated: Tensor, counts: Tensor, mean_over: MeanOver = alone) -> Tensor:
    """Mean of (reference - evaluated)^2 where `counts`: all (B, 1, *S), doses in units of Rx."""
    return _share(((reference - evaluated).square() * counts).sum(), counts.sum(), mean_over)


def masked_mean_absolute(reference: Tensor, evaluated: Tensor, counts: Tensor, mean_over: MeanOver = alone) -> Tensor:
    """Mean of |reference - evaluated| where `counts`: all (B, 1, *S), doses in units of Rx."""
    return _share(((reference - evaluated).abs() * counts).sum(), counts.sum(), mean_over)


def dvh_distance(reference: Tensor, evaluated: Tensor, structures: Tensor, mean_over: MeanOver = alone) -> Tensor:
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
    total = torch.stack(areas).sum() if areas else evaluated.sum() * 0
    return _share(total, torch.tensor(len(areas), device=total.device), mean_over)


def _share(total: Tensor, count: Tensor, mean_over: MeanOver) -> Tensor:
    """total / mean of all counts, 0 where all are 0."""
    mean_count = mean_over(count)
    return total / mean_count.where(mean_count > 0, 1)


ERRORS: dict[str, Error] = {"l1": masked_mean_absolute, "l2": masked_mean_square}
