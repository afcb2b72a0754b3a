"""From the caller's grid to the predictor's and back, on the device, differentiable in the target."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

SAME_SPACING = 0.01


def size_on(spacing_to: Sequence[float], size: Sequence[int], spacing_from: Sequence[float]) -> tuple[int, ...]:
    """Voxels along each axis after resampling; unchanged where spacings agree to 1 %."""
    return tuple(
        n if abs(a / b - 1) <= SAME_SPACING else max(1, round(n * a / b))
        for n, a, b in zip(size, spacing_from, spacing_to, strict=True)
    )


def resample_inputs(target: Tensor, oars: Tensor, ct: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Target and CT linearly (with anti-aliasing when shrinking), organs to the nearest voxel.

    All are (B, 1, Y, X); returns them as (B, 1, *size), untouched if they have that size already.
    """
    if tuple(target.shape[2:]) == tuple(size):
        return target, oars, ct
    nearest = F.interpolate(oars.to(torch.float32), size=tuple(size), mode="nearest-exact")
    return _linear(target, size), nearest.to(oars.dtype), _linear(ct, size)


def resample_dose(dose: Tensor, size: Sequence[int]) -> Tensor:
    """(B, 1, Y, X) Gy to (B, 1, *size), linearly."""
    return dose if tuple(dose.shape[2:]) == tuple(size) else _linear(dose, size)


def _linear(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False, antialias=True)
