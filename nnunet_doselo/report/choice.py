"""Which cases to show: those that a trainer helped most, least, and the one in the middle. Pure arithmetic."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ROLES = ("best", "median", "worst")


@dataclass(frozen=True)
class ChosenCase:
    """gain: baseline less other, above 0 where the other costs less dose; without another, minus the baseline's."""

    case: str
    roles: tuple[str, ...]
    gain: float


def best_other(means: Mapping[str, float], baseline: str) -> str | None:
    """The trainer with the lowest mean, the baseline apart; None without another one that has a mean."""
    others = {name: mean for name, mean in means.items() if name != baseline and math.isfinite(mean)}
    return min(others, key=lambda name: others[name]) if others else None


def choose_cases(baseline: Mapping[str, float], other: Mapping[str, float] | None) -> list[ChosenCase]:
    """Best, median and worst case by gain; one case may have several roles. Empty if no case has both values.

    Parameters
    ----------
    baseline, other: RMAE by case, NaN where there is none. Without `other`, the lowest, middle and highest of the
        baseline.
    """
    gains = {case: value - other[case] if other else -value for case, value in baseline.items()}
    ranked = sorted((case for case in gains if math.isfinite(gains[case])), key=lambda case: -gains[case])
    if not ranked:
        return []
    at: dict[str, list[str]] = {}
    for role, case in zip(ROLES, _ends_and_middle(ranked), strict=True):
        at.setdefault(case, []).append(role)
    return [ChosenCase(case, tuple(roles), gains[case]) for case, roles in at.items()]


def _ends_and_middle(ranked: Sequence[str]) -> tuple[str, str, str]:
    return ranked[0], ranked[len(ranked) // 2], ranked[-1]
