"""Which cases to show: the one that a trainer helped most, the one it helped least, the one in the middle, and more."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nnunet_doselo.evaluation.metrics import PRIMARY

from .results_folder import Results

ROLES = ("best", "median", "worst")


@dataclass(frozen=True)
class ChosenCase:
    """difference: the other trainer's union RMAE less the baseline's, below 0 if it is better; None without another."""

    case: str
    roles: tuple[str, ...]
    difference: float | None


def chosen_of(results: Results) -> tuple[list[ChosenCase], str | None]:
    """Best, median and worst case, and the trainer whose difference chooses them (None: the baseline alone does)."""
    table, baseline = results.comparison.table, results.comparison.baseline
    if PRIMARY not in table.values:
        return [], None
    values = table.values[PRIMARY]
    other = best_other({name: table.summary[PRIMARY][name].mean for name in results.trainers}, baseline)
    return choose_cases(values[baseline], values[other] if other else None), other


def cases_to_show(order: Sequence[str], chosen: Sequence[ChosenCase], count: int) -> list[str]:
    """The chosen ones and, up to `count` in all, those of the largest impact; in the order of impact."""
    first = [choice.case for choice in chosen]
    wanted = {*first, *[case for case in order if case not in first][: max(0, count - len(first))]}
    return [case for case in order if case in wanted]


def best_other(means: Mapping[str, float], baseline: str) -> str | None:
    """The trainer with the lowest mean, the baseline apart; None without another one that has a mean."""
    others = {name: mean for name, mean in means.items() if name != baseline and math.isfinite(mean)}
    return min(others, key=lambda name: others[name]) if others else None


def choose_cases(baseline: Mapping[str, float], other: Mapping[str, float] | None) -> list[ChosenCase]:
    """Case of the lowest, the middle and the highest difference, which may be one; empty if no case has both values.

    Parameters
    ----------
    baseline, other: union RMAE by case, NaN where there is none. Without `other`, the lowest, middle and highest of the
        baseline.
    """
    costs = {case: other[case] - value if other else value for case, value in baseline.items()}
    ranked = sorted((case for case in costs if math.isfinite(costs[case])), key=lambda case: costs[case])
    if not ranked:
        return []
    at: dict[str, list[str]] = {}
    for role, case in zip(ROLES, _ends_and_middle(ranked), strict=True):
        at.setdefault(case, []).append(role)
    return [ChosenCase(case, tuple(roles), costs[case] if other else None) for case, roles in at.items()]


def _ends_and_middle(ranked: Sequence[str]) -> tuple[str, str, str]:
    return ranked[0], ranked[len(ranked) // 2], ranked[-1]
