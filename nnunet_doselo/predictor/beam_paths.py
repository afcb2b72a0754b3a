"""Which voxels the beams of a plan run through, seen from the target alone: an input channel of the dose network.

Each gantry angle opens a field as wide as the target, and its rays are weakened by the tissue they cross. That is all
the geometry that coplanar plans of one technique share, and what a small network otherwise has to guess across a whole
slice. Rays are parallel: at 1000 mm from the source they spread by 1 % every 10 mm. Scriptable: plain tensors and
numbers only.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

ATTENUATION_PER_MM = 0.0045
"""Of a 6 MV beam behind its maximum: a 10 x 10 cm^2 field loses about 4.5 % a cm of water (BJR Supplement 25)."""


def left_is_right(gantry_deg: Sequence[float]) -> bool:
    """Whether beams at these angles are their own mirror image; true of none."""
    return {round(angle % 360, 3) for angle in gantry_deg} == {round(-angle % 360, 3) for angle in gantry_deg}


def beam_paths(target: Tensor, ct: Tensor, gantry_deg: list[float], pixel_y_mm: float, pixel_x_mm: float) -> Tensor:
    """Mean over the beams of the highest prescribed dose on each ray, weakened by the depth of the voxel on it.

    Parameters
    ----------
    target: (B, 1, *S) prescribed dose / Rx; the gradient is that of `_opened`.
    ct: (B, 1, *S) HU. Without gradient.
    gantry_deg: IEC 61217 angles of a supine patient, head first: 0 from anterior, 90 from the patient's left, which is
        where x grows to.

    S is (Y, X) or (Z, Y, X), every slice for itself. Returns (B, 1, *S) float32 (or double), in [0, 1]; 0 where no ray
    through the target runs.
    """
    planes = (-1, target.shape[-2], target.shape[-1])
    dtype = torch.float64 if target.dtype == torch.float64 else torch.float32
    prescribed = target.to(dtype).reshape(planes)
    density = (ct.detach().to(dtype) / 1000.0 + 1.0).clamp(min=0.0).reshape(planes)
    paths = torch.zeros_like(prescribed)
    for angle in gantry_deg:
        paths = paths + _one_beam(prescribed, density, angle * math.pi / 180.0, pixel_y_mm, pixel_x_mm)
    return (paths / max(1, len(gantry_deg))).reshape(target.shape)


def _one_beam(
    prescribed: Tensor,
    density: Tensor,
    angle: float,
    pixel_y_mm: float,
    pixel_x_mm: float,
    attenuation_per_mm: float = ATTENUATION_PER_MM,
) -> Tensor:
    """(P, Y, X) prescribed dose / Rx and relative density to the same shape."""
    height, width = prescribed.shape[-2], prescribed.shape[-1]
    side = max(height, width)
    y_mm, x_mm = height * pixel_y_mm / 2, width * pixel_x_mm / 2
    reach_mm = math.sqrt(y_mm * y_mm + x_mm * x_mm)
    along, across = _plane(side, side, reach_mm, reach_mm, prescribed)
    sine, cosine = math.sin(angle), math.cos(angle)
    seen = _sample(
        torch.cat([prescribed, density]),
        (cosine * across - sine * along) / x_mm,
        (sine * across + cosine * along) / y_mm,
    )
    step_mm = 2 * reach_mm / side
    open_field = _opened(seen[: prescribed.shape[0]])
    crossed = seen[prescribed.shape[0] :]
    depth_mm = (crossed.cumsum(dim=1) - crossed / 2) * step_mm
    dose = open_field * torch.exp(-attenuation_per_mm * depth_mm)
    y, x = _plane(height, width, y_mm, x_mm, prescribed)
    return _sample(dose, (cosine * x + sine * y) / reach_mm, (cosine * y - sine * x) / reach_mm)


def _opened(seen: Tensor) -> Tensor:
    """The highest prescription on each ray: (P, Y, X), rays along Y, to (P, 1, X).

    The gradient of probabilities is that of the maximum: it goes to the highest voxel. Masks have many such, and change
    by finite steps, so theirs is what such steps do: see `_changes`.
    """
    with torch.no_grad():  # freezing a script takes every `detach` away
        highest, still = seen.amax(dim=1, keepdim=True), seen.clone()
        changes = _changes(seen) if seen.requires_grad else still
    return highest + (changes * (seen - still)).sum(dim=1, keepdim=True)


def _changes(seen: Tensor) -> Tensor:
    """By how much a ray opens with each voxel's value: (P, Y, X) to the same shape.

    A stretch of voxels that alone holds a ray open shares out, evenly over its highest, what its removal would close; a
    ray that is as open elsewhere depends on none of them. An empty voxel counts with what it would open were it full;
    of several that are added along one ray the first opens it, and yet each is counted.
    """
    highest, place = seen.max(dim=1, keepdim=True)
    empty = seen <= 0.0
    stretch = empty.cumsum(dim=1)  # counts on at every empty voxel, so it is the same all along a stretch
    alone = stretch == stretch.gather(1, place)
    closed = highest - seen.masked_fill(alone, 0.0).amax(dim=1, keepdim=True)
    tied = seen * (alone & (seen >= highest * (1.0 - 1e-4)))  # interpolated masks are 1 but for rounding
    share = (tied > 0.0) * closed / tied.sum(dim=1, keepdim=True).clamp(min=1e-6)
    return torch.where(empty, 1.0 - highest, share)


def _plane(height: int, width: int, y_mm: float, x_mm: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """y and x of the voxels' centres in mm, each (height, width), of a plane from -y_mm to y_mm and -x_mm to x_mm."""
    y = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) * (2 * y_mm / height) - y_mm
    x = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) * (2 * x_mm / width) - x_mm
    return y[:, None].expand(height, width), x[None, :].expand(height, width)


def _sample(planes: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(P, Y, X) at the same places of all planes, linearly, 0 outside; x and y in [-1, 1] from border to border."""
    grid = torch.stack([x, y], dim=-1)[None]
    return F.grid_sample(planes[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0]
