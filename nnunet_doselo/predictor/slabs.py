"""Volumes too large for one pass, as overlapping slabs of whole axial slices, blended where they overlap.

Only z is cut: the network finds the body within each slice, and coplanar beams reach a voxel through its own slice.
"""

from collections.abc import Callable
from math import ceil, prod

import torch
from torch import Tensor

SLAB_VOXELS = 128 * 160 * 160
"""About 5 GB of features in 32 bit for the network's default widths."""
FEWEST_SLICES = 32
"""A slab or a training patch that is thinner sees too little of the dose above and below, whatever the memory."""

Predictor = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(target, organs, CT) to dose in Gy, all (B, 1, *S)."""


def slab_depth(shape: tuple[int, ...], voxels: int = SLAB_VOXELS) -> int:
    """Slices (of a volume (Z, Y, X)) in one pass: all, or as many as the voxels allow but at least 32."""
    return min(shape[0], max(FEWEST_SLICES, voxels // prod(shape[1:])))


def slab_starts(slices: int, depth: int) -> list[int]:
    """First slices of equal slabs, evenly spread over all, each at most half a slab from the next."""
    if slices <= depth:
        return [0]
    steps = ceil((slices - depth) / max(1, depth // 2))
    return [round(step * (slices - depth) / steps) for step in range(steps + 1)]


def slab_weights(depth: int) -> Tensor:
    """(depth,) in (0, 1]: a ramp from both faces to the middle, where a slice has seen the most of its neighbours."""
    rising = torch.arange(1, depth + 1, dtype=torch.float32)
    return torch.minimum(rising, rising.flip(0)) / ceil(depth / 2)


def predict_in_slabs(
    predictor: Predictor, target: Tensor, oars: Tensor, ct: Tensor, voxels: int = SLAB_VOXELS
) -> Tensor:
    """The predictor's dose of whole volumes, (B, 1, Z, Y, X) like its inputs; one pass if `voxels` suffice for one.

    A slice in several slabs gets their doses' mean, weighted by `slab_weights`.
    """
    depth = slab_depth(tuple(target.shape[2:]), voxels)
    if depth == target.shape[2]:
        return predictor(target, oars, ct)
    weights = slab_weights(depth).to(target.device)[:, None, None]
    dose, total = torch.zeros_like(target, dtype=torch.float32), target.new_zeros(target.shape[2], 1, 1)
    for start in slab_starts(target.shape[2], depth):
        slab = slice(start, start + depth)
        dose[:, :, slab] += weights * predictor(*(x[:, :, slab] for x in (target, oars, ct)))
        total[slab] += weights
    return dose / total
