"""What nnU-Net imports when it looks for a trainer: one small module that answers for the installed package.

nnU-Net asks `hasattr(module, trainer_name)`; trainers with suffixes are made when they are asked for.
"""

import sys
from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("nnUNetTrainer"):
        trainer = _trainer_classes().trainer_class(name)
        if trainer is not None:
            return trainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _trainer_classes() -> Any:
    try:
        import nnunet_doselo  # noqa: F401
    except ModuleNotFoundError:
        raise RuntimeError(
            f"nnUNet_extTrainer names {__file__}, but its package nnunet-doselo is not installed for {sys.executable}; "
            "install it there with pip, or take the line that `doselo env` prints in the environment where it is"
        ) from None
    from nnunet_doselo.trainer import classes as trainer_classes

    return trainer_classes
