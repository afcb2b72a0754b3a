"""The training loop's arithmetic, for Lightning: deep supervision of both stages, dose error in Gy."""

import math

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from nnunet_doselo.predictor.network import DosePredictor, NetworkSettings

from .slices import Sample

FIRST_STAGE_WEIGHT = 0.5
WARM_UP = 0.05


def masked_mean_square(reference: Tensor, evaluated: Tensor, counts: Tensor) -> Tensor:
    """Mean of (reference - evaluated)^2 where `counts`; 0 where nothing counts."""
    return ((reference - evaluated).square() * counts).sum() / counts.sum().clamp_min(1)


def masked_mean_absolute(reference: Tensor, evaluated: Tensor, counts: Tensor) -> Tensor:
    """Mean of |reference - evaluated| where `counts`; 0 where nothing counts."""
    return ((reference - evaluated).abs() * counts).sum() / counts.sum().clamp_min(1)


def warm_up_then_cosine(step: int, total_steps: int) -> float:
    """Share of the highest learning rate: rises over the first 5 % of the steps, then falls to 0 as a half cosine."""
    warm_up = max(1.0, WARM_UP * total_steps)
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm_up) / max(1.0, total_steps - warm_up))))


class DosePredictorModule(L.LightningModule):
    """Trains a `DosePredictor`: 0.5 * L2(first stage) + L2(second stage), inside the body, in units of Rx."""

    def __init__(self, settings: NetworkSettings, learning_rate: float, total_steps: int) -> None:
        super().__init__()
        self.network = DosePredictor(settings).to(memory_format=torch.channels_last)
        self.learning_rate = learning_rate
        self.total_steps = total_steps

    def training_step(self, batch: Sample, batch_index: int) -> Tensor:
        reference = batch["dose"] / self.network.prescription_gy
        first, second = self.network.stages(batch["target"], batch["oars"], batch["ct"])
        coarse = masked_mean_square(reference, first.float(), batch["counts"])
        fine = masked_mean_square(reference, second.float(), batch["counts"])
        loss = FIRST_STAGE_WEIGHT * coarse + fine
        self.log("train_loss", loss, prog_bar=True, on_step=False, on_epoch=True)
        self.log("train_rmse_gy", fine.sqrt() * self.network.prescription_gy, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Sample, batch_index: int) -> None:
        """`batch` is one whole case, (slices, 1, Y, X)."""
        dose = torch.cat(
            [
                self.network(t, o, c)
                for t, o, c in zip(*(batch[k].split(16) for k in ("target", "oars", "ct")), strict=True)
            ]
        )
        error = masked_mean_absolute(batch["dose"], dose, batch["counts"])
        self.log("val_mae_gy", error, prog_bar=True, on_epoch=True, batch_size=1)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warm_up_then_cosine(step, self.total_steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
