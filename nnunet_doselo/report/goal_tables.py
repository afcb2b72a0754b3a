"""The scorecard over all cases: how often the true contour's dose meets a goal, and who loses it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nnunet_doselo.evaluation.clinical_goals import ScorecardRow

from .results import Plan


@dataclass(frozen=True)
class GoalTally:
    """Of `plans` that can be judged: `reference` and `met` meet the goal, before and with the trainer's contour.

    lost: met before and no longer; gained: the other way round.
    """

    plans: int
    reference: int
    met: int
    lost: int
    gained: int


@dataclass(frozen=True)
class GoalLine:
    """trainers: by name."""

    structure: str
    goal: str
    trainers: Mapping[str, GoalTally]


@dataclass(frozen=True)
class LostGoal:
    """Values in `unit`."""

    case: str
    trainer: str
    fold: str
    structure: str
    goal: str
    unit: str
    reference_value: float
    evaluated_value: float


def goal_lines(plans: Mapping[str, Sequence[Plan]]) -> list[GoalLine]:
    """A line for every goal that some plan can be judged by, in the order of the goals."""
    order = dict.fromkeys((row.structure, row.goal) for row in _rows(plan for own in plans.values() for plan in own))
    lines = [GoalLine(*goal, {name: _tally(own, goal) for name, own in plans.items()}) for goal in order]
    return [line for line in lines if any(tally.plans for tally in line.trainers.values())]


def lost_goals(plans: Mapping[str, Sequence[Plan]]) -> list[LostGoal]:
    """Every goal that a trainer's contour loses, trainer by trainer."""
    return [
        LostGoal(
            plan.case.case, name, plan.fold, row.structure, row.goal, row.unit, row.reference_value, row.evaluated_value
        )
        for name, own in plans.items()
        for plan in own
        for row in plan.case.goals
        if row.lost
    ]


def _rows(plans: Iterable[Plan]) -> Iterable[ScorecardRow]:
    for plan in plans:
        yield from plan.case.goals


def _tally(plans: Sequence[Plan], goal: tuple[str, str]) -> GoalTally:
    rows = [row for row in _rows(plans) if (row.structure, row.goal) == goal]
    verdicts = [(row.reference_verdict, row.evaluated_verdict) for row in rows]
    judged = [both for both in verdicts if "not assessable" not in both]
    return GoalTally(
        plans=len(judged),
        reference=sum(before == "met" for before, _ in judged),
        met=sum(after == "met" for _, after in judged),
        lost=judged.count(("met", "not met")),
        gained=judged.count(("not met", "met")),
    )
