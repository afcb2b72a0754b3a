"""Tables over all plans, trainer by trainer: clinical goals and who loses them, structures, false-positive islands."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from nnunet_doselo.evaluation.clinical_goals import ScorecardRow

from .results_folder import ContourPlan


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
    run: str
    structure: str
    goal: str
    unit: str
    reference_value: float
    evaluated_value: float


def goal_lines(plans: Mapping[str, Sequence[ContourPlan]]) -> list[GoalLine]:
    """A line for every goal that some plan can be judged by, in the order of the goals."""
    order = dict.fromkeys((row.structure, row.goal) for row in _rows(chain(*plans.values())))
    lines = [
        GoalLine(*goal, {name: _goal_tally(trainer_plans, goal) for name, trainer_plans in plans.items()})
        for goal in order
    ]
    return [line for line in lines if any(tally.plans for tally in line.trainers.values())]


def lost_goals(plans: Mapping[str, Sequence[ContourPlan]]) -> list[LostGoal]:
    """Every goal that a trainer's contour loses, trainer by trainer."""
    return [
        LostGoal(
            plan.case.case,
            name,
            str(plan.run),
            row.structure,
            row.goal,
            row.unit,
            row.reference_value,
            row.evaluated_value,
        )
        for name, trainer_plans in plans.items()
        for plan in trainer_plans
        for row in plan.case.goals
        if row.lost
    ]


def _rows(plans: Iterable[ContourPlan]) -> Iterable[ScorecardRow]:
    for plan in plans:
        yield from plan.case.goals


def _goal_tally(plans: Sequence[ContourPlan], goal: tuple[str, str]) -> GoalTally:
    rows = [row for row in _rows(plans) if (row.structure, row.goal) == goal]
    verdicts = [(row.reference_verdict, row.evaluated_verdict) for row in rows]
    judged = [both for both in verdicts if "not assessable" not in both]
    return GoalTally(
        plans=len(judged),
        reference=sum(reference == "met" for reference, _ in judged),
        met=sum(evaluated == "met" for _, evaluated in judged),
        lost=judged.count(("met", "not met")),
        gained=judged.count(("not met", "met")),
    )


@dataclass(frozen=True)
class StructureLine:
    """Mean by figure (d95_gy...) over the `plans` where both doses have one; None without any.

    trainer: "" for the reference dose, over the baseline's plans.
    """

    structure: str
    trainer: str
    plans: int
    means: Mapping[str, float | None]


@dataclass(frozen=True)
class IslandLine:
    """One island; distance_mm and doses are NaN where not defined."""

    case: str
    trainer: str
    run: str
    volume_cc: float
    distance_mm: float
    beyond_cc: float
    mean_gy: float
    max_gy: float


@dataclass(frozen=True)
class IslandTally:
    """All islands of one trainer. volume_cc, beyond_cc: mean a plan. farthest_mm, max_gy: None without islands."""

    trainer: str
    plans: int
    plans_with: int
    islands: int
    volume_cc: float
    beyond_cc: float
    farthest_mm: float | None
    max_gy: float | None


def structure_lines(plans: Mapping[str, Sequence[ContourPlan]], baseline: str) -> list[StructureLine]:
    """Structure by structure: the reference dose, then every trainer's; structures without voxels are left out."""
    names = dict.fromkeys(name for plan in chain(*plans.values()) for name in plan.case.structures)
    lines = []
    for name in names:
        several = [_structure_line(name, "", plans.get(baseline, ()))]
        several += [_structure_line(name, trainer, trainer_plans) for trainer, trainer_plans in plans.items()]
        lines += several if any(line.plans for line in several) else []
    return lines


def _structure_line(structure: str, trainer: str, plans: Sequence[ContourPlan]) -> StructureLine:
    there = [plan.case.structures[structure] for plan in plans if structure in plan.case.structures]
    pairs = [(of_plan.reference, of_plan.evaluated) for of_plan in there]
    figures = dict.fromkeys(figure for reference, _ in pairs for figure in reference)
    means = {}
    for figure in figures:
        both = [(reference.get(figure, math.nan), evaluated.get(figure, math.nan)) for reference, evaluated in pairs]
        means[figure] = _mean(pair[1 if trainer else 0] for pair in both if all(map(math.isfinite, pair)))
    judged = sum(math.isfinite(reference.get("dmean_gy", math.nan)) for reference, _ in pairs)
    return StructureLine(structure, trainer, judged, means)


def _mean(values: Iterable[float]) -> float | None:
    several = list(values)
    return statistics.fmean(several) if several else None


def island_lines(plans: Mapping[str, Sequence[ContourPlan]]) -> list[IslandLine]:
    """Every island, trainer by trainer."""
    return [
        IslandLine(
            plan.case.case,
            name,
            str(plan.run),
            island.volume_cc,
            island.distance_mm,
            island.beyond_cc,
            island.mean_gy,
            island.max_gy,
        )
        for name, trainer_plans in plans.items()
        for plan in trainer_plans
        for island in plan.case.islands
    ]


def island_tallies(plans: Mapping[str, Sequence[ContourPlan]]) -> list[IslandTally]:
    """One line a trainer, also for one without islands."""
    return [_island_tally(name, trainer_plans) for name, trainer_plans in plans.items()]


def _island_tally(trainer: str, plans: Sequence[ContourPlan]) -> IslandTally:
    islands = [island for plan in plans for island in plan.case.islands]
    count = max(1, len(plans))
    return IslandTally(
        trainer,
        len(plans),
        sum(bool(plan.case.islands) for plan in plans),
        len(islands),
        math.fsum(island.volume_cc for island in islands) / count,
        math.fsum(island.beyond_cc for island in islands if math.isfinite(island.beyond_cc)) / count,
        _largest(island.distance_mm for island in islands),
        _largest(island.max_gy for island in islands),
    )


def _largest(values: Iterable[float]) -> float | None:
    return max((value for value in values if math.isfinite(value)), default=None)
