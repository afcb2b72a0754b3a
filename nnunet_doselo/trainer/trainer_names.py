"""What a trainer's name says: nnU-Net gives trainers no arguments, so a name carries what a run varies."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.nnunet_environment import STOCK_TRAINER


@dataclass(frozen=True)
class TrainerSettings:
    """`dose_weight` is lambda, None without dose term; None elsewhere means nnU-Net's default.

    `straight_through`: the predictor sees the network's decisions, and the gradient passes as if it saw probabilities.
    `in_domain`: augmentation stays within what the dose predictor has seen; with a dose term it always does.
    `seed`: that its generators start from.
    `balance`: ratio of gradient norms on the logits, dose term by voxel loss, that lambda follows from.
    `error`, `distant`, `pull`, `margin`: form of the dose term, see `losses.forms.DoseForm`.
    `voxel_loss` is nnU-Net's own, binary cross-entropy, or that and nnU-Net's soft Dice.
    """

    voxel_loss: Literal["nnunet", "bce", "bce_dice"] = "bce"
    dose_weight: float | None = 1.0
    num_epochs: int | None = None
    iterations_per_epoch: int | None = None
    straight_through: bool = True
    warmup_epochs: int = 0
    in_domain: bool = False
    seed: int | None = None
    balance: float | None = None
    error: Literal["squared", "relative"] = "squared"
    distant: bool = False
    pull: Literal["gradient", "attributed", "constant"] = "gradient"
    margin: float = 0.0
    initial_lr: float | None = None

    @property
    def form(self) -> dict[str, Any]:
        """The dose term's, as arguments of `losses.forms.DoseForm`."""
        return {"error": self.error, "distant": self.distant, "pull": self.pull, "margin": self.margin}

    def dose_weight_in(self, epoch: int) -> float:
        """lambda in an epoch counted from 0: rises linearly from 0, is whole after `warmup_epochs` epochs."""
        risen = min(1.0, epoch / self.warmup_epochs) if self.warmup_epochs else 1.0
        return (self.dose_weight or 0.0) * risen


@dataclass(frozen=True)
class NamedTrainer:
    """A name without suffixes: what it stands for, its loss, and what it is for."""

    settings: TrainerSettings
    loss: str
    purpose: str


PAPER_EPOCHS = 80
"""Of nnU-Net's 250 iterations: the paper's 2e4."""

TRAINERS = {
    "nnUNetTrainerDOSELO": NamedTrainer(TrainerSettings(), "BCE + lambda * dose term", "the paper's loss in nnU-Net"),
    "nnUNetTrainerDOSELO_DiceCE": NamedTrainer(
        TrainerSettings("nnunet"), "nnU-Net's own + lambda * dose term", "dose guidance beside nnU-Net's own loss"
    ),
    "nnUNetTrainerBCE": NamedTrainer(TrainerSettings(dose_weight=None), "BCE", "the ablation: what the dose term adds"),
    "nnUNetTrainerDOSELO_paper": NamedTrainer(
        TrainerSettings(num_epochs=PAPER_EPOCHS), "BCE + lambda * dose term", "trained as in the paper"
    ),
    "nnUNetTrainerBCEDice_paper": NamedTrainer(
        TrainerSettings("bce_dice", None, PAPER_EPOCHS), "BCE + soft Dice", "the paper's baseline, trained alike"
    ),
    "nnUNetTrainerDOSELO_benchmark": NamedTrainer(
        TrainerSettings(), "BCE + lambda * dose term", "speed: nnU-Net's 5 epochs, CUDA only"
    ),
    "nnUNetTrainerDOSELO_benchmark_noDataLoading": NamedTrainer(
        TrainerSettings(), "BCE + lambda * dose term", "the same on one made-up batch"
    ),
    STOCK_TRAINER: NamedTrainer(
        TrainerSettings("nnunet", None), "nnU-Net's own", "the baseline; ours with Niterations, domain or seedN"
    ),
}
STOCK_NAME = (
    rf"{STOCK_TRAINER}(?=.*_(domain|\d+iterations|seed\d+)(_|$))(_(lr[\dp]+|domain|\d+epochs|\d+iterations|seed\d+))+"
)
"""nnU-Net's own is ours only with iterations, a seed or another augmentation: `nnUNetTrainer_100epochs` is not."""


def _count(digits: str) -> int:
    if int(digits) < 1:
        raise DoseloError(f"{digits} is too few, must be at least 1")
    return int(digits)


def _decimal(digits: str) -> float:
    """0p3 is 0.3."""
    return float(digits.replace("p", "."))


@dataclass(frozen=True)
class Suffix:
    """A piece of a name, `pattern`, that gives the setting of that name the value `read` from the pattern's group."""

    setting: str
    pattern: str
    read: Callable[[str], Any]
    form: str
    meaning: str
    example: str
    of_dose_term: bool = False
    without_dose_term: bool = False


