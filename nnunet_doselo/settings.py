"""What a trainer's name says: nnU-Net gives trainers no arguments, so a name carries what a run varies."""

import re
from dataclasses import dataclass, replace

from nnunet_doselo.errors import DoseloError

SUFFIXES = {
    r"lambda(\d+(?:p\d+)?)": "lambdaX: weight of the dose term, p for the decimal point (lambda0p1)",
    r"(\d+)epochs": "Nepochs: length of the training",
    r"(\d+)iterations": "Niterations: batches an epoch (validation: a fifth of it)",
    r"(straightthrough)": "straightthrough: the predictor sees decisions, the gradient passes as if probabilities",
}


@dataclass(frozen=True)
class TrainerSettings:
    """`dose_weight` is lambda, None without dose term; None elsewhere means nnU-Net's default."""

    binary_cross_entropy: bool = True
    dose_weight: float | None = 1.0
    num_epochs: int | None = None
    iterations_per_epoch: int | None = None
    straight_through: bool = False


BASES = {
    "nnUNetTrainerDOSELO_DiceCE": TrainerSettings(binary_cross_entropy=False),
    "nnUNetTrainerDOSELO": TrainerSettings(),
    "nnUNetTrainerBCE": TrainerSettings(dose_weight=None),
    "nnUNetTrainer": TrainerSettings(binary_cross_entropy=False, dose_weight=None),
}
STOCK = "nnUNetTrainer"
STOCK_NAME = rf"{STOCK}(_\d+epochs)?_\d+iterations"
"""nnU-Net's own trainer is ours only with a number of iterations: `nnUNetTrainer_100epochs` is nnU-Net's."""


def parse_trainer_name(name: str) -> tuple[str, TrainerSettings] | None:
    """Base name and settings, or None if the name is none of ours.

    nnU-Net's own trainer is ours where its name sets the iterations (nnUNetTrainer_3epochs_40iterations): the baseline
    of a short run. Without them (nnUNetTrainer_100epochs) it is nnU-Net's.

    >>> parse_trainer_name("nnUNetTrainerDOSELO_lambda0p1_50epochs")[1].dose_weight
    0.1

    Raises
    ------
    DoseloError: one of ours with a suffix that is unknown, given twice, out of range or without meaning there.
    """
    base = next((b for b in BASES if name == b or name.startswith(f"{b}_")), None)
    if base is None or (base == STOCK and not re.fullmatch(STOCK_NAME, name)):
        return None
    settings, seen = BASES[base], set()
    for suffix in filter(None, name[len(base) :].split("_")):
        pattern, value = _match(name, suffix)
        if pattern in seen:
            raise DoseloError(f"trainer {name}: suffix {suffix} stands twice for the same setting")
        seen.add(pattern)
        settings = _apply(name, settings, pattern, value)
    return base, settings


def _match(name: str, suffix: str) -> tuple[str, str]:
    for pattern in SUFFIXES:
        if found := re.fullmatch(pattern, suffix):
            return pattern, found[1]
    raise DoseloError(f"trainer {name}: unknown suffix {suffix}; known are {'; '.join(SUFFIXES.values())}")


def _apply(name: str, settings: TrainerSettings, pattern: str, value: str) -> TrainerSettings:
    if pattern.startswith("lambda") or value == "straightthrough":
        if settings.dose_weight is None:
            raise DoseloError(f"trainer {name}: has no dose term that a suffix could set")
        if value == "straightthrough":
            return replace(settings, straight_through=True)
        return replace(settings, dose_weight=float(value.replace("p", ".")))
    if int(value) < 1:
        raise DoseloError(f"trainer {name}: {value} is too few, must be at least 1")
    if pattern.endswith("epochs"):
        return replace(settings, num_epochs=int(value))
    return replace(settings, iterations_per_epoch=int(value))
