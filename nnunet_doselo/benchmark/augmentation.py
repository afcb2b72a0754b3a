"""Under which spatial augmentation a trainer trains, known before it does: by its name, the plans and the predictor."""

import re
from collections.abc import Sequence

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.nnunet_environment import STOCK_TRAINER
from nnunet_doselo.trainer.trainer_names import parse_trainer_name

from .names import keeps_to_domain
from .setting import Benchmark
from .training_facts import TrainingFacts


def is_stock(name: str) -> bool:
    """nnU-Net's default trainer, of any length and seed: compared as it is, under the augmentation that it has."""
    parsed = parse_trainer_name(name)
    if parsed is None:
        return re.fullmatch(rf"{STOCK_TRAINER}(_\d+epochs?)?", name) is not None
    return parsed[0] == STOCK_TRAINER and not parsed[1].in_domain


def augmentation_of(trainer: str, benchmark: Benchmark) -> str | None:
    """In words; None for trainers that are neither of this project nor nnU-Net's default: theirs is not known."""
    if benchmark.predictor_domain and keeps_to_domain(trainer):
        return str(benchmark.nnunets_domain.within(benchmark.predictor_domain))
    return str(benchmark.nnunets_domain) if is_stock(trainer) or parse_trainer_name(trainer) else None


def require_one_augmentation(benchmark: Benchmark) -> None:
    """Of all trainers of this project but nnU-Net's default one.

    Raises
    ------
    DoseloError: two differ.
    """
    alike = [name for name in benchmark.asked.trainers if parse_trainer_name(name) and not is_stock(name)]
    for name in alike:
        first, other = augmentation_of(alike[0], benchmark), augmentation_of(name, benchmark)
        if first != other:
            plain = next(each for each in (name, alike[0]) if not keeps_to_domain(each))
            raise DoseloError(
                "all trainers must train under one augmentation, and trainers with a dose term keep to what the dose "
                f"predictor has seen: with {alike[0]} patients are {first}, with {name} {other}; compare with "
                f"{plain}_domain"
            )


def require_trained_under(facts: TrainingFacts, benchmark: Benchmark, where: str) -> str | None:
    """The augmentation of a finished training in words: as its checkpoint says, else nnU-Net's.

    Raises
    ------
    DoseloError: the same trainer would now train under another.
    """
    now = augmentation_of(facts.trainer, benchmark)
    trained = facts.augmentation or (now and str(benchmark.nnunets_domain))
    if trained != now:
        raise DoseloError(
            f"{where}: patients must be {now}, as the plans and the dose predictor's card say, but were {trained}; put "
            "that predictor back, or move the training away so that it is made anew"
        )
    return trained


def augmentation_in_words(facts: Sequence[TrainingFacts]) -> tuple[list[str], list[str]]:
    """What is the same of trainings whose augmentation is known, and a remark on those that differ."""
    known = [training for training in facts if training.augmentation]
    first = next((training for training in known if not is_stock(training.trainer)), next(iter(known), None))
    if first is None:
        return [], []
    different = [training for training in known if training.augmentation != first.augmentation]
    same = f"patients {first.augmentation}, in {len(known) - len(different)} of {len(facts)} trainings"
    if not different:
        return [same], []
    remark = (
        f"trained under nnU-Net's whole augmentation (patients {different[0].augmentation}), the others under what the "
        f"dose predictor has seen ({first.augmentation}): {', '.join(training.name for training in different)}"
    )
    return [same], [remark]
