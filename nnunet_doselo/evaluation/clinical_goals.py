"""Clinical goals: what a plan has to reach, and the scorecard of two doses. `goal_files` reads them.

Metrics are those of `dvh.DVH`: Dmean; D95, D2, D98... (minimum dose to the hottest so many per cent); D0.1cc (to the
hottest so many cc); V20Gy (volume that receives at least so much, in % or cc). Structures are named as in the dataset.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from .dvh import DVH

Relation = Literal["<=", ">=", "<", ">"]
Verdict = Literal["met", "not met", "not assessable"]
GoalKind = Literal["mean", "dose to per cent", "dose to cc", "volume at dose"]

# a plateau of 57 Gy in single precision has not missed 57 Gy
GOAL_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Goal:
    """metric, as written: what `kind` and `at` (per cent, cc or Gy) mean; limit in `unit`."""

    structure: str
    metric: str
    kind: GoalKind
    at: float
    relation: Relation
    limit: float
    unit: Literal["Gy", "%", "cc"]

    @property
    def text(self) -> str:
        return f"{self.metric} {self.relation} {self.limit:g} {self.unit}"

    def value(self, dvh: DVH) -> float:
        """The metric in `unit`; NaN for a structure without voxels."""
        if self.kind == "mean":
            return dvh.mean_gy
        if self.kind == "dose to per cent":
            return dvh.dose_at_volume(self.at / 100)
        if self.kind == "dose to cc":
            return dvh.dose_at_volume_cc(self.at)
        return dvh.volume_at_dose(self.at) * (100 if self.unit == "%" else dvh.volume_cc)

    def verdict(self, value: float) -> Verdict:
        """Differences below a millionth of the limit are rounding."""
        if math.isnan(value):
            return "not assessable"
        same = math.isclose(value, self.limit, rel_tol=GOAL_TOLERANCE, abs_tol=GOAL_TOLERANCE)
        better = value < self.limit if self.relation.startswith("<") else value > self.limit
        return "met" if (self.relation.endswith("=") if same else better) else "not met"


@dataclass(frozen=True)
class ScorecardRow:
    """A goal and what both doses make of it; values in `unit`, NaN where not assessable, and `note` says why."""

    structure: str
    goal: str
    unit: str
    reference_value: float
    reference_verdict: Verdict
    evaluated_value: float
    evaluated_verdict: Verdict
    note: str = ""

    @property
    def lost(self) -> bool:
        """The reference dose meets the goal, the evaluated one does not."""
        return (self.reference_verdict, self.evaluated_verdict) == ("met", "not met")


def scorecard(goals: Iterable[Goal], reference: Mapping[str, DVH], evaluated: Mapping[str, DVH]) -> list[ScorecardRow]:
    """One row a goal, in the order of the goals.

    Parameters
    ----------
    reference, evaluated: by structure, the same contour read in two doses. A structure that is empty or not there is
        not assessable: starter files name more organs than most patients have.
    """
    return [_row(goal, reference.get(goal.structure), evaluated.get(goal.structure)) for goal in goals]


def _row(goal: Goal, reference: DVH | None, evaluated: DVH | None) -> ScorecardRow:
    values = [math.nan if dvh is None else goal.value(dvh) for dvh in (reference, evaluated)]
    verdicts = [goal.verdict(value) for value in values]
    missing = reference is None or evaluated is None
    note = ("no such structure" if missing else "empty") if "not assessable" in verdicts else ""
    return ScorecardRow(goal.structure, goal.text, goal.unit, values[0], verdicts[0], values[1], verdicts[1], note)
