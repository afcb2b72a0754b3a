"""Training samples: random axial slices, moved about as nnU-Net moves its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from batchgeneratorsv2.helpers.scalar_type import RandomScalar
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.utils.data import Dataset

from nnunet_doselo.geometry import AIR_HU
from nnunet_doselo.predictor.inputs import body_mask

from .cache import CachedCase

# slices far from the target hold no dose and teach little; they are shown, but seldom
SHARE_OF_DOSED_SLICES = 0.85
# room for rotation and scaling before the patch is cut, as nnU-Net reserves it
BORDER = 1.25
# nnU-Net turns elongated patches by 15 degrees only (nnUNetTrainer.configure_rotation_...)
ELONGATED = 1.5
BLUR_VOXELS = (0.5, 2.0)

Sample = dict[str, Tensor]


@dataclass(frozen=True)
class TargetCodes:
    """Prescribed dose / Rx for each label value; index 0 is background, regions give the highest."""

    fraction_of_label: tuple[float, ...]

    @classmethod
    def from_labels(
        cls, label_values: Mapping[str, Sequence[int]], target_fraction: Mapping[str, float]
    ) -> "TargetCodes":
        fractions = [0.0] * (max(value for values in label_values.values() for value in values) + 1)
        for name, fraction in target_fraction.items():
            for value in label_values[name]:
                fractions[value] = max(fractions[value], fraction)
        return cls(tuple(fractions))

    def encode(self, labels: Tensor) -> Tensor:
        """Integer label map to prescribed dose / Rx, float32, same shape."""
        return torch.tensor(self.fraction_of_label)[labels.long()]


def spatial_transforms(patch_size: tuple[int, int]) -> ComposeTransforms:
    """nnU-Net's rotation, scaling and mirroring, with its probabilities and ranges."""
    degrees = 15 if max(patch_size) / min(patch_size) > ELONGATED else 180
    rotation: RandomScalar = (-degrees / 180 * np.pi, degrees / 180 * np.pi)
    return ComposeTransforms(
        [
            SpatialTransform(
                patch_size,
                patch_center_dist_from_border=0,
                random_crop=False,
                p_rotation=0.2,
                rotation=rotation,
                p_scaling=0.2,
                scaling=(0.7, 1.4),
                p_synchronize_scaling_across_axes=1,
                border_mode_seg="constant",
                padding_value_seg=0,
            ),
            MirrorTransform(allowed_axes=(0, 1)),
        ]
    )


class RandomSlices(Dataset[Sample]):
    """`length` random slices an epoch: CT (HU), target (dose / Rx), organ labels, dose (Gy), and where dose counts.

    A share `soft_masks` of the targets is blurred, as a network's probabilities are, and keeps its dose.

    Each is (1, *patch_size). CT and dose travel as `regression_target` through the spatial transforms, padded
    with air and 0 Gy; labels and organs as segmentation.
    """

    def __init__(
        self,
        cases: list[CachedCase],
        codes: TargetCodes,
        patch_size: tuple[int, int],
        length: int,
        *,
        augment: bool = True,
        soft_masks: float = 0.0,
    ) -> None:
        self.cases = cases
        self.dosed = [case.dosed_slices() for case in cases]
        self.depths = [case.context().shape[1] for case in cases]
        self.codes = codes
        self.patch_size = patch_size
        self.length = length
        self.transforms = spatial_transforms(patch_size) if augment else None
        self.soft_masks = soft_masks

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        number = int(torch.randint(len(self.cases), ()))
        context, dose = _read_slice(self.cases[number], self._random_slice(number), self._window())
        moved = {
            "regression_target": torch.from_numpy(np.concatenate([context[:1].astype(np.float32), dose])),
            "image": torch.from_numpy(context[:1].astype(np.float32)),
            "segmentation": torch.from_numpy(context[1:]),
        }
        if self.transforms is not None:
            moved = self.transforms(**moved)
        sample = as_sample(moved["regression_target"], moved["segmentation"], self.codes)
        if torch.rand(()) < self.soft_masks:
            sample["target"] = softened(sample["target"], float(torch.empty(()).uniform_(*BLUR_VOXELS)))
        return sample

    def _random_slice(self, number: int) -> int:
        dosed = self.dosed[number]
        if len(dosed) and torch.rand(()) < SHARE_OF_DOSED_SLICES:
            return int(dosed[int(torch.randint(len(dosed), ()))])
        return int(torch.randint(self.depths[number], ()))

    def _window(self) -> tuple[int, int]:
        y, x = self.patch_size
        return (round(y * BORDER), round(x * BORDER)) if self.transforms is not None else (y, x)


def softened(target: Tensor, sigma_voxels: float) -> Tensor:
    """A target (1, *S) blurred by a Gaussian, in every direction of S; its sum stays, but for the border."""
    blurred = gaussian_filter(target.numpy(), sigma=(0.0, *[sigma_voxels] * (target.dim() - 1)), mode="constant")
    return torch.from_numpy(blurred)


def whole_case(case: CachedCase, codes: TargetCodes, every: int = 1) -> Sample:
    """Every n-th slice of a case, unmoved, as (slices, 1, Y, X); for validation."""
    context, dose = case.context()[:, ::every], case.dose_gy()[None, ::every]
    ct_and_dose = torch.from_numpy(np.concatenate([context[:1].astype(np.float32), dose]))
    sample = as_sample(ct_and_dose, torch.from_numpy(context[1:]), codes)
    return {name: tensor.transpose(0, 1) for name, tensor in sample.items()}


def as_sample(ct_and_dose: Tensor, labels_and_organs: Tensor, codes: TargetCodes) -> Sample:
    """Channels (2, *S) and (2, *S) as they travel -> named tensors (1, *S)."""
    ct = ct_and_dose[:1] + AIR_HU
    dose = ct_and_dose[1:]
    return {
        "ct": ct,
        "target": codes.encode(labels_and_organs[:1]),
        "oars": labels_and_organs[1:].to(torch.int16),
        "dose": dose,
        # a plan may hold dose outside the body (immobilisation, couch): there it counts too
        "counts": body_mask(ct) | (dose > 0),
    }


def _read_slice(case: CachedCase, index: int, window: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """int16 (3, *window) and float32 (1, *window), centred on the slice, padded with 0 (air, nothing, 0 Gy)."""
    context, dose = case.context()[:, index], case.dose_gy()[index][None]
    box = [[(n - w) // 2, (n - w) // 2 + w] for n, w in zip(context.shape[1:], window, strict=True)]
    return crop_and_pad_nd(context, box, 0), crop_and_pad_nd(dose, box, 0)
