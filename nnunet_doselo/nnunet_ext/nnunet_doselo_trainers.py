"""What nnU-Net imports when it looks for a trainer: one small module that answers for the installed package.

nnU-Net asks `hasattr(module, trainer_name)`; trainers with suffixes are made when they are asked for.
"""

import sys
from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("nnUNetTrainer"):
        found = _trainer_classes().trainer_class(name)
        if found is not None:
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _trainer_classes() -> Any:
    try:
        from nnunet_doselo.trainer import classes as trainer_classes
    except ModuleNotFoundError as error:
        if error.name != "nnunet_doselo":
            raise
        raise RuntimeError(
            f"nnUNet_extTrainer names {__file__}, but its package nnunet-doselo is not installed for {sys.executable}; "
            "install it there with pip, or take the line that `doselo env` prints in the environment where it is"
        ) from None
    return trainer_classes