SUFFIXES = (
    Suffix(
        "dose_weight",
        r"lambda(\d+(?:p\d+)?)",
        _decimal,
        "lambdaX",
        "weight of the dose term, p for the decimal point",
        "nnUNetTrainerDOSELO_lambda0p1",
        of_dose_term=True,
    ),
    Suffix(
        "warmup_epochs",
        r"warmup(\d+)epochs",
        _count,
        "warmupNepochs",
        "lambda rises linearly from 0 over the first N epochs",
        "nnUNetTrainerDOSELO_warmup10epochs",
        of_dose_term=True,
    ),
    Suffix(
        "straight_through",
        r"(soft)",
        lambda _: False,
        "soft",
        "the predictor sees probabilities, where else it sees decisions and the gradient passes as if probabilities",
        "nnUNetTrainerDOSELO_soft",
        of_dose_term=True,
    ),
    Suffix(
        "balance",
        r"balance(\d+(?:p\d+)?)",
        _decimal,
        "balanceX",
        "lambda such that the dose term's gradient on the logits is X times the voxel loss's, measured over the first "
        "15 % of the epochs, then held",
        "nnUNetTrainerDOSELO_DiceCE_balance0p3",
        of_dose_term=True,
    ),
    Suffix(
        "distant",
        r"(distant)",
        lambda _: True,
        "distant",
        "the dose term acts only further than 10 mm from the true target",
        "nnUNetTrainerDOSELO_DiceCE_balance0p3_distant",
        of_dose_term=True,
    ),
    Suffix(
        "pull",
        r"(attributed)",
        str,
        "attributed",
        "each wrong voxel's share of the dose error weighs its cross-entropy",
        "nnUNetTrainerDOSELO_DiceCE_balance0p3_attributed",
        of_dose_term=True,
    ),
    Suffix(
        "pull",
        r"(constant)",
        str,
        "constant",
        "plain cross-entropy in place of the dose term: the control",
        "nnUNetTrainerDOSELO_DiceCE_balance0p3_distant_constant",
        of_dose_term=True,
    ),
    Suffix(
        "error",
        r"(relative)",
        str,
        "relative",
        "the dose error relative to the dose, in place of its square",
        "nnUNetTrainerDOSELO_DiceCE_balance0p3_relative",
        of_dose_term=True,
    ),
    Suffix(
        "margin",
        r"margin(\d+(?:p\d+)?)",
        lambda number: _decimal(number) / 100,
        "marginX",
        "dose differences below X % of Rx count as none",
        "nnUNetTrainerDOSELO_DiceCE_balance0p3_margin2",
        of_dose_term=True,
    ),
    Suffix(
        "initial_lr",
        r"lr(\d+(?:p\d+)?)",
        _decimal,
        "lrX",
        "first learning rate",
        "nnUNetTrainer_20epochs_100iterations_lr0p001",
    ),
    Suffix(
        "num_epochs",
        r"(\d+)epochs",
        _count,
        "Nepochs",
        "length of the training",
        "nnUNetTrainerDOSELO_100epochs",
    ),
    Suffix(
        "iterations_per_epoch",
        r"(\d+)iterations",
        _count,
        "Niterations",
        "batches an epoch (validation: a fifth of it)",
        "nnUNetTrainer_3epochs_40iterations",
    ),
    Suffix(
        "in_domain",
        r"(domain)",
        lambda _: True,
        "domain",
        "augmentation within what the dose predictor has seen, as trainers with a dose term have it",
        "nnUNetTrainer_domain",
        without_dose_term=True,
    ),
    Suffix(
        "seed",
        r"seed(\d+)",
        int,
        "seedN",
        "Python's, NumPy's and torch's random numbers start from N: first weights, and batches of this process",
        "nnUNetTrainerDOSELO_seed1",
    ),
)


def parse_trainer_name(name: str) -> tuple[str, TrainerSettings] | None:
    """Name without suffixes, and settings; None if the name is none of ours.

    nnU-Net's own trainer is ours where its name sets the iterations (nnUNetTrainer_3epochs_40iterations), the
    augmentation (nnUNetTrainer_domain) or the seed (nnUNetTrainer_seed1). Without them (nnUNetTrainer_100epochs) it is
    nnU-Net's.

    >>> parse_trainer_name("nnUNetTrainerDOSELO_lambda0p1_50epochs")[1].dose_weight
    0.1

    Raises
    ------
    DoseloError: one of ours with a suffix that is unknown, given twice, out of range or without meaning there.
    """
    base = max((known for known in TRAINERS if f"{name}_".startswith(f"{known}_")), key=len, default=None)
    if base is None or (base == STOCK_TRAINER and not re.fullmatch(STOCK_NAME, name)):
        return None
    changes: dict[str, Any] = {}
    try:
        for piece in filter(None, name[len(base) :].split("_")):
            suffix, value = _read(piece, TRAINERS[base].settings)
            if suffix.setting in changes:
                raise DoseloError(f"suffix {piece} stands twice for the same setting")
            changes[suffix.setting] = value
        return base, _checked(replace(TRAINERS[base].settings, **changes))
    except DoseloError as error:
        raise DoseloError(f"trainer {name}: {error}") from None


def _read(piece: str, settings: TrainerSettings) -> tuple[Suffix, Any]:
    suffix = next((known for known in SUFFIXES if re.fullmatch(known.pattern, piece)), None)
    if suffix is None:
        known = "; ".join(f"{known.form}: {known.meaning}" for known in SUFFIXES)
        raise DoseloError(f"unknown suffix {piece}; known are {known}; `doselo trainers` shows all")
    if suffix.of_dose_term and settings.dose_weight is None:
        raise DoseloError(f"has no dose term that a suffix could set, found {piece}")
    if suffix.without_dose_term and settings.dose_weight is not None:
        raise DoseloError(f"has a dose term, and so what the suffix {piece} gives to others")
    return suffix, suffix.read(re.fullmatch(suffix.pattern, piece)[1])  # type: ignore[index]


def _checked(settings: TrainerSettings) -> TrainerSettings:
    if settings.num_epochs is not None and settings.warmup_epochs >= settings.num_epochs:
        raise DoseloError(
            f"a warm-up of {settings.warmup_epochs} epochs must end before the training of {settings.num_epochs} does"
        )
    if settings.balance is not None and (settings.dose_weight != 1.0 or settings.warmup_epochs):
        raise DoseloError("balance sets lambda by itself; leave lambda and warmup away")
    return settings
