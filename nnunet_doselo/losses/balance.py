"""lambda from what it is meant to balance: the norms of both terms' gradients on the network's logits.

lambda by itself means little: next to Dice + CE the dose term's gradient at lambda = 1 is 0.3 % of the voxel loss's,
next to BCE 9 %. Here the ratio is given and lambda follows from it, measured in the first epochs and then held: a
weight that is balanced at every step climbs as the dose error vanishes, until only the contour's edge hears it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nnunet_doselo.losses.in_parts import HALF_PRECISION_SCALE

LARGEST_WEIGHT = 1000.0
"""lambda where the dose term has next to no gradient (nothing is drawn yet, or nothing is wrong)."""
MEASURED_SHARE = 0.15
"""Of all epochs: over so many from the first lambda follows what was measured in the epoch before."""


def measured_epochs(num_epochs: int) -> int:
    """From the first on; at least one.

    >>> measured_epochs(1000), measured_epochs(20), measured_epochs(1)
    (150, 3, 1)
    """
    return max(1, round(MEASURED_SHARE * num_epochs))


def balanced_weight(ratio: float, voxel_norm: float, dose_norm: float) -> float:
    """lambda with which the dose term's gradient is `ratio` times the voxel term's; at most `LARGEST_WEIGHT`.

    0 for norms that are no finite numbers, and where the voxel term has no gradient.

    >>> balanced_weight(0.3, voxel_norm=2.0, dose_norm=0.01)
    60.0
    """
    if not 0 < voxel_norm < float("inf") or not 0 <= dose_norm < float("inf"):
        return 0.0
    return min(LARGEST_WEIGHT, ratio * voxel_norm / dose_norm) if dose_norm else LARGEST_WEIGHT


def gradient_norm(term: Tensor, logits: Tensor) -> Tensor:
    """Norm of a term's gradient on the logits (B, C, *S), on their device; 0 for a term that does not depend on them.

    The graph is kept for the backward pass.
    """
    if not term.requires_grad:
        return torch.zeros((), device=logits.device)
    (gradient,) = torch.autograd.grad(term * HALF_PRECISION_SCALE, logits, retain_graph=True, allow_unused=True)
    if gradient is None:
        return torch.zeros((), device=logits.device)
    return gradient.detach().float().norm() / HALF_PRECISION_SCALE


@dataclass
class GradientNorms:
    """Sums over the steps of an epoch, on the device: nothing waits for them until the epoch ends."""

    sums: Tensor | None = None

    def add(self, voxel: Tensor, dose: Tensor, logits: Tensor) -> None:
        """Both terms of a step, scalars, and the logits (B, C, *S) that they were computed from."""
        norms = torch.stack([gradient_norm(voxel, logits), gradient_norm(dose, logits)])
        self.sums = norms if self.sums is None else self.sums + norms

    def take(self) -> tuple[float, float]:
        """Voxel and dose sums of all processes, and begin anew; both 0 without a step."""
        if self.sums is None:
            return 0.0, 0.0
        sums, self.sums = self.sums, None
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        voxel, dose = sums.tolist()
        return voxel, dose
