"""Confidence intervals over runs and patients: a trainer is a distribution of networks, and each run is one of them.

Runs that tested the same patients form a block, an array (R, P) of one metric, NaN where it is not defined: all
runs of a held-out test set are one block, in cross-validation the seeds of each fold. The mean is that of patients,
each patient's that of its runs. Where no block has more than one run, nothing tells how runs differ: such intervals
are over patients alone (`intervals.bootstrap_interval`).
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from .fold_seed import FoldSeed
from .intervals import RELATIVE_DECIMALS, RESAMPLES, RUNS_AND_PATIENTS, Interval

Runs = Mapping[FoldSeed, Mapping[str, float]]
"""One metric: value by patient, by run."""


def blocks_of(runs: Runs) -> list[np.ndarray]:
    """(R, P) of R runs and P patients, for each set of patients that was tested; what is not finite is NaN."""
    blocks: dict[tuple[str, ...], list[list[float]]] = {}
    for values in runs.values():
        patients = tuple(sorted(values))
        blocks.setdefault(patients, []).append([values[patient] for patient in patients])
    return [np.where(np.isfinite(block), block, np.nan) for block in map(np.array, blocks.values())]


def are_repeated(blocks: Sequence[np.ndarray]) -> bool:
    """True if more than one run tested the same patients, so that runs can be told from patients; blocks: (R, P)."""
    return any(len(block) > 1 for block in blocks)


def what_intervals_cover(runs: Runs) -> str:
    """In words, for whoever reads an interval of these runs.

    >>> values = {"P1": 0.1, "P2": 0.3}
    >>> what_intervals_cover({FoldSeed(0, seed): values for seed in range(3)})
    'runs and patients: 3 trainings, 2 patients'
    >>> what_intervals_cover({FoldSeed(0): values})
    'patients only: one training'
    >>> what_intervals_cover({FoldSeed(0): {"P1": 0.1}, FoldSeed(1): {"P2": 0.3}})
    'patients only: 2 trainings, each on patients of its own'
    """
    if are_repeated(blocks_of(runs)):
        patients = {patient for values in runs.values() for patient in values}
        return f"{RUNS_AND_PATIENTS}: {len(runs)} trainings, {len(patients)} patients"
    if len(runs) > 1:
        return f"patients only: {len(runs)} trainings, each on patients of its own"
    return "patients only: one training" if str(next(iter(runs))) else "patients only: one set of contours"


def crossed_interval(blocks: Sequence[np.ndarray], *, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Percentile interval of the mean: in each block runs and patients are drawn anew, independently of each other.

    The pigeonhole bootstrap (Owen, Annals of Applied Statistics 1:386, 2007, doi 10.1214/07-AOAS122), 9999 resamples.
    It is a little too wide where what is left besides run and patient is large, and too narrow where there are few
    runs: with R of them it sees (R - 1) / R of their variance.

    Parameters
    ----------
    blocks: (R, P) of R runs and P patients each; of paired differences, the trainer's run less the same run of the
        baseline. A cell that is NaN is left out; a patient of whom all cells that were drawn are, too.

    Returns
    -------
    A point if all cells are the same (but for rounding), NaN if fewer than two cells are finite.
    """
    cells = np.concatenate([block[np.isfinite(block)] for block in blocks])
    if len(cells) < 2:
        return Interval(math.nan, math.nan, confidence, "none: fewer than two values", RUNS_AND_PATIENTS)
    if np.ptp(cells) <= 10.0**-RELATIVE_DECIMALS * np.abs(cells).max():
        return Interval(
            float(cells[0]), float(cells[0]), confidence, "a point: all values are the same", RUNS_AND_PATIENTS
        )
    total, patients = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    for number, block in enumerate(blocks):
        run_draws, patient_draws = _draws(*block.shape, seed, number)
        runs_there = run_draws @ np.isfinite(block)
        means = run_draws @ np.nan_to_num(block) / np.maximum(runs_there, 1)
        drawn = patient_draws * (runs_there > 0)
        total += (drawn * means).sum(axis=1)
        patients += drawn.sum(axis=1)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(total[patients > 0] / patients[patients > 0], tails)
    return Interval(float(low), float(high), confidence, "crossed bootstrap, percentile", RUNS_AND_PATIENTS)


@lru_cache(maxsize=32)
def _draws(runs: int, patients: int, seed: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each run (resamples, runs) and each patient (resamples, patients) is drawn; alike for all metrics."""
    random = np.random.default_rng([seed, block])
    run_draws, patient_draws = (random.multinomial(n, np.full(n, 1 / n), RESAMPLES) for n in (runs, patients))
    return run_draws.astype(float), patient_draws.astype(float)


def run_std(blocks: Sequence[np.ndarray]) -> float:
    """Standard deviation of a run's mean from run to run, within blocks (pooled variance, n - 1).

    Means are over the patients of whom all runs of the block, (R, P), have a value. NaN without such a block of two
    runs or more.
    """
    complete = [block[:, np.isfinite(block).all(axis=0)] for block in blocks if len(block) > 1]
    means = [block.mean(axis=1) for block in complete if block.size]
    if not means:
        return math.nan
    return math.sqrt(sum(len(of) * of.var() for of in means) / sum(len(of) - 1 for of in means))
