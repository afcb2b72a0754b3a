"""What is typed after --trainers, --lambdas, --folds and --seeds, and what trainers' names say of their trainings."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.nnunet_environment import STOCK_TRAINER
from nnunet_doselo.trainer.trainer_names import TRAINERS, TrainerSettings, parse_trainer_name

NNUNETS_EPOCHS, NNUNETS_ITERATIONS = 1000, 250


@dataclass(frozen=True)
class Length:
    """Epochs, and batches of each."""

    epochs: int
    iterations: int

    def __str__(self) -> str:
        return f"{self.epochs} epochs of {self.iterations} iterations"


def parse_numbers(typed: Sequence[str], option: str) -> tuple[int, ...]:
    """
    >>> parse_numbers(["0-2", "4"], "--folds")
    (0, 1, 2, 4)

    Raises
    ------
    DoseloError: neither a number nor a range of them.
    """
    numbers: set[int] = set()
    for text in typed:
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise DoseloError(f"{option} takes numbers and ranges, for example 0-4 or 0 2 3, found {text}")
        numbers |= {*range(int(match[1]), int(match[2] or match[1]) + 1)}
    if not numbers:
        raise DoseloError(f"{option} takes at least one number, found none")
    return tuple(sorted(numbers))


def with_lambdas(trainers: Sequence[str], lambdas: Sequence[float]) -> tuple[str, ...]:
    """The trainers, and after each that has a dose term and no lambda in its name, its variants with these lambdas.

    A variant that means the same as a trainer already there (lambda 1 is the default) is left out.

    Raises
    ------
    DoseloError: no trainer, one named twice, a name of ours with a suffix that means nothing, a negative lambda, or
        lambdas where no trainer has a dose term.
    """
    if not trainers or len({*trainers}) < len(trainers):
        raise DoseloError(
            f"--trainers takes names that are different, at least one; found {' '.join(trainers) or 'none'}"
        )
    if lambdas and not any(_swept(name) for name in trainers):
        raise DoseloError(
            f"--lambdas needs a trainer with a dose term, and without a lambda of its own; found {trainers}"
        )
    meanings = [meaning for name in trainers if (meaning := parse_trainer_name(name))]
    names: list[str] = []
    for trainer in trainers:
        names.append(trainer)
        for weight in lambdas if _swept(trainer) else ():
            variant = _variant(trainer, weight)
            if parse_trainer_name(variant) not in meanings:
                meanings.append(parse_trainer_name(variant))  # type: ignore[arg-type]
                names.append(variant)
    return tuple(names)


def _swept(name: str) -> bool:
    parsed = parse_trainer_name(name)
    if parsed is None or parsed[1].dose_weight is None:
        return False
    return parsed[1].balance is None and "_lambda" not in name


def _variant(name: str, weight: float) -> str:
    if not weight >= 0:
        raise DoseloError(f"--lambdas takes numbers from 0, found {weight}")
    base, _ = parse_trainer_name(name)  # type: ignore[misc]
    number = format(Decimal(str(weight)).normalize(), "f").replace(".", "p")
    return f"{base}_lambda{number}{name[len(base) :]}"


def require_seedable(trainers: Sequence[str], *, several_seeds: bool) -> None:
    """That --seeds decides where trainings start, and nothing else.

    Raises
    ------
    DoseloError: a name carries a seed already, or cannot carry one though there are several.
    """
    for name in trainers:
        parsed = parse_trainer_name(name)
        if parsed and parsed[1].seed is not None:
            raise DoseloError(f"--trainers takes names without a seed, which --seeds gives them; found {name}")
        if several_seeds and parse_trainer_name(f"{name}_seed0") is None:
            raise DoseloError(f"--seeds with several seeds needs trainers that know the suffix _seedN, found {name}")


def is_guided(name: str) -> bool:
    """Has it a dose term, so that it needs a dose predictor?"""
    parsed = parse_trainer_name(name)
    return parsed is not None and parsed[1].dose_weight is not None


def keeps_to_domain(name: str) -> bool:
    """Is its augmentation within what the dose predictor has seen, so that it needs one?"""
    parsed = parse_trainer_name(name)
    return is_guided(name) or (parsed is not None and parsed[1].in_domain)


def length_of(name: str) -> Length | None:
    """Of a training with that trainer; None for a trainer that is neither ours nor one of nnU-Net's lengths."""
    if (parsed := parse_trainer_name(name)) is not None:
        settings = parsed[1]
        return Length(settings.num_epochs or NNUNETS_EPOCHS, settings.iterations_per_epoch or NNUNETS_ITERATIONS)
    match = re.fullmatch(rf"{STOCK_TRAINER}(?:_(\d+)epochs?)?", name)
    return Length(int(match[1] or NNUNETS_EPOCHS), NNUNETS_ITERATIONS) if match else None


def require_one_length(lengths: dict[str, Length | None]) -> Length | None:
    """The length that all trainings have; None if it is known of none.

    Raises
    ------
    DoseloError: two of them differ.
    """
    known = {name: length for name, length in lengths.items() if length}
    if len({*known.values()}) > 1:
        (first, length), *rest = known.items()
        other, other_length = next((name, differing) for name, differing in rest if differing != length)
        raise DoseloError(
            f"all trainers must train equally long, found {first} with {length} and {other} with {other_length}; a "
            "suffix like _100epochs_250iterations sets both"
        )
    return next(iter(known.values()), None)


def titles(names: Sequence[str]) -> dict[str, str]:
    """Short titles for figures, without the length of the training; whole names where they would be ambiguous.

    >>> titles(["nnUNetTrainer_5epochs", "nnUNetTrainerDOSELO_lambda0p1_5epochs"])
    {'nnUNetTrainer_5epochs': 'nnU-Net', 'nnUNetTrainerDOSELO_lambda0p1_5epochs': 'DOSELO λ=0.1'}
    """
    short = {name: _title(name) for name in names}
    return short if len({*short.values()}) == len(short) else {name: name for name in names}


def _title(name: str) -> str:
    if re.fullmatch(rf"{STOCK_TRAINER}(_\d+epochs?)?(_\d+iterations)?", name):
        return "nnU-Net"
    parsed = parse_trainer_name(name)
    if parsed is None:
        return name
    base, settings = parsed
    kind = base.removeprefix(STOCK_TRAINER).replace("_", " ") or "nnU-Net"
    return " ".join([kind, *_differences(settings, TRAINERS[base].settings)])


def _differences(settings: TrainerSettings, usual: TrainerSettings) -> list[str]:
    said = {
        "dose_weight": f"λ={settings.dose_weight:g}" if settings.dose_weight is not None else "",
        "straight_through": "straight-through" if settings.straight_through else "soft",
        "in_domain": "domain",
        "warmup_epochs": f"warm-up {settings.warmup_epochs}",
        "balance": f"balance {settings.balance}",
        "distant": "distant",
        "pull": settings.pull,
        "error": settings.error,
        "margin": f"margin {100 * settings.margin:g} %",
        "initial_lr": f"learning rate {settings.initial_lr}",
    }
    return [text for name, text in said.items() if getattr(settings, name) != getattr(usual, name)]
