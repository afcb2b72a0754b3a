"""Forms of the dose term: which error of the dose counts, where it acts, and how it pulls at the network's output."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from nnunet_doselo.losses.in_parts import Image

RELATIVE_TO_AT_LEAST = 0.1
"""Of Rx: the union RMAE's threshold."""
DISTANT_MM = 10.0


@dataclass(frozen=True)
class DoseForm:
    """error: "squared" is the paper's; "relative" is abs(dD) / max(D, 0.1 Rx), as in the union RMAE.

    distant: the term acts only outside the true target dilated by 10 mm; its value is that of everywhere.
    pull: "gradient" of the dose error on the network's contour, as in the paper; "attributed", each wrong voxel's
        share of the error as the weight of its cross-entropy; "constant", cross-entropy with one weight: the control
        that says whether it matters that the weight is dose.
    margin: dose differences below this share of Rx count as none.
    """

    error: Literal["squared", "relative"] = "squared"
    distant: bool = False
    pull: Literal["gradient", "attributed", "constant"] = "gradient"
    margin: float = 0.0


PAPERS_FORM = DoseForm()


def squared_error(reference_gy: Image, evaluated_gy: Image, prescription_gy: float) -> Image:
    """((reference - evaluated) / Rx)^2 of each voxel, (B, 1, *S) from doses (B, 1, *S) in Gy (paper, eq. 1)."""
    return ((reference_gy - evaluated_gy) / prescription_gy).square()


def relative_error(reference_gy: Image, evaluated_gy: Image, prescription_gy: float) -> Image:
    """abs(reference - evaluated) / max(reference, 0.1 Rx) of each voxel, (B, 1, *S) from doses (B, 1, *S) in Gy.

    What the union RMAE is the mean of, but for the voxels where neither dose is noteworthy.
    """
    floor_gy = RELATIVE_TO_AT_LEAST * prescription_gy
    return (reference_gy - evaluated_gy).abs() / reference_gy.clamp_min(floor_gy)


def beyond_margin(reference_gy: Image, evaluated_gy: Image, margin_gy: float) -> Image:
    """The evaluated dose brought nearer to the reference by the margin, at most up to it; (B, 1, *S), Gy."""
    difference = evaluated_gy - reference_gy
    return reference_gy + difference.sign() * (difference.abs() - margin_gy).clamp_min(0)


def distant_from(target: Image, spacing_mm: Sequence[float], distance_mm: float) -> Bool[Tensor, "batch 1 *space"]:
    """Voxels whose centre lies further than that from every voxel of the target; all of them without a target.

    target: (B, 1, *S), S of two or three axes with these spacings; above 0 inside. Of slices each for itself: a voxel
    is distant, too, where the target begins in the next slice.
    """
    ball = _ball(tuple(spacing_mm), distance_mm, target.device, target.dtype)
    convolve = F.conv2d if target.dim() == 4 else F.conv3d
    near = convolve((target > 0).to(target.dtype), ball[None, None], padding=tuple(n // 2 for n in ball.shape))
    return near < 0.5


@lru_cache(maxsize=8)  # a tensor made anew in each step would wait for the GPU
def _ball(
    spacing_mm: tuple[float, ...], radius_mm: float, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "*space"]:
    """1 in voxels whose centre lies at most that far from the middle one's."""
    within_mm = radius_mm + 1e-6
    axes = [mm * np.arange(-(within_mm // mm), within_mm // mm + 1) for mm in spacing_mm]
    squares = sum(np.square(offset) for offset in np.meshgrid(*axes, indexing="ij"))
    return torch.from_numpy(squares <= within_mm**2).to(device, dtype)
