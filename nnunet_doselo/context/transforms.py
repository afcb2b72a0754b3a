"""Takes CT and organs through nnU-Net's augmentation: moved by every spatial transform, touched by no other.

The CT travels in batchgeneratorsv2's slot `regression_target`, which spatial transforms interpolate like an image and
intensity transforms leave alone; the organs as second segmentation channel, resampled label by label.
"""

import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTransform
from torch import Tensor

from nnunet_doselo.dataset.geometry import AIR_HU


class SplitContext(BasicTransform):
    """Image (C + 1, *S) -> image (C, *S) and CT (1, *S) as `regression_target`."""

    def apply(self, data_dict: dict, **params: object) -> dict:
        image = data_dict["image"]
        return {**data_dict, "image": image[:-1], "regression_target": image[-1:]}


class TakeOrgans(BasicTransform):
    """Segmentation (2, *S) -> segmentation (1, *S), and organs (1, *S) under their own key."""

    def apply(self, data_dict: dict, **params: object) -> dict:
        segmentation = data_dict["segmentation"]
        return {**data_dict, "segmentation": segmentation[:1], "oars": segmentation[1:]}


class MergeContext(BasicTransform):
    """Image (C, *S), CT and organs -> image (C + 2, *S), the only thing that nnU-Net's loader hands on."""

    def apply(self, data_dict: dict, **params: object) -> dict:
        image = data_dict["image"]
        ct, oars = data_dict.pop("regression_target"), data_dict.pop("oars")
        return {**data_dict, "image": torch.cat([image, ct, oars.to(image.dtype)])}


def with_context(pipeline: ComposeTransforms) -> ComposeTransforms:
    """nnU-Net's pipeline with the context taken along.

    Organs leave the segmentation after nnU-Net has turned padding (-1) into background, and before it turns labels
    into regions, which would drop them.
    """
    steps = list(pipeline.transforms)
    cleaned = next(i for i, step in enumerate(steps) if isinstance(step, RemoveLabelTransform)) + 1
    return ComposeTransforms([SplitContext(), *steps[:cleaned], TakeOrgans(), *steps[cleaned:], MergeContext()])


def split_batch(data: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A batch (B, C + 2, *S) -> image (B, C, *S), organ labels (B, 1, *S) int16, CT (B, 1, *S) in HU."""
    return data[:, :-2], data[:, -1:].to(torch.int16), data[:, -2:-1] + AIR_HU
