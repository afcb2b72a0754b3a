"""Is one trainer better than another on the same cases? Paired differences, with test, interval and effect size.

The test's unit is the case (a patient): cases are taken as independent, the networks of several runs that predicted the
same case are not, so their values are averaged first (`mean_over_runs`). So p-values take the networks as given: they
say nothing of other seeds. The interval does where several runs tested the same cases (`crossed_bootstrap`).
p-values are corrected over the trainers compared with one baseline on one metric (Holm), not over metrics: name the
primary one before looking. Intervals are not corrected.

In cross-validation networks of different folds share training cases; tests and intervals ignore that, as is usual.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from nnunet_doselo.common.errors import DoseloError

from .crossed_bootstrap import Runs, are_repeated, blocks_of, crossed_interval
from .fold_seed import runs_in_words
from .intervals import RELATIVE_DECIMALS, RUNS_AND_PATIENTS, Interval, bootstrap_interval
from .p_values import holm, signed_rank


@dataclass(frozen=True)
class PairedComparison:
    """A trainer against the baseline; differences are trainer less baseline, in the metric's unit.

    cases: pairs with two finite values; `dropped` names the others. equal: pairs that differ by rounding at most.
    dropped_pairs: of run and case, where either value is not finite. interval: of the mean difference.
    rank_biserial: in [-1, 1], above 0 where the trainer is better. p_value: two-sided signed-rank test over cases, with
    the networks as given. It is about ranks, the interval about a mean: the two may disagree. p_holm: `p_value`
    corrected over the trainers that were compared together.
    """

    cases: int
    dropped: tuple[str, ...]
    dropped_pairs: int
    better: int
    worse: int
    equal: int
    mean_difference: float
    median_difference: float
    interval: Interval
    rank_biserial: float
    p_value: float
    p_holm: float
    p_method: str

    @property
    def differing(self) -> int:
        """Pairs that the test ranks."""
        return self.better + self.worse

    @property
    def covers_runs(self) -> bool:
        return self.interval.over == RUNS_AND_PATIENTS

    @property
    def interval_excludes_zero(self) -> bool:
        return self.interval.low > 0 or self.interval.high < 0


def mean_over_runs(runs: Runs) -> dict[str, float]:
    """Mean by case over the runs whose network predicted it: one value a case, so that cases can be tested.

    A run without a finite value (a Hausdorff distance to an empty prediction) does not count; NaN without any.
    """
    values: dict[str, list[float]] = {}
    for run in runs.values():
        for case, value in run.items():
            values.setdefault(case, []).extend([value] if math.isfinite(value) else [])
    return {case: math.fsum(several) / len(several) if several else math.nan for case, several in values.items()}


def compare_trainers(
    baseline: Runs,
    others: Mapping[str, Runs],
    *,
    lower_is_better: bool,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, PairedComparison]:
    """Each trainer against the baseline, on one metric: averaged over runs, tested, corrected over the trainers.

    Runs are paired: the trainer's of one fold and seed with the baseline's of the same.

    Raises
    ------
    DoseloError: a trainer has other runs or other cases in a run than the baseline.
    """
    for name, runs in others.items():
        _require_same_runs(baseline, runs, name)
    comparisons = {
        name: _compare_runs(baseline, runs, lower_is_better=lower_is_better, confidence=confidence, seed=seed)
        for name, runs in others.items()
    }
    corrected = holm([test.p_value for test in comparisons.values()])
    return {name: replace(test, p_holm=p) for (name, test), p in zip(comparisons.items(), corrected, strict=True)}


def _compare_runs(
    baseline: Runs, other: Runs, *, lower_is_better: bool, confidence: float, seed: int
) -> PairedComparison:
    """A pair of run and case counts where both are finite."""
    differences = {
        run: {case: other[run][case] - value for case, value in cases.items()} for run, cases in baseline.items()
    }
    means = [
        mean_over_runs(
            {
                run: {
                    case: runs[run][case] if math.isfinite(difference) else math.nan for case, difference in of.items()
                }
                for run, of in differences.items()
            }
        )
        for runs in (baseline, other)
    ]
    blocks = blocks_of(differences)
    crossed = crossed_interval(blocks, confidence=confidence, seed=seed) if are_repeated(blocks) else None
    comparison = compare_paired(
        *means, lower_is_better=lower_is_better, confidence=confidence, seed=seed, interval=crossed
    )
    return replace(comparison, dropped_pairs=sum(int(np.isnan(block).sum()) for block in blocks))


def compare_paired(
    baseline: Mapping[str, float],
    other: Mapping[str, float],
    *,
    lower_is_better: bool,
    confidence: float = 0.95,
    seed: int = 0,
    interval: Interval | None = None,
) -> PairedComparison:
    """One trainer against the baseline, one value a case each; a family of one, so `p_holm` is `p_value`.

    Pairs with a value that is no finite number are dropped and named. Without pairs every figure is NaN.
    interval: of the mean difference, if it is known; else that over the cases.

    Raises
    ------
    DoseloError: the cases differ (give NaN to a case without a value), or `confidence` is not in (0, 1).
    """
    _require_same_cases(baseline, other, "baseline and trainer")
    if not 0 < confidence < 1:
        raise DoseloError(f"a confidence must lie between 0 and 1, found {confidence}; 95 % is 0.95")
    usable = [case for case in baseline if math.isfinite(baseline[case]) and math.isfinite(other[case])]
    dropped = tuple(case for case in baseline if case not in set(usable))
    pairs = np.array([(baseline[case], other[case]) for case in usable], float).reshape(-1, 2)
    ranked = _without_rounding(pairs)
    differences = np.where(ranked == 0, 0.0, pairs[:, 1] - pairs[:, 0])
    test, sign = signed_rank(ranked), -1 if lower_is_better else 1
    return PairedComparison(
        cases=len(usable),
        dropped=dropped,
        dropped_pairs=len(dropped),
        better=int(np.count_nonzero(sign * ranked > 0)),
        worse=int(np.count_nonzero(sign * ranked < 0)),
        equal=int(np.count_nonzero(ranked == 0)),
        mean_difference=float(differences.mean()) if usable else math.nan,
        median_difference=float(np.median(differences)) if usable else math.nan,
        interval=interval or bootstrap_interval(differences, confidence=confidence, seed=seed),
        rank_biserial=sign * test.rank_biserial,
        p_value=test.p_value,
        p_holm=test.p_value,
        p_method=test.method,
    )


def _without_rounding(pairs: np.ndarray) -> np.ndarray:
    """(n, 2) to (n,) differences over the largest value, so rounded that equal ones are: 0.3 - 0.2 is not 0.2 - 0.1."""
    scale = np.abs(pairs).max(initial=0.0) or 1.0
    return np.round((pairs[:, 1] - pairs[:, 0]) / scale, RELATIVE_DECIMALS)


def _require_same_runs(baseline: Runs, other: Runs, name: str) -> None:
    if set(baseline) != set(other):
        raise DoseloError(
            f"{name}: must be trained on the baseline's folds and seeds ({runs_in_words([*baseline])}), found "
            f"{runs_in_words([*other])}; compare the runs that both have"
        )
    for run, cases in baseline.items():
        _require_same_cases(cases, other[run], ", ".join(filter(None, [name, str(run)])))


def _require_same_cases(baseline: Mapping[str, float], other: Mapping[str, float], where: str) -> None:
    if set(baseline) != set(other):
        missing, more = sorted(set(baseline) - set(other)), sorted(set(other) - set(baseline))
        raise DoseloError(
            f"{where}: both must have the same cases, found {missing[:5] or 'none'} missing and {more[:5] or 'none'} "
            "that the baseline lacks; evaluate them too, or list them as NaN"
        )
