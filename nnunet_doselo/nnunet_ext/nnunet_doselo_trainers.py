"""What nnU-Net imports when it looks for a trainer: one small module that answers for the installed package.

nnU-Net asks `hasattr(module, trainer_name)`; trainers with suffixes are made when they are asked for.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("nnUNetTrainer"):
        from nnunet_doselo.trainer import trainer_class

        found = trainer_class(name)
        if found is not None:
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
