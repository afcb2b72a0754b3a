"""Intervals over runs and patients: tables that a reader can check, and crossed random effects by statsmodels."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from nnunet_doselo.evaluation.crossed_bootstrap import (
    are_repeated,
    blocks_of,
    crossed_interval,
    run_std,
    what_intervals_cover,
)
from nnunet_doselo.evaluation.fold_seed import FoldSeed, runs_in_words
from nnunet_doselo.evaluation.paired_tests import compare_trainers

NAN = math.nan
SEEDS = [FoldSeed(0, seed) for seed in range(3)]


def table(*rows: tuple[float, ...]) -> np.ndarray:
    """A row for each run, a column for each patient."""
    return np.array(rows, float)


def crossed(random: np.random.Generator, runs: int, patients: int) -> np.ndarray:
    """Mean 0; effects of runs, of patients and of each cell, all of variance 1."""
    return random.normal(size=(runs, 1)) + random.normal(size=(1, patients)) + random.normal(size=(runs, patients))


def test_cells_that_are_all_the_same_give_a_point() -> None:
    found = crossed_interval([table((0.3, 0.1 + 0.2), (0.3, 0.3))])
    assert (found.low, found.high) == (0.3, 0.3)
    assert (found.method, found.over) == ("a point: all values are the same", "runs and patients")


def test_where_only_runs_differ_the_interval_is_that_of_the_runs() -> None:
    # of two runs, both draws are the first with probability 1/4, and both the second
    two = crossed_interval([table((0, 0, 0, 0), (1, 1, 1, 1))])
    assert (two.low, two.high) == (0, 1)
    # of runs 0, 1 ... 9: variance 8.25, of their mean 0.825
    ten = crossed_interval([np.repeat(np.arange(10.0)[:, None], 5, axis=1)])
    assert (ten.low + ten.high) / 2 == pytest.approx(4.5, abs=0.1)
    assert (ten.high - ten.low) / 2 == pytest.approx(1.96 * math.sqrt(0.825), rel=0.05)


def test_where_only_patients_differ_the_interval_is_that_of_the_patients() -> None:
    patients = np.random.default_rng(0).exponential(1, 20)
    found = crossed_interval([np.repeat(patients[None], 4, axis=0)])
    alone = stats.bootstrap((patients,), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(1))
    assert found.low == pytest.approx(alone.confidence_interval.low, abs=0.02)
    assert found.high == pytest.approx(alone.confidence_interval.high, abs=0.02)


def test_more_patients_do_not_make_up_for_few_runs() -> None:
    """What differs are two runs: 300 patients show them as 4 do, where patients alone would show a point."""
    few, many = (np.repeat([[0.0], [1.0]], patients, axis=1) for patients in (4, 300))
    assert crossed_interval([few]).high - crossed_interval([few]).low == 1
    assert crossed_interval([many]).high - crossed_interval([many]).low == 1


def test_blocks_are_weighted_by_their_patients() -> None:
    # nothing differs within a block: 3 patients of 0 and one of 4 are 1 on average, however they are drawn
    found = crossed_interval([table((0, 0, 0), (0, 0, 0)), table((4,), (4,))])
    assert (found.low, found.high) == (1, 1)


def test_a_block_of_one_run_draws_its_patients_alone() -> None:
    found = crossed_interval([table((0, 0), (0, 0)), table((0, 2))])
    # the second block's mean is 0, 1 or 2, and counts half
    assert (found.low, found.high) == (0, 1)


def test_cells_without_a_value_are_left_out() -> None:
    found = crossed_interval([table((5, NAN, NAN), (5, 5, NAN))])
    assert (found.low, found.high) == (5, 5)
    # the second patient has a value of the second run alone: 1 with it, else 0 of the first patient
    found = crossed_interval([table((0, NAN), (0, 2))])
    assert (found.low, found.high) == (0, 2)
    nothing = crossed_interval([table((NAN, 1), (NAN, NAN))])
    assert math.isnan(nothing.low)
    assert nothing.method == "none: fewer than two values"


def test_the_interval_is_reproducible_and_follows_its_confidence() -> None:
    block = crossed(np.random.default_rng(2), 5, 12)
    first = crossed_interval([block], seed=3)
    assert crossed_interval([block.copy()], seed=3) == first
    wider = crossed_interval([block], seed=3, confidence=0.99)
    assert wider.low < first.low < first.high < wider.high


def test_the_interval_is_as_wide_as_that_of_crossed_random_effects() -> None:
    """MixedLM with variance components of run and patient; the bootstrap's own bias at 10 runs is some per cent."""
    random, ratios = np.random.default_rng(4), []
    for _ in range(4):
        block = crossed(random, 10, 20)
        run, patient = (of.ravel() for of in np.indices(block.shape))
        components = {"run": "0 + C(run)", "patient": "0 + C(patient)"}
        data = {"value": block.ravel(), "run": run, "patient": patient, "all": np.zeros(block.size)}
        fitted = MixedLM.from_formula(
            "value ~ 1", pd.DataFrame(data), groups="all", re_formula="0", vc_formula=components
        ).fit()
        found = crossed_interval([block])
        assert (found.low + found.high) / 2 == pytest.approx(float(fitted.params["Intercept"]), abs=0.05)
        ratios.append((found.high - found.low) / (2 * 1.96 * float(fitted.bse["Intercept"])))
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)


