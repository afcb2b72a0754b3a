"""How training samples are moved about and softened, as nnU-Net does with its own."""

from collections.abc import Sequence

import torch
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from scipy.ndimage import gaussian_filter
from torch import Tensor

from nnunet_doselo.predictor.spatial_domain import AXES, SpatialDomain

# room for rotation and scaling before the patch is cut, as nnU-Net reserves it
BORDER = 1.25
BLUR_VOXELS = (0.5, 2.0)


def with_border(patch_size: Sequence[int]) -> tuple[int, ...]:
    """The window to read for a patch that is going to be moved about."""
    return tuple(round(n * BORDER) for n in patch_size)


def spatial_transforms(patch_size: tuple[int, ...], domain: SpatialDomain) -> ComposeTransforms:
    """nnU-Net's rotation, scaling and mirroring, with its probabilities, of (Y, X) or (Z, Y, X), as far as `domain`.

    All axes are scaled alike.
    """
    order = AXES[-len(patch_size) :]
    return ComposeTransforms(
        [
            SpatialTransform(
                patch_size,
                patch_center_dist_from_border=0,
                random_crop=False,
                p_rotation=0.2 if any(domain.rotation_deg) else 0.0,
                rotation=domain.turns(order),
                p_scaling=0.2,
                scaling=domain.scaling,
                p_synchronize_scaling_across_axes=1,
                border_mode_seg="constant",
                padding_value_seg=0,
            ),
            MirrorTransform(allowed_axes=domain.mirrored_patch_axes(order)),
        ]
    )


def softened(target: Tensor, sigma_voxels: float) -> Tensor:
    """A target (1, *S) blurred by a Gaussian, in every direction of S; its sum stays, but for the border."""
    blurred = gaussian_filter(target.numpy(), sigma=(0.0, *[sigma_voxels] * (target.dim() - 1)), mode="constant")
    return torch.from_numpy(blurred)
