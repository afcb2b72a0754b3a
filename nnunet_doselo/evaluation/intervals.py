"""Confidence intervals of a mean or median over cases, by the bootstrap."""

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

Statistic = Literal["mean", "median"]
RESAMPLES = 9999
RELATIVE_DECIMALS = 12
"""Numbers that are the same to so many decimals of the largest one differ by rounding."""


@dataclass(frozen=True)
class Interval:
    """Confidence interval; `method` names how it was found, or why it is a point or NaN."""

    low: float
    high: float
    confidence: float
    method: str


def bootstrap_interval(
    values: np.ndarray, *, statistic: Statistic = "mean", confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Bias-corrected and accelerated (BCa) bootstrap interval of a mean or median (Efron, JASA 82:171, 1987).

    Of (n,) finite values, by SciPy, 9999 resamples of the cases. Below some 20 cases such intervals are too narrow.
    BCa is not defined where leaving out any case gives the same median: then the percentile interval. Values that are
    all the same (but for rounding) give a point, fewer than two NaN.
    """
    if len(values) < 2:
        return Interval(math.nan, math.nan, confidence, "none: fewer than two cases")
    if np.ptp(values) <= 10.0**-RELATIVE_DECIMALS * np.abs(values).max():
        return Interval(float(values[0]), float(values[0]), confidence, "a point: all differences are the same")
    low, high = _bootstrap(values, statistic, confidence, seed, "BCa")
    if math.isfinite(low) and math.isfinite(high):
        return Interval(low, high, confidence, "BCa bootstrap")
    low, high = _bootstrap(values, statistic, confidence, seed, "percentile")
    return Interval(low, high, confidence, "percentile bootstrap, BCa is not defined here")


def _bootstrap(
    values: np.ndarray, statistic: Statistic, confidence: float, seed: int, method: str
) -> tuple[float, float]:
    """NaN where the method is not defined."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        low, high = stats.bootstrap(
            (values,),
            {"mean": np.mean, "median": np.median}[statistic],
            n_resamples=RESAMPLES,
            confidence_level=confidence,
            method=method,
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return float(low), float(high)
