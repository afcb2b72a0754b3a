"""Is one trainer better than another on the same cases? Paired differences, with test, interval and effect size.

The unit is the case (a patient): cases are taken as independent, the networks of several folds that predicted the same
case are not, so their values are averaged first (`mean_over_folds`). p-values are corrected over the trainers compared
with one baseline on one metric (Holm), not over metrics: name the primary one before looking.

In cross-validation each case is predicted once, but networks of different folds share training cases; the test
ignores that, as is usual.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nnunet_doselo.common.errors import DoseloError

from .intervals import RELATIVE_DECIMALS, Interval, Statistic, bootstrap_interval
from .p_values import holm, signed_rank

Folds = Mapping[Any, Mapping[str, float]]
"""One metric: value by case, by fold; a fold is a number, or "" where there are none."""


@dataclass(frozen=True)
class PairedComparison:
    """A trainer against the baseline; differences are trainer less baseline, in the metric's unit.

    cases: pairs with two finite values; `dropped` names the others. equal: pairs that differ by rounding at most.
    interval: of the mean or median difference, as `statistic` says. rank_biserial: in [-1, 1], above 0 where the
    trainer is better. p_value: two-sided signed-rank test. It is about ranks, the interval about a mean or median: the
    two may disagree. p_holm: `p_value` corrected over the trainers that were compared together.
    """

    cases: int
    dropped: tuple[str, ...]
    better: int
    worse: int
    equal: int
    mean_difference: float
    median_difference: float
    statistic: Statistic
    interval: Interval
    rank_biserial: float
    p_value: float
    p_holm: float
    p_method: str

    @property
    def differing(self) -> int:
        """Pairs that the test ranks."""
        return self.better + self.worse


def mean_over_folds(folds: Folds) -> dict[str, float]:
    """Mean by case over the folds whose network predicted it: one value a case, so that cases can be tested.

    A case that is NaN in one fold (a Hausdorff distance to an empty prediction) is NaN: leaving that fold out would
    reward the network that found nothing.
    """
    values: dict[str, list[float]] = {}
    for fold in folds.values():
        for case, value in fold.items():
            values.setdefault(case, []).append(value)
    return {case: math.fsum(several) / len(several) for case, several in values.items()}


def compare_trainers(
    baseline: Folds,
    others: Mapping[str, Folds],
    *,
    lower_is_better: bool,
    statistic: Statistic = "mean",
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, PairedComparison]:
    """Each trainer against the baseline, on one metric: averaged over folds, tested, corrected over the trainers.

    Raises
    ------
    DoseloError: a trainer has other folds or other cases in a fold than the baseline.
    """
    for name, folds in others.items():
        _require_same_runs(baseline, folds, name)
    means = mean_over_folds(baseline)
    comparisons = {
        name: compare_paired(
            means,
            mean_over_folds(folds),
            lower_is_better=lower_is_better,
            statistic=statistic,
            confidence=confidence,
            seed=seed,
        )
        for name, folds in others.items()
    }
    corrected = holm([test.p_value for test in comparisons.values()])
    return {name: replace(test, p_holm=p) for (name, test), p in zip(comparisons.items(), corrected, strict=True)}


def compare_paired(
    baseline: Mapping[str, float],
    other: Mapping[str, float],
    *,
    lower_is_better: bool,
    statistic: Statistic = "mean",
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedComparison:
    """One trainer against the baseline, one value a case each; a family of one, so `p_holm` is `p_value`.

    Pairs with a value that is no finite number are dropped and named. Without pairs every figure is NaN.

    Raises
    ------
    DoseloError: the cases differ (give NaN to a case without a value), or `confidence` is not in (0, 1).
    """
    _require_same_cases(baseline, other, "baseline and trainer")
    if not 0 < confidence < 1:
        raise DoseloError(f"a confidence must lie between 0 and 1, found {confidence}; 95 % is 0.95")
    usable = [case for case in baseline if math.isfinite(baseline[case]) and math.isfinite(other[case])]
    pairs = np.array([(baseline[case], other[case]) for case in usable], float).reshape(-1, 2)
    ranked = _without_rounding(pairs)
    differences = np.where(ranked == 0, 0.0, pairs[:, 1] - pairs[:, 0])
    test, sign = signed_rank(ranked), -1 if lower_is_better else 1
    return PairedComparison(
        cases=len(usable),
        dropped=tuple(case for case in baseline if case not in set(usable)),
        better=int(np.count_nonzero(sign * ranked > 0)),
        worse=int(np.count_nonzero(sign * ranked < 0)),
        equal=int(np.count_nonzero(ranked == 0)),
        mean_difference=float(differences.mean()) if usable else math.nan,
        median_difference=float(np.median(differences)) if usable else math.nan,
        statistic=statistic,
        interval=bootstrap_interval(differences, statistic=statistic, confidence=confidence, seed=seed),
        rank_biserial=sign * test.rank_biserial,
        p_value=test.p_value,
        p_holm=test.p_value,
        p_method=test.method,
    )


def _without_rounding(pairs: np.ndarray) -> np.ndarray:
    """(n, 2) to (n,) differences over the largest value, so rounded that equal ones are: 0.3 - 0.2 is not 0.2 - 0.1."""
    scale = np.abs(pairs).max(initial=0.0) or 1.0
    return np.round((pairs[:, 1] - pairs[:, 0]) / scale, RELATIVE_DECIMALS)


def _require_same_runs(baseline: Folds, other: Folds, name: str) -> None:
    if set(baseline) != set(other):
        raise DoseloError(
            f"{name}: must be trained on the baseline's folds {sorted(baseline)}, found {sorted(other)}; "
            "compare the folds that both have"
        )
    for fold, cases in baseline.items():
        _require_same_cases(cases, other[fold], name if fold == "" else f"{name}, fold {fold}")


def _require_same_cases(baseline: Mapping[str, float], other: Mapping[str, float], where: str) -> None:
    if set(baseline) != set(other):
        missing, more = sorted(set(baseline) - set(other)), sorted(set(other) - set(baseline))
        raise DoseloError(
            f"{where}: both must have the same cases, found {missing[:5] or 'none'} missing and {more[:5] or 'none'} "
            "that the baseline lacks; evaluate them too, or list them as NaN"
        )
