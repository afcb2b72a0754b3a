"""How training samples are moved about and softened, as nnU-Net does with its own."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.helpers.scalar_type import RandomScalar
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from scipy.ndimage import gaussian_filter
from torch import Tensor

from nnunet_doselo.predictor.beam_paths import left_is_right

# room for rotation and scaling before the patch is cut, as nnU-Net reserves it
BORDER = 1.25
ROTATION_DEG = 15
"""As nnU-Net turns elongated patches. Not all around as square ones: beams and couch do not turn with the patient."""
BLUR_VOXELS = (0.5, 2.0)
LONG_AXIS = 0
"""The z of a volume: beams are coplanar and air is sought slice by slice, so volumes are turned about it alone."""


def with_border(patch_size: Sequence[int]) -> tuple[int, ...]:
    """The window to read for a patch that is going to be moved about."""
    return tuple(round(n * BORDER) for n in patch_size)


def spatial_transforms(patch_size: tuple[int, ...], gantry_deg: Sequence[float] = ()) -> ComposeTransforms:
    """nnU-Net's rotation, scaling and mirroring, with its probabilities, of (Y, X) or (Z, Y, X).

    Patients are mirrored left to right alone: front and back differ, and so do the beams from there. Volumes are turned
    about z, and scaled along all axes alike. Where the beams are known by their angles, nothing is turned, and nothing
    mirrored unless the beams are their own mirror image.
    """
    dim = len(patch_size)
    limit = 0.0 if gantry_deg else np.deg2rad(ROTATION_DEG)
    rotation: RandomScalar = (-limit, limit) if dim == 2 else partial(_about_the_long_axis, limit=limit)
    return ComposeTransforms(
        [
            SpatialTransform(
                patch_size,
                patch_center_dist_from_border=0,
                random_crop=False,
                p_rotation=0.2 if limit else 0.0,
                rotation=rotation,
                p_scaling=0.2,
                scaling=(0.7, 1.4),
                p_synchronize_scaling_across_axes=1,
                border_mode_seg="constant",
                padding_value_seg=0,
            ),
            MirrorTransform(allowed_axes=(dim - 1,) if left_is_right(gantry_deg) else ()),
        ]
    )


def _about_the_long_axis(image: Any, dim: int, limit: float) -> float:
    """Angle about one axis of a volume in radians, drawn as nnU-Net draws all else; `image` is what it passes on."""
    return np.random.uniform(-limit, limit) if dim == LONG_AXIS else 0.0  # noqa: NPY002 (nnU-Net's global state)


def softened(target: Tensor, sigma_voxels: float) -> Tensor:
    """A target (1, *S) blurred by a Gaussian, in every direction of S; its sum stays, but for the border."""
    blurred = gaussian_filter(target.numpy(), sigma=(0.0, *[sigma_voxels] * (target.dim() - 1)), mode="constant")
    return torch.from_numpy(blurred)
