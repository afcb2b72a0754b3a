"""From the caller's grid to the predictor's and back, on the device, differentiable in the target.

Slices (Y, X) and volumes (Z, Y, X) are filtered alike: a triangle along each axis, two voxels of the coarser grid wide,
so that nothing is skipped when shrinking.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nnunet_doselo.dataset.geometry import SAME_SPACING


def size_on(spacing_to: Sequence[float], size: Sequence[int], spacing_from: Sequence[float]) -> tuple[int, ...]:
    """Voxels along each axis after resampling; unchanged where spacings agree to 1 %."""
    return tuple(
        n if abs(a / b - 1) <= SAME_SPACING else max(1, round(n * a / b))
        for n, a, b in zip(size, spacing_from, spacing_to, strict=True)
    )


def resample_inputs(target: Tensor, oars: Tensor, ct: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Target and CT linearly (with anti-aliasing when shrinking), organs to the nearest voxel.

    All are (B, 1, *S), S of two or three axes; returns them as (B, 1, *size), untouched if they have that size already.
    """
    if tuple(target.shape[2:]) == tuple(size):
        return target, oars, ct
    nearest = F.interpolate(oars.to(torch.float32), size=tuple(size), mode="nearest-exact")
    return _linear(target, size), nearest.to(oars.dtype), _linear(ct, size)


def resample_dose(dose: Tensor, size: Sequence[int]) -> Tensor:
    """(B, 1, *S) Gy to (B, 1, *size), linearly."""
    return dose if tuple(dose.shape[2:]) == tuple(size) else _linear(dose, size)


def _linear(x: Tensor, size: Sequence[int]) -> Tensor:
    return _planes(x, size) if len(size) == 2 else _volumes(x, size)


def _planes(x: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, Y, X) to (B, C, *size)."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False, antialias=True)


def _volumes(x: Tensor, size: Sequence[int]) -> Tensor:
    """(B, 1, Z, Y, X) to (B, 1, *size): torch filters planes alone, so first each slice, then along z.

    In the second step a plane is (Z, all voxels of a slice), and its second axis keeps its length: it is not filtered.
    """
    slices = _planes(x[:, 0], size[1:])  # (B, Z, y, x)
    columns = _planes(slices.flatten(2)[:, None], (size[0], size[1] * size[2]))  # (B, 1, z, y * x)
    return columns.unflatten(3, tuple(size[1:]))
