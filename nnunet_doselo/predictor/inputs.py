"""What the dose network sees: CT, target and organs as channels. Scriptable: plain tensors and numbers only."""

import torch
from torch import Tensor
from torch.nn import functional as F

from nnunet_doselo.dataset.geometry import TISSUE_HU


def encode(target: Tensor, oars: Tensor, ct: Tensor, organ_labels: Tensor, hu_low: float, hu_high: float) -> Tensor:
    """Stack the network's channels.

    Parameters
    ----------
    target: (B, 1, *S) prescribed dose / Rx, in [0, 1]; gradients pass through.
    oars: (B, 1, *S) integer organ labels (of any dtype).
    ct: (B, 1, *S) HU, cut to [hu_low, hu_high] and scaled to [0, 1]: air is 0, and so is any padding.
    organ_labels: (K,) label values, one channel each.

    Returns
    -------
    (B, 2 + K, *S), in the dtype of `target`: CT, target, organs.
    """
    ct_scaled = ((ct - hu_low) / (hu_high - hu_low)).clamp(0.0, 1.0).to(target.dtype)
    shape = [1, -1] + [1] * (target.dim() - 2)
    organs = (oars == organ_labels.view(shape)).to(target.dtype)
    return torch.cat([ct_scaled, target, organs], dim=1)


def at_least_single(x: Tensor) -> Tensor:
    """A tensor of any shape: half precision (under autocast) to float32; float32 and float64 stay."""
    return x if x.dtype == torch.float64 else x.float()


def tensor_body_mask(ct: Tensor, tissue_hu: float = float(TISSUE_HU)) -> Tensor:
    """Voxels between tissue on both sides, along both in-plane axes; the twin of `geometry.body_mask`.

    ct: (..., Y, X) HU. Returns a boolean tensor of the same shape.
    """
    tissue = (ct > tissue_hu).to(torch.int32)
    return _between(tissue, -1) & _between(tissue, -2)


def near_body(ct: Tensor, margin: int) -> Tensor:
    """Voxels at most `margin` voxels, along x and along y, from the body of their slice; as in `tensor_body_mask`.

    ct: (..., Y, X) HU. Returns a boolean tensor of the same shape.
    """
    planes = tensor_body_mask(ct).to(torch.float32).reshape(-1, 1, ct.shape[-2], ct.shape[-1])
    return F.max_pool2d(planes, 2 * margin + 1, stride=1, padding=margin).reshape(ct.shape) > 0


def _between(tissue: Tensor, dim: int) -> Tensor:
    since_first = tissue.cumsum(dim) > 0
    until_last = tissue.flip([dim]).cumsum(dim).flip([dim]) > 0
    return since_first & until_last
