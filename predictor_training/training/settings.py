"""What a training run varies: settings with their bounds, and presets of them as data."""

from dataclasses import dataclass
from typing import Any

import torch

from nnunet_doselo.common.errors import DoseloError

from .losses import ERRORS

AUGMENTATIONS = ("beams", "whole")
PRECISIONS = ("auto", "32-true", "16-mixed", "bf16-mixed")
POSITIVE = ("epochs", "iterations_per_epoch", "batch_size", "learning_rate", "width", "patience", "patch_voxels")

PRESETS: dict[str, dict[int, dict[str, Any]]] = {
    "small": {
        2: {"width": 0.5, "epochs": 100},
        3: {"width": 0.5, "epochs": 100, "batch_size": 2, "patch_voxels": 64**3},
    },
    "default": {2: {}, 3: {"batch_size": 2}},
    "large": {
        2: {"width": 1.5, "epochs": 400},
        3: {"width": 1.5, "epochs": 400, "batch_size": 2, "patch_voxels": 128**3},
    },
}
"""What differs from `TrainingSettings`' own values, by name and by number of dimensions.

small: a trial. default: one GPU. large: for a hundred patients or more. In 3D the activations of one step take 1, 6 and
19 GB in 32 bit, about half of that in mixed precision.
"""


@dataclass(frozen=True)
class TrainingSettings:
    """Written beside a run's checkpoints, and compared when it is resumed.

    dim: 2 for axial slices, 3 for volumes.
    spacing_mm: (y, x) or (z, y, x), as `dim` says; None for the dataset's median, where that is finer than 2 mm: 2 mm.
    beams: whether the network sees the paths of the beams, if the dataset says where they are.
    augmentation: beams, patients are moved about as far as the beams allow; whole, as nnU-Net does with its own slices.
    patch_voxels: of a 3D patch at most; a patch of slices always holds the largest one.
    """

    epochs: int = 200
    iterations_per_epoch: int = 250
    batch_size: int = 16
    learning_rate: float = 1e-3
    width: float = 1.0
    validation_fraction: float = 0.1
    patience: int = 50
    seed: int = 0
    precision: str = "auto"
    spacing_mm: tuple[float, ...] | None = None
    error: str = "l1"
    dvh_weight: float = 0.5
    soft_masks: float = 0.2
    dim: int = 2
    patch_voxels: int = 96**3
    beams: bool = True
    augmentation: str = "beams"

    @classmethod
    def from_preset(cls, name: str, dim: int, **chosen: Any) -> "TrainingSettings":
        """A preset, but for settings that were chosen; None leaves one to the preset.

        Raises
        ------
        DoseloError: there is no such preset, or `dim` is neither 2 nor 3.
        """
        _require_dimension(dim)
        if name not in PRESETS:
            raise DoseloError(f"preset must be one of {', '.join(PRESETS)}, found {name}")
        given = {key: value for key, value in chosen.items() if value is not None}
        return cls(**{**PRESETS[name][dim], **given, "dim": dim})

    def check(self) -> None:
        """Raises DoseloError if a number is out of its range."""
        _require_dimension(self.dim)
        wrong = [name for name in POSITIVE if getattr(self, name) <= 0]
        if wrong or not 0 < self.validation_fraction < 1:
            raise DoseloError(f"{', '.join(POSITIVE)} must be positive and validation_fraction in (0, 1); found {self}")
        if self.precision not in PRECISIONS:
            raise DoseloError(f"precision must be one of {', '.join(PRECISIONS)}, found {self.precision}")
        if self.error not in ERRORS:
            raise DoseloError(f"error must be one of {', '.join(ERRORS)}, found {self.error}")
        if self.augmentation not in AUGMENTATIONS:
            raise DoseloError(f"augmentation must be one of {', '.join(AUGMENTATIONS)}, found {self.augmentation}")
        if self.dvh_weight < 0 or not 0 <= self.soft_masks <= 1:
            raise DoseloError(f"dvh_weight must be 0 or more, and soft_masks a probability; found {self}")
        self._check_spacing()

    def _check_spacing(self) -> None:
        if self.spacing_mm is not None and min(self.spacing_mm) <= 0:
            raise DoseloError(f"spacing must be positive, found {self.spacing_mm} mm")
        if self.spacing_mm is not None and len(self.spacing_mm) != self.dim:
            raise DoseloError(
                f"spacing must be (y, x) for dim 2 and (z, y, x) for dim 3, found {self.spacing_mm} mm for dim "
                f"{self.dim}; give {self.dim} numbers, or none for the dataset's median"
            )


def _require_dimension(dim: int) -> None:
    if dim not in (2, 3):
        raise DoseloError(f"dim must be 2 (axial slices) or 3 (volumes), found {dim}")


def precision(wanted: str) -> str:
    """Lightning's name; "auto" is mixed precision on a GPU and 32 bit elsewhere."""
    if wanted != "auto":
        return wanted
    if not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
