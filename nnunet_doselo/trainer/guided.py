"""nnU-Net's trainers with dose guidance: hooks only, each calls nnU-Net's own and adds what the dose term needs."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.parallel import default_processes
from nnunet_doselo.common.sensitivity import sensitivity_line
from nnunet_doselo.context.loading import DatasetWithContext
from nnunet_doselo.context.preprocessed import ContextFolder
from nnunet_doselo.context.transforms import split_batch, with_context
from nnunet_doselo.dataset.folder import raw_dataset
from nnunet_doselo.dataset.guidance import NO_STRUCTURES, DoseGuidance
from nnunet_doselo.losses.axial import AxialDoseLoss, AxialLayout
from nnunet_doselo.losses.balance import GradientNorms, balanced_weight, measured_epochs
from nnunet_doselo.losses.compound import DoseGuidedLoss
from nnunet_doselo.losses.forms import DoseForm
from nnunet_doselo.losses.heads import Heads
from nnunet_doselo.losses.voxel import make_voxel_loss
from nnunet_doselo.predictor.artifact import FrozenPredictor
from nnunet_doselo.trainer.domain import nnUNetTrainerInDomain
from nnunet_doselo.trainer.log import NEXT_WEIGHT, WEIGHT, DoseLogger, log_terms, mean_terms, save_if_best_dose
from nnunet_doselo.trainer.seeds import set_seeds
from nnunet_doselo.trainer.trainer_names import TRAINERS, TrainerSettings


class nnUNetTrainerOfLength(nnUNetTrainerInDomain):
    """nnU-Net's own trainer but for its number of epochs and of iterations, its seed, and its augmentation if asked."""

    settings: TrainerSettings = TRAINERS["nnUNetTrainer"].settings

    # nnU-Net reads this signature and looks every name up in its own __init__: it must stay as it is there
    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        if self.settings.seed is not None:
            set_seeds(self.settings.seed, self.local_rank)
        if self.settings.num_epochs is not None:
            self.num_epochs = self.settings.num_epochs
        if self.settings.iterations_per_epoch is not None:
            self.num_iterations_per_epoch = self.settings.iterations_per_epoch
            self.num_val_iterations_per_epoch = max(1, self.settings.iterations_per_epoch // 5)
        if self.settings.initial_lr is not None:
            self.initial_lr = self.settings.initial_lr


class nnUNetTrainerBCE(nnUNetTrainerOfLength):
    """Binary cross-entropy in place of nnU-Net's loss: what dose guidance is added to, and measured against."""

    settings = TRAINERS["nnUNetTrainerBCE"].settings

    def _build_loss(self) -> nn.Module:
        loss = super()._build_loss()
        if not isinstance(loss, DeepSupervisionWrapper):
            return make_voxel_loss(self.settings.voxel_loss, loss, self._heads())
        loss.loss = make_voxel_loss(self.settings.voxel_loss, loss.loss, self._heads())
        return loss

    def _heads(self) -> Heads:
        """The network's foreground channels; none carries dose in a dataset without dose guidance."""
        labels = self.dataset_json["labels"]
        names = [name for name in labels if name not in NO_STRUCTURES]
        if not self.label_manager.has_regions:
            names.sort(key=labels.get)  # softmax channels follow label values, regions the order of the file
        guidance = DoseGuidance.if_declared(self.dataset_json, self.plans_manager.dataset_name)
        prescribed = guidance.target_fraction(labels) if guidance else {}
        fractions = tuple(prescribed.get(name, 0.0) for name in names)
        return Heads(fractions, self.label_manager.has_regions, self.label_manager.ignore_label)


class nnUNetTrainerDOSELO(nnUNetTrainerBCE):
    """BCE + lambda * L_DSL: the network is told how the dose planned on its contour would differ (paper, eq. 4)."""

    settings = TRAINERS["nnUNetTrainerDOSELO"].settings

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.logger.local_logger = DoseLogger(self.logger.local_logger.verbose)

    def _build_loss(self) -> nn.Module:
        return DoseGuidedLoss(super()._build_loss(), self.settings.dose_weight_in(self.current_epoch))

    def on_train_start(self) -> None:
        self._attach_dose_loss()
        super().on_train_start()

    def _attach_dose_loss(self) -> None:
        """Check everything that dose guidance needs, before anything is trained."""
        guidance = DoseGuidance.from_dataset_json(self.dataset_json, self.plans_manager.dataset_name)
        require_guidable(self.plans_manager, self.configuration_manager, self.configuration_name)
        dim = len(self.configuration_manager.patch_size)
        predictor = self.keep_to_domain(self.device)
        self._record(predictor)
        self.context = ContextFolder(
            raw_dataset(self.plans_manager.dataset_name),
            Path(self.preprocessed_dataset_folder),
            self.plans_manager.plans,
            self.configuration_name,
        )
        if not self.was_initialized:
            self.initialize()
        self.loss.dose_loss = AxialDoseLoss(
            AxialLayout.of(self.plans_manager.transpose_forward, dim, predictor.card.dim),
            predictor,
            self._heads(),
            guidance.prescription_gy,
            self.configuration_manager.spacing,
            predictor.card.spacing_mm,
            hard=self.settings.straight_through,
            form=DoseForm(**self.settings.form),
        )

    def _record(self, predictor: FrozenPredictor) -> None:
        """Name the predictor in the log and in every checkpoint; a resumed run must go on with the same one."""
        begun_with = self.my_init_kwargs.get("dose_predictor_sha256", predictor.sha256)
        if begun_with != predictor.sha256:
            raise DoseloError(
                f"{predictor.path}: SHA-256 {predictor.sha256}, but this run was started with the predictor "
                f"{begun_with}; put that one back, or start a new run"
            )
        self.my_init_kwargs["dose_predictor_sha256"] = predictor.sha256
        self.logger.update_config({"dose_predictor_sha256": predictor.sha256, **asdict(self.settings)})
        self.print_to_log_file(f"Dose predictor {predictor.path}, SHA-256 {predictor.sha256}")
        self.print_to_log_file(f"Its error on cases it had not seen: {predictor.card.validation}; {self.settings}")
        self.print_to_log_file(sensitivity_line(predictor.card.sensitivity))

    def get_tr_and_val_datasets(self) -> tuple[DatasetWithContext, DatasetWithContext]:
        training, validation = super().get_tr_and_val_datasets()
        if self.local_rank == 0:
            self.context.build([*training.identifiers, *validation.identifiers], processes=default_processes())
        if self.is_ddp:
            torch.distributed.barrier()
        folder = self.context.folder
        return DatasetWithContext(training, folder), DatasetWithContext(validation, folder)

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> ComposeTransforms:
        return with_context(super().get_training_transforms(*args, **kwargs))

    @staticmethod
    def get_validation_transforms(*args: Any, **kwargs: Any) -> ComposeTransforms:
        return with_context(nnUNetTrainer.get_validation_transforms(*args, **kwargs))

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.loss.weight = self._dose_weight()
        measures = self.settings.balance is not None and self.current_epoch < measured_epochs(self.num_epochs)
        self.loss.norms = GradientNorms() if measures else None

    def _dose_weight(self) -> float:
        """lambda of this epoch; a balanced one as the last measured epoch left it, so the first epoch has none."""
        if self.settings.balance is None:
            return self.settings.dose_weight_in(self.current_epoch)
        return self.logger.get_value(NEXT_WEIGHT, step=None)[self.current_epoch - 1] if self.current_epoch else 0.0

    def _log_weight(self) -> None:
        """lambda of this epoch, and that of the next: measured, or held."""
        weight = self.loss.weight
        self.logger.log(WEIGHT, weight, self.current_epoch)
        self.print_to_log_file(f"lambda {weight:.4g}")
        if self.settings.balance is not None and self.loss.norms is not None:
            weight = balanced_weight(self.settings.balance, *self.loss.norms.take())
        self.logger.log(NEXT_WEIGHT, weight, self.current_epoch)

    def train_step(self, batch: dict) -> dict:
        image, oars, ct_hu = split_batch(batch["data"].to(self.device, non_blocking=True))
        with self.loss.context(oars, ct_hu):
            result = super().train_step({**batch, "data": image})
        return {**result, **self._terms()}

    def validation_step(self, batch: dict) -> dict:
        image, oars, ct_hu = split_batch(batch["data"].to(self.device, non_blocking=True))
        with self.loss.context(oars, ct_hu):
            result = super().validation_step({**batch, "data": image})
        return {**result, **self._terms()}

    def _terms(self) -> dict[str, np.ndarray]:
        return {f"{name}_term": value.cpu().numpy() for name, value in self.loss.terms.items()}

    def on_train_epoch_end(self, train_outputs: list[dict]) -> None:
        super().on_train_epoch_end(train_outputs)
        self._log_terms("train", train_outputs)
        self._log_weight()

    def on_validation_epoch_end(self, val_outputs: list[dict]) -> None:
        super().on_validation_epoch_end(val_outputs)
        self._log_terms("val", val_outputs)

    def _log_terms(self, phase: str, outputs: list[dict]) -> None:
        """Both terms on their own and unweighted, and the dose term as root mean square in Gy."""
        terms = mean_terms(outputs, self.loss.dose_loss.prescription_gy)
        log_terms(self.logger, phase, terms, self.current_epoch)
        voxel, dose, rms_gy = terms.values()
        self.print_to_log_file(f"{phase}: voxel loss {voxel:.4f}, dose term {dose:.5f} (RMS {rms_gy:.2f} Gy)")

    def on_epoch_end(self) -> None:
        super().on_epoch_end()
        save_if_best_dose(self)


class nnUNetTrainerDOSELO_DiceCE(nnUNetTrainerDOSELO):
    """nnU-Net's own loss + lambda * L_DSL."""

    settings = TRAINERS["nnUNetTrainerDOSELO_DiceCE"].settings


def require_guidable(plans: PlansManager, configuration: ConfigurationManager, name: str) -> None:
    """Raises DoseloError for the second stage of a cascade, and for 2d slices that are not axial.

    3d patches may have any order of axes: they are turned back before the dose is predicted (`losses.axial`).
    """
    if configuration.previous_stage_name is not None:
        raise DoseloError(
            f"configuration {name}: the second stage of a cascade cannot be dose-guided, because nnU-Net brings the "
            "first stage's contour along in the place where the organs travel here; train 3d_fullres, or "
            f"{configuration.previous_stage_name} alone"
        )
    if len(configuration.patch_size) == 2 and plans.transpose_forward[0] != 0:
        axis = ["axial", "coronal", "sagittal"][plans.transpose_forward[0]]
        raise DoseloError(
            f"configuration {name}: slices must be axial, but nnU-Net cuts {axis} ones here (it cuts across the axis "
            f"of largest spacing; transpose_forward is {plans.transpose_forward}). Train 3d_fullres, or convert the "
            "data with slice spacing not below in-plane spacing, for example isotropic, and plan again"
        )
