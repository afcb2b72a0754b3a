"""Keeps nnU-Net's spatial augmentation, in training and at test time, within what the dose predictor has seen."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import json_values
from nnunet_doselo.dataset.guidance import DoseGuidance
from nnunet_doselo.predictor.artifact import FrozenPredictor, find_predictor, load_predictor
from nnunet_doselo.predictor.spatial_domain import AXES, SpatialDomain, Turns
from nnunet_doselo.trainer.trainer_names import TrainerSettings

AUGMENTATION = "augmentation"
"""Where checkpoints keep the domain, among `init_args`; without it nnU-Net's whole augmentation was in force."""


class nnUNetTrainerInDomain(nnUNetTrainer):
    """nnU-Net's own trainer, unless `keep_to_domain` was called before its augmentation is set up."""

    settings: TrainerSettings
    domain: SpatialDomain | None = None

    def on_train_start(self) -> None:
        if self.settings.in_domain:
            self.keep_to_domain("cpu")
        super().on_train_start()

    def keep_to_domain(self, device: torch.device | str) -> FrozenPredictor:
        """The dataset's predictor, which must fit; from now on patients are moved about as far as it has seen."""
        guidance = DoseGuidance.from_dataset_json(self.dataset_json, self.plans_manager.dataset_name)
        dim = len(self.configuration_manager.patch_size)
        predictor = load_predictor(find_predictor(Path(self.preprocessed_dataset_folder_base), dim), device)
        predictor.card.require_for(dim, self.configuration_name, predictor.path)
        predictor.card.require_fitting(guidance, predictor.path)
        self.domain = predictor.domain
        self.print_to_log_file(f"Dose predictor {predictor.path}: in its training patients were {self.domain}")
        return predictor

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(
        self,
    ) -> tuple[Turns, bool, np.ndarray, tuple[int, ...]]:
        rotation, dummy_2d, initial_patch_size, mirror_axes = (
            super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        if self.domain is None:
            return rotation, dummy_2d, initial_patch_size, mirror_axes
        order = patch_axes(self.plans_manager.transpose_forward, len(self.configuration_manager.patch_size))
        kept = nnunets_domain(order, rotation, mirror_axes, dummy_2d=dummy_2d).within(self.domain)
        self._record_augmentation(kept)
        mirrored = kept.mirrored_patch_axes(order)
        self.inference_allowed_mirroring_axes = mirrored or None  # nnU-Net asks for the highest of them
        return kept.turns(order[-2:] if dummy_2d else order), dummy_2d, initial_patch_size, mirrored

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> ComposeTransforms:
        """nnU-Net's, where scaling is fixed, scaled no further than the domain."""
        transforms = super().get_training_transforms(*args, **kwargs)
        if self.domain is not None:
            low, high = self.domain.scaling
            for step in (step for step in transforms.transforms if isinstance(step, SpatialTransform)):
                step.scaling = (max(low, step.scaling[0]), min(high, step.scaling[1]))
        return transforms

    def _record_augmentation(self, augmentation: SpatialDomain) -> None:
        """In the log and in every checkpoint; a resumed run must go on under the same one."""
        content = json_values(augmentation)
        begun_under = self.my_init_kwargs.get(AUGMENTATION, None if self.current_epoch else content)
        if begun_under != content:
            begun = SpatialDomain.from_json(begun_under) if begun_under else "moved about as nnU-Net does"
            raise DoseloError(
                f"{self.output_folder}: in this run patients were {begun}, but now they would be {augmentation}; put "
                "the dose predictor back that the run was begun with, or start a new run"
            )
        self.my_init_kwargs[AUGMENTATION] = content
        self.logger.update_config({AUGMENTATION: content})
        self.print_to_log_file(f"Augmentation: patients are {augmentation}")


def patch_axes(transpose_forward: Sequence[int], dim: int) -> str:
    """The patient's axes in the order of a patch's: "zyx" as images are stored, "yx" for axial slices."""
    return "".join(AXES[axis] for axis in transpose_forward)[-dim:]


def nnunets_own(patch_size: Sequence[int], transpose_forward: Sequence[int]) -> SpatialDomain:
    """nnU-Net's augmentation of patches of that size, by its own rules."""
    plans = SimpleNamespace(patch_size=patch_size)
    trainer = SimpleNamespace(configuration_manager=plans, print_to_log_file=lambda *words: None)
    settings = nnUNetTrainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size(trainer)
    rotation, dummy_2d, _, mirror_axes = settings
    return nnunets_domain(patch_axes(transpose_forward, len(patch_size)), rotation, mirror_axes, dummy_2d=dummy_2d)


def nnunets_domain(
    order: str, rotation: tuple[float, float], mirror_axes: tuple[int, ...], *, dummy_2d: bool
) -> SpatialDomain:
    """nnU-Net's augmentation of a patch with these axes; planes are turned about the axis across them alone."""
    plane = order[-2:] if dummy_2d else order
    about = {*AXES} - {*plane} if len(plane) == 2 else {*AXES}
    limit_deg = round(float(np.rad2deg(max(map(abs, rotation)))), 6)
    z, y, x = (limit_deg if axis in about else 0.0 for axis in AXES)
    return SpatialDomain(tuple(sorted((order[axis] for axis in mirror_axes), reverse=True)), (z, y, x))
