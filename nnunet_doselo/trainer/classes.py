"""From a trainer's name to its class; a name with suffixes gets a class of its own, made when it is asked for."""

from nnunet_doselo.common.nnunet_environment import STOCK_TRAINER
from nnunet_doselo.trainer.guided import (
    nnUNetTrainerBCE,
    nnUNetTrainerDOSELO,
    nnUNetTrainerDOSELO_DiceCE,
    nnUNetTrainerOfLength,
)
from nnunet_doselo.trainer.paper import nnUNetTrainerBCEDice_paper, nnUNetTrainerDOSELO_paper
from nnunet_doselo.trainer.speed import nnUNetTrainerDOSELO_benchmark, nnUNetTrainerDOSELO_benchmark_noDataLoading
from nnunet_doselo.trainer.trainer_names import parse_trainer_name

_CLASSES: dict[str, type[nnUNetTrainerOfLength]] = {
    STOCK_TRAINER: nnUNetTrainerOfLength,
    **{
        cls.__name__: cls
        for cls in (
            nnUNetTrainerBCE,
            nnUNetTrainerDOSELO,
            nnUNetTrainerDOSELO_DiceCE,
            nnUNetTrainerDOSELO_paper,
            nnUNetTrainerBCEDice_paper,
            nnUNetTrainerDOSELO_benchmark,
            nnUNetTrainerDOSELO_benchmark_noDataLoading,
        )
    },
}


def trainer_class(name: str) -> type[nnUNetTrainerOfLength] | None:
    """The trainer of that name; None if the name is none of ours.

    Raises
    ------
    DoseloError: one of ours with a suffix that means nothing.
    """
    parsed = parse_trainer_name(name)
    if parsed is None:
        return None
    base, settings = parsed
    if name not in _CLASSES:
        _CLASSES[name] = type(name, (_CLASSES[base],), {"settings": settings, "__module__": __name__})
    return _CLASSES[name]
