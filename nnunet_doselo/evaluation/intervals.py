"""Confidence intervals of a mean over cases, by the bootstrap."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 9999
PATIENTS, RUNS_AND_PATIENTS = "patients", "runs and patients"
RELATIVE_DECIMALS = 12
"""Numbers that are the same to so many decimals of the largest one differ by rounding."""


@dataclass(frozen=True)
class Interval:
    """Confidence interval; `method` names how it was found, or why it is a point or NaN.

    over: what it takes as drawn by chance: patients, with the networks as given, or runs and patients.
    """

    low: float
    high: float
    confidence: float
    method: str
    over: str = PATIENTS


def bootstrap_interval(values: np.ndarray, *, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Bias-corrected and accelerated (BCa) bootstrap interval of a mean (Efron, JASA 82:171, 1987).

    Of (n,) finite values, by SciPy, 9999 resamples of the cases. Below some 20 cases such intervals are too narrow.
    Values that are all the same (but for rounding) give a point, fewer than two NaN.
    """
    if len(values) < 2:
        return Interval(math.nan, math.nan, confidence, "none: fewer than two cases")
    if np.ptp(values) <= 10.0**-RELATIVE_DECIMALS * np.abs(values).max():
        return Interval(float(values[0]), float(values[0]), confidence, "a point: all differences are the same")
    low, high = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=confidence,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(low), float(high), confidence, "BCa bootstrap")
