"""`checkpoint_best_dose.pth`: the epoch whose smoothed dose error in validation is lowest, beside nnU-Net's best Dice.

Which epochs were better is read from the log that every checkpoint holds, so a resumed training goes on with it.
"""

import os

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunet_doselo.common.nnunet_environment import BEST_DOSE_CHECKPOINT
from nnunet_doselo.trainer.log import SMOOTHED, is_lowest


def save_if_best(trainer: nnUNetTrainer) -> None:
    """To be called when nnU-Net has ended an epoch: log complete, `current_epoch` counted on."""
    history = trainer.logger.get_value(SMOOTHED, step=None)
    if not is_lowest(history):
        return
    trainer.print_to_log_file(f"New lowest dose error in validation: {history[-1]:.2f} Gy (moving average)")
    trainer.current_epoch -= 1  # nnU-Net stores the number of the epoch to come, one more than this
    trainer.save_checkpoint(os.path.join(trainer.output_folder, BEST_DOSE_CHECKPOINT))
    trainer.current_epoch += 1
