"""Training samples: random axial slices, or random patches of volumes around them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from torch import Tensor
from torch.utils.data import Dataset

from nnunet_doselo.dataset.geometry import AIR_HU
from nnunet_doselo.dataset.patient import prescription_map
from nnunet_doselo.predictor.inputs import tensor_body_mask
from nnunet_doselo.predictor.spatial_domain import SpatialDomain

from .augmentation import BLUR_VOXELS, softened, spatial_transforms, with_border
from .cache import CachedCase
from .numbered import random_state

# slices far from the target hold no dose and teach little; they are shown, but seldom
SHARE_OF_DOSED_SLICES = 0.85

Sample = dict[str, Tensor]


@dataclass(frozen=True)
class TargetCodes:
    """Prescribed dose / Rx of each label value, looked up: `prescription_map` for every patch, worked out once."""

    fraction_of_label: tuple[float, ...]

    @classmethod
    def from_labels(
        cls, label_values: Mapping[str, Sequence[int]], target_fraction: Mapping[str, float]
    ) -> "TargetCodes":
        """Of label values 0 to the highest declared; arguments as of `prescription_map`."""
        labels = np.arange(max(value for values in label_values.values() for value in values) + 1)
        return cls(tuple(prescription_map(labels, label_values, target_fraction).tolist()))

    def encode(self, labels: Tensor) -> Tensor:
        """Integer label map to prescribed dose / Rx, float32, same shape."""
        return torch.tensor(self.fraction_of_label)[labels.long()]


class RandomPatches(Dataset[Sample]):
    """`length` random patches an epoch: CT (HU), target (dose / Rx), organ labels, dose (Gy), and where dose counts.

    A share `soft_masks` of the targets is blurred, as a network's probabilities are, and keeps its dose. domain: how
    far patients are moved about; None leaves them where they are.

    Each is (1, *patch_size), a slice (Y, X) or a volume (Z, Y, X). CT and dose travel as `regression_target` through
    the spatial transforms, padded with air and 0 Gy; labels and organs as segmentation.
    """

    def __init__(
        self,
        cases: list[CachedCase],
        codes: TargetCodes,
        patch_size: tuple[int, ...],
        length: int,
        domain: SpatialDomain | None,
        *,
        soft_masks: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.cases = cases
        self.seed = seed
        self.dosed = [case.dosed_slices() for case in cases]
        self.shapes = [case.context().shape[1:] for case in cases]
        self.codes = codes
        self.patch_size = patch_size
        self.length = length
        self.transforms = spatial_transforms(patch_size, domain) if domain else None
        self.soft_masks = soft_masks

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        """Sample number `index`, which may be any from 0 on: see `numbered.EpochNumbers`."""
        with random_state(self.seed, index):
            return self._draw()

    def _draw(self) -> Sample:
        number = int(torch.randint(len(self.cases), ()))
        context, dose = self._read(number, self._random_slice(number))
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
        return int(torch.randint(self.shapes[number][0], ()))

    def _read(self, number: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The window of a case around its slice `index`, with room to move: int16 (3, *S) and float32 (1, *S)."""
        case, shape = self.cases[number], self.shapes[number]
        window = with_border(self.patch_size) if self.transforms is not None else self.patch_size
        if len(window) == 2:
            context, dose = read_box(case, [(index, index + 1), *centred(shape[1:], window, (0, 0))])
            return context[:, 0], dose[:, 0]
        return read_box(case, centred(shape, window, random_shift(shape, self.patch_size, index)))


def random_shift(shape: Sequence[int], patch_size: Sequence[int], index: int) -> tuple[int, ...]:
    """How far a 3D patch lies from the middle of its case: around slice `index`, anywhere along y and x.

    A patch never leaves a case that is larger than it, and lies in the middle of one that is smaller, axis by axis.
    """
    room = [max(0, n - p) for n, p in zip(shape, patch_size, strict=True)]
    lowest = [-(free // 2) for free in room]
    z = min(max(index - shape[0] // 2, lowest[0]), lowest[0] + room[0])
    return z, *(low + int(torch.randint(free + 1, ())) for low, free in zip(lowest[1:], room[1:], strict=True))


def centred(shape: Sequence[int], window: Sequence[int], shift: Sequence[int]) -> list[tuple[int, int]]:
    """First voxel, and the one after the last, along each axis; outside the shape where the window is larger."""
    firsts = [(n - w) // 2 + s for n, w, s in zip(shape, window, shift, strict=True)]
    return [(first, first + w) for first, w in zip(firsts, window, strict=True)]


def read_box(case: CachedCase, box: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """int16 (3, *S) and float32 (1, *S) of a box (z, y, x) that meets the case; 0 outside (air, nothing, 0 Gy)."""
    (first, last), *plane = box
    begin = max(0, first)
    context, dose = case.context()[:, begin : max(0, last)], case.dose_gy()[begin : max(0, last)][None]
    inside = [[first - begin, last - begin], *map(list, plane)]
    return crop_and_pad_nd(context, inside, 0), crop_and_pad_nd(dose, inside, 0)


def whole_slices(case: CachedCase, codes: TargetCodes, every: int = 1) -> Sample:
    """Every n-th slice of a case, unmoved, as (slices, 1, Y, X); for validation."""
    context, dose = case.context()[:, ::every], case.dose_gy()[None, ::every]
    ct_and_dose = torch.from_numpy(np.concatenate([context[:1].astype(np.float32), dose]))
    sample = as_sample(ct_and_dose, torch.from_numpy(context[1:]), codes)
    return {name: tensor.transpose(0, 1) for name, tensor in sample.items()}


def whole_volume(case: CachedCase, codes: TargetCodes) -> Sample:
    """A case, unmoved, as (1, 1, Z, Y, X); for validation."""
    return {name: tensor.transpose(0, 1)[None] for name, tensor in whole_slices(case, codes).items()}


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
        "counts": tensor_body_mask(ct) | (dose > 0),
    }