def test_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    """Where runs, patients and cells vary alike; the networks taken as given, it would be three times of four."""
    random, trials = np.random.default_rng(5), 200
    blocks = [crossed(random, 10, 20) for _ in range(trials)]
    intervals = [crossed_interval([block]) for block in blocks]
    assert 0.90 <= sum(found.low < 0 < found.high for found in intervals) / trials <= 0.99
    of_patients = [stats.ttest_1samp(block.mean(axis=0), 0).pvalue for block in blocks]
    assert 0.65 <= sum(p > 0.05 for p in of_patients) / trials <= 0.85


def test_the_deviation_from_run_to_run_is_pooled_within_blocks() -> None:
    # means 0 and 2: variance 2; means 0, 0 and 3: variance 3; the folds' own means, 1 and 101, do not matter
    two, three = table((0, 0), (1, 3)), table((100,), (100,), (103,))
    assert run_std([two]) == pytest.approx(math.sqrt(2))
    assert run_std([two, three]) == pytest.approx(math.sqrt((2 + 2 * 3) / 3))
    # a patient that a run has no value of says nothing about runs
    assert run_std([table((0, 0, NAN), (1, 3, 9))]) == pytest.approx(math.sqrt(2))
    assert math.isnan(run_std([table((0, 1))]))
    assert math.isnan(run_std([table((NAN,), (1,))]))


def test_runs_that_tested_the_same_patients_are_a_block() -> None:
    held_out = blocks_of({run: {"B": 2.0 + number, "A": 1.0} for number, run in enumerate(SEEDS)})
    assert [block.tolist() for block in held_out] == [[[1, 2], [1, 3], [1, 4]]]
    folds = {FoldSeed(fold, seed): {f"P{fold}": math.inf, "Q": 1.0} for fold in (0, 1) for seed in (1, 2)}
    assert [block.shape for block in blocks_of(folds)] == [(2, 2), (2, 2)]
    assert np.isnan(blocks_of(folds)[0][:, 0]).all()
    assert are_repeated(blocks_of(folds))
    assert not are_repeated(blocks_of({FoldSeed(0): {"A": 1.0}, FoldSeed(1): {"B": 1.0}}))
    assert what_intervals_cover({FoldSeed(): {"A": 1.0}}) == "patients only: one set of contours"
    assert what_intervals_cover(folds) == "runs and patients: 4 trainings, 3 patients"


def test_trainers_are_paired_run_by_run_and_patient_by_patient() -> None:
    """The seed and the patient move both alike: what is left of the difference is 1 everywhere."""
    baseline = {run: {patient: 10 * run.seed + 3 * n for n, patient in enumerate("ABCDEF")} for run in SEEDS}
    other = {run: {patient: value - 1 for patient, value in cases.items()} for run, cases in baseline.items()}
    found = compare_trainers(baseline, {"other": other}, lower_is_better=True)["other"]
    assert (found.mean_difference, found.interval.low, found.interval.high) == (-1, -1, -1)
    assert found.covers_runs
    assert found.interval_excludes_zero


def test_a_pair_counts_where_both_have_a_value() -> None:
    baseline = {SEEDS[0]: {"A": 1.0, "B": 5.0, "C": NAN}, SEEDS[1]: {"A": 3.0, "B": 6.0, "C": 2.0}}
    other = {SEEDS[0]: {"A": 0.0, "B": NAN, "C": 1.0}, SEEDS[1]: {"A": 0.0, "B": 2.0, "C": NAN}}
    found = compare_trainers(baseline, {"other": other}, lower_is_better=True)["other"]
    # A: -1 and -3; B: -4 of the second seed; C: none
    assert (found.cases, found.dropped, found.dropped_pairs) == (2, ("C",), 3)
    assert found.mean_difference == pytest.approx((-2 - 4) / 2)


def test_one_run_a_patient_leaves_the_interval_over_patients() -> None:
    folds = {FoldSeed(fold): {f"P{fold}{n}": float(n * n) for n in range(4)} for fold in (0, 1)}
    other = {run: {case: value + 1 + value / 7 for case, value in cases.items()} for run, cases in folds.items()}
    found = compare_trainers(folds, {"other": other}, lower_is_better=True)["other"]
    assert (found.interval.method, found.interval.over, found.covers_runs) == ("BCa bootstrap", "patients", False)


@pytest.mark.parametrize("run", [FoldSeed(), FoldSeed(3), FoldSeed(0, 0), FoldSeed(12, 34)])
def test_a_run_is_read_back_from_its_words(run: FoldSeed) -> None:
    assert FoldSeed.parse(str(run)) == run
    assert runs_in_words([run]).replace(";", ",") == str(run)
