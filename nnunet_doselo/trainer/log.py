"""What a guided training writes down each epoch beside nnU-Net's figures: both terms of the loss, and the dose error.

The dose error is the root mean square in Gy over an epoch's batches. That of validation is smoothed as nnU-Net smooths
its Dice, because an epoch's validation is some fifty random batches: a single one would be luck.
The epoch whose smoothed error is lowest is kept as `checkpoint_best_dose.pth`, beside nnU-Net's best Dice. Which epochs
were better is read from the log that every checkpoint holds, so a resumed training goes on with it.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.logging.nnunet_logger import LocalLogger, MetaLogger
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.collate_outputs import collate_outputs

from nnunet_doselo.common.nnunet_environment import BEST_DOSE_CHECKPOINT
from nnunet_doselo.trainer.dose_panel import append_dose_panel

TERMS = ("voxel_loss", "dose_term", "dose_rms_gy")
SMOOTHED = "val_ema_dose_rms_gy"
WEIGHT, NEXT_WEIGHT = "dose_weight", "next_dose_weight"
LOGGED_KEYS = (*(f"{phase}_{name}" for phase in ("train", "val") for name in TERMS), SMOOTHED, WEIGHT, NEXT_WEIGHT)
SMOOTHING = 0.9
"""Share of the past in the moving average: nnU-Net's, of its Dice."""


class DoseLogger(LocalLogger):
    """nnU-Net's log with the terms, and its `progress.png` with a panel of them.

    Epochs of a checkpoint that was written without them are NaN.
    """

    def __init__(self, verbose: bool = False) -> None:
        super().__init__(verbose)
        self._complete()

    def load_checkpoint(self, checkpoint: dict) -> None:
        super().load_checkpoint(checkpoint)
        self._complete()

    def _complete(self) -> None:
        logged = self.my_fantastic_logging
        for key in LOGGED_KEYS:
            logged.setdefault(key, [math.nan] * len(logged["train_losses"]))

    def plot_progress_png(self, output_folder: str) -> None:
        super().plot_progress_png(output_folder)
        append_dose_panel(Path(output_folder) / "progress.png", self.my_fantastic_logging)


def mean_terms(outputs: list[dict], prescription_gy: float) -> dict[str, float]:
    """An epoch's `TERMS` from what its steps returned; of all processes, where there are several."""
    collated = collate_outputs(outputs)
    voxel, dose = (float(np.mean(_of_all_processes(collated[f"{name}_term"]))) for name in ("voxel", "dose"))
    return dict(zip(TERMS, (voxel, dose, dose**0.5 * prescription_gy), strict=True))


def _of_all_processes(values: Any) -> list[Any]:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [values]
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, values)
    return gathered


def log_terms(logger: MetaLogger, phase: str, terms: dict[str, float], epoch: int) -> None:
    """Into the log of this run and every other that nnU-Net keeps; after validation with the smoothed dose error."""
    for name, value in terms.items():
        logger.log(f"{phase}_{name}", value, epoch)
    if phase == "val":
        history = logger.get_value(SMOOTHED, step=None)[:epoch]
        logger.log(SMOOTHED, smoothed_rms_gy(history, terms["dose_rms_gy"]), epoch)


def smoothed_rms_gy(history: Sequence[float], value: float) -> float:
    """The moving average with one more value; it starts anew where there is none, or none that is a number."""
    if not history or math.isnan(history[-1]):
        return value
    return SMOOTHING * history[-1] + (1 - SMOOTHING) * value


def is_lowest(history: Sequence[float]) -> bool:
    """Is the last value below all before it? Epochs without a number do not count."""
    *earlier, last = history
    return all(last < value for value in earlier if not math.isnan(value)) and not math.isnan(last)


def save_if_best_dose(trainer: nnUNetTrainer) -> None:
    """To be called when nnU-Net has ended an epoch: log complete, `current_epoch` counted on."""
    history = trainer.logger.get_value(SMOOTHED, step=None)
    if not is_lowest(history):
        return
    trainer.print_to_log_file(f"New lowest dose error in validation: {history[-1]:.2f} Gy (moving average)")
    trainer.current_epoch -= 1  # nnU-Net stores the number of the epoch to come, one more than this
    trainer.save_checkpoint(os.path.join(trainer.output_folder, BEST_DOSE_CHECKPOINT))
    trainer.current_epoch += 1
