"""The training loop's arithmetic, for Lightning: deep supervision of both stages, dose error in Gy."""

import math

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torchmetrics import MeanMetric

from nnunet_doselo.predictor.inputs import at_least_single
from nnunet_doselo.predictor.network import DosePredictor, NetworkSettings
from nnunet_doselo.predictor.slabs import predict_in_slabs

from ..data.samples import Sample
from .losses import ERRORS, dvh_distance, masked_mean_absolute
from .processes import mean_over_processes

FIRST_STAGE_WEIGHT = 0.5
TARGET_INSIDE = 0.5
"""Prescribed dose / Rx above which a voxel, possibly of a blurred mask, counts as target."""
WARM_UP = 0.05
AVERAGE_DECAY = 0.995


def warm_up_then_cosine(step: int, total_steps: int) -> float:
    """Share of the highest learning rate: rises over the first 5 % of the steps, then falls to 0 as a half cosine."""
    warm_up = max(1.0, WARM_UP * total_steps)
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm_up) / max(1.0, total_steps - warm_up))))


def moving_average(average: Tensor, current: Tensor, updates: int | Tensor) -> Tensor:
    """Exponential moving average of a weight, of any shape; the average is what is validated and exported.

    Its memory grows with the number of updates so far, up to 200 steps; counters are taken over as they are.
    """
    if not current.is_floating_point():
        return current
    kept = min(AVERAGE_DECAY, (1 + int(updates)) / (10 + int(updates)))
    return average * kept + current * (1 - kept)


class DosePredictorModule(L.LightningModule):
    """Trains a `DosePredictor`: 0.5 * error(first stage) + error(second stage) + dvh_weight * DVH distance.

    error: "l1" or "l2", inside the body, in units of Rx. dvh_weight: of `losses.dvh_distance` over organs and targets.
    Of several processes that share a batch, the mean of their losses is the loss of the batch.
    """

    def __init__(
        self,
        settings: NetworkSettings,
        learning_rate: float,
        total_steps: int,
        *,
        error: str = "l1",
        dvh_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.network = DosePredictor(settings)
        if settings.dim == 2:
            self.network = self.network.to(memory_format=torch.channels_last)
        self.learning_rate = learning_rate
        self.total_steps = total_steps
        self.error = ERRORS[error]
        self.dvh_weight = dvh_weight
        # a mean over all processes' cases; a run that diverged must be seen, so NaN is kept
        self.validation_error_gy = MeanMetric(nan_strategy="disable")

    def training_step(self, batch: Sample, batch_index: int) -> Tensor:
        reference = batch["dose"] / self.network.prescription_gy
        stages = self.network.stages(batch["target"], batch["oars"], batch["ct"])
        first, second = (at_least_single(stage) for stage in stages)
        coarse = self.error(reference, first, batch["counts"], mean_over_processes)
        fine = self.error(reference, second, batch["counts"], mean_over_processes)
        loss = FIRST_STAGE_WEIGHT * coarse + fine
        if self.dvh_weight:
            distance = dvh_distance(reference, second, self._structures(batch), mean_over_processes)
            self._log_epoch("train_dvh_gy", distance * self.network.prescription_gy)
            loss = loss + self.dvh_weight * distance
        absolute = masked_mean_absolute(reference, second.detach(), batch["counts"], mean_over_processes)
        self._log_epoch("train_loss", loss, prog_bar=True)
        self._log_epoch("train_mae_gy", absolute * self.network.prescription_gy)
        return loss

    def _log_epoch(self, name: str, value: Tensor, *, prog_bar: bool = False) -> None:
        """The epoch's mean, over all processes."""
        self.log(name, value, prog_bar=prog_bar, on_step=False, on_epoch=True, sync_dist=True)

    def _structures(self, batch: Sample) -> Tensor:
        """(B, organs + 1, *S): each organ, and all targets as one."""
        labels = self.network.organ_labels
        organs = batch["oars"] == labels.view(1, -1, *[1] * (batch["oars"].dim() - 2))
        return torch.cat([organs, batch["target"] > TARGET_INSIDE], dim=1)

    def validation_step(self, batch: Sample, batch_index: int) -> None:
        """`batch` is one whole case, slices (slices, 1, Y, X) or a volume (1, 1, Z, Y, X); or empty, see the loader."""
        if batch:
            self.validation_error_gy.update(self._case_error_gy(batch))
        self.log("val_mae_gy", self.validation_error_gy, prog_bar=True, on_epoch=True, batch_size=1)

    def _case_error_gy(self, batch: Sample) -> Tensor:
        images = (batch["target"], batch["oars"], batch["ct"])
        dose = predict_in_slabs(self.network, *images) if batch["ct"].dim() == 5 else self._in_batches(*images)
        return masked_mean_absolute(batch["dose"], dose, batch["counts"])

    def _in_batches(self, *images: Tensor) -> Tensor:
        """Dose of the slices of a case, sixteen at a time."""
        return torch.cat([self.network(*slices) for slices in zip(*(x.split(16) for x in images), strict=True)])

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warm_up_then_cosine(step, self.total_steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
