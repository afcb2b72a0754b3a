"""nnU-Net's own speed benchmark with dose guidance: 5 epochs, and `benchmark_result.json` with the fastest.

Protocol and file are nnU-Net's (`nnUNetTrainerBenchmark_5epochs`, fold 0, CUDA only): results can be laid side by side.
"""

import torch
from nnunetv2.training.nnUNetTrainer.variants.benchmarking.nnUNetTrainerBenchmark_5epochs import (
    nnUNetTrainerBenchmark_5epochs,
)
from nnunetv2.training.nnUNetTrainer.variants.benchmarking.nnUNetTrainerBenchmark_5epochs_noDataLoading import (
    nnUNetTrainerBenchmark_5epochs_noDataLoading,
)
from torch import Tensor

from nnunet_doselo.dataset.geometry import AIR_HU
from nnunet_doselo.dataset.guidance import DoseGuidance
from nnunet_doselo.trainer.guided import nnUNetTrainerDOSELO
from nnunet_doselo.trainer.trainer_names import TRAINERS


class nnUNetTrainerDOSELO_benchmark(nnUNetTrainerDOSELO, nnUNetTrainerBenchmark_5epochs):
    """BCE + lambda * L_DSL under nnU-Net's benchmark protocol."""

    settings = TRAINERS["nnUNetTrainerDOSELO_benchmark"].settings

    def run_training(self) -> None:
        self._attach_dose_loss()  # a refusal ends the run here; inside, nnU-Net would count it as a crash to report
        super().run_training()


class nnUNetTrainerDOSELO_benchmark_noDataLoading(nnUNetTrainerDOSELO, nnUNetTrainerBenchmark_5epochs_noDataLoading):
    """The same on one made-up batch: what the device does, without the time that loading takes."""

    settings = TRAINERS["nnUNetTrainerDOSELO_benchmark_noDataLoading"].settings

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        guidance = DoseGuidance.from_dataset_json(dataset_json, self.plans_manager.dataset_name)
        image = self.dummy_batch["data"]
        self.dummy_batch["data"] = with_dummy_context(image, highest_organ=max(guidance.organ_labels, default=0))

    def run_training(self) -> None:
        self._attach_dose_loss()
        super().run_training()


def with_dummy_context(image: Tensor, highest_organ: int) -> Tensor:
    """Images (B, C, *S) -> (B, C + 2, *S) as the loader gives them: with a CT of soft tissue and random organs."""
    ct_hu = 100 * torch.rand_like(image[:, :1])
    organs = torch.randint(0, highest_organ + 1, ct_hu.shape, device=image.device)
    return torch.cat([image, ct_hu - AIR_HU, organs.to(image.dtype)], dim=1)
