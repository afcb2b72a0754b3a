"""The paper's pair (its section 3.1): the same network, trained alike, with the dose term or with soft Dice beside BCE.

Adam (0.9, 0.999), batch normalisation, dropout 0.2, learning rate 1e-4, 2e4 iterations, batches of 16. The paper names
no schedule, so the rate stays. Of what it does not say, nnU-Net's is kept: depth and width of the U-Net, deep
supervision, patch size, augmentation, weight decay, clipping of gradients, channel-wise dropout after each convolution.
"""

from copy import deepcopy
from typing import Any

import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunet_doselo.trainer.guided import nnUNetTrainerBCE, nnUNetTrainerDOSELO, nnUNetTrainerOfLength
from nnunet_doselo.trainer.trainer_names import TRAINERS

BATCH_SIZE = 16
DROPOUT = 0.2
LEARNING_RATE = 1e-4
BETAS = (0.9, 0.999)


def paper_plans(plans: dict[str, Any], configuration: str) -> dict[str, Any]:
    """A copy of the plans with the paper's batch size and layers in that configuration.

    nnU-Net builds networks from plans, and keeps those of a training beside its checkpoints: so prediction, with this
    package or without it, builds the network that was trained.
    """
    adapted = deepcopy(plans)
    resolved = PlansManager(adapted).get_configuration(configuration).configuration
    adapted["configurations"][configuration] |= {
        "batch_size": BATCH_SIZE,
        "architecture": _paper_layers(resolved["architecture"], dimension=len(resolved["patch_size"])),
    }
    return adapted


def _paper_layers(architecture: dict[str, Any], dimension: int) -> dict[str, Any]:
    layers = {
        "norm_op": f"torch.nn.modules.batchnorm.BatchNorm{dimension}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": f"torch.nn.modules.dropout.Dropout{dimension}d",
        "dropout_op_kwargs": {"p": DROPOUT},
    }
    by_name = [*dict.fromkeys([*architecture["_kw_requires_import"], "norm_op", "dropout_op"])]
    return {**architecture, "arch_kwargs": {**architecture["arch_kwargs"], **layers}, "_kw_requires_import": by_name}


class PaperTraining(nnUNetTrainerOfLength):
    """The paper's network and optimizer, for a trainer that brings the loss."""

    # nnU-Net reads this signature and looks every name up in its own __init__: it must stay as it is there
    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008
    ) -> None:
        super().__init__(paper_plans(plans, configuration), configuration, fold, dataset_json, device)
        self.initial_lr = LEARNING_RATE

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, PolyLRScheduler]:
        weights = self.network.parameters()
        optimizer = torch.optim.Adam(weights, self.initial_lr, betas=BETAS, weight_decay=self.weight_decay)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs, exponent=0)


class nnUNetTrainerDOSELO_paper(PaperTraining, nnUNetTrainerDOSELO):
    """The paper's loss, trained as in the paper."""

    settings = TRAINERS["nnUNetTrainerDOSELO_paper"].settings


class nnUNetTrainerBCEDice_paper(PaperTraining, nnUNetTrainerBCE):
    """The paper's baseline, BCE + soft Dice, trained alike."""

    settings = TRAINERS["nnUNetTrainerBCEDice_paper"].settings
