"""Which clinical goals an evaluation holds doses against: a file, a starter, none, or the starter that fits."""

from dataclasses import dataclass
from pathlib import Path

from nnunet_doselo.dataset.guidance import DoseGuidance

from .clinical_goals import Goal, read_goals

NO_GOALS = "none"
STARTER_RX_GY = {"brain": 60.0, "head_and_neck": 70.0}
"""The prescriptions that the starters' limits are meant for."""


@dataclass(frozen=True)
class ChosenGoals:
    """`origin` says in words where they come from, or why there are none."""

    goals: tuple[Goal, ...]
    origin: str


def choose_goals(source: str | Path | None, guidance: DoseGuidance) -> ChosenGoals:
    """Goals of a file or starter, none for "none", and for None those of the starter that fits the dataset.

    A starter fits if it is meant for the dataset's prescription and names at least one of its organs; of it, the goals
    of structures that the dataset has are taken. Of a file all are, so that a name that is spelt otherwise is seen.

    Raises
    ------
    DoseloError: what `read_goals` refuses.
    """
    if source is not None and str(source) != NO_GOALS:
        return ChosenGoals(tuple(read_goals(source)), f"{source}")
    if source is not None:
        return ChosenGoals((), "none, as asked")
    known = {*guidance.target_gy, *guidance.oars}
    for starter, rx_gy in STARTER_RX_GY.items():
        goals = tuple(goal for goal in read_goals(starter) if goal.structure in known)
        if rx_gy == guidance.prescription_gy and any(goal.structure in guidance.oars for goal in goals):
            return ChosenGoals(goals, f"the starter {starter}, for {rx_gy:g} Gy and the organs of this dataset")
    return ChosenGoals((), "none: no starter fits the prescription and the organs of this dataset; name a file")
