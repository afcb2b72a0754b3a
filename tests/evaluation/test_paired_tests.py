"""Comparisons of trainers on a handful of cases."""

import math

import numpy as np
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.evaluation.fold_seed import FoldSeed
from nnunet_doselo.evaluation.intervals import bootstrap_interval
from nnunet_doselo.evaluation.p_values import holm
from nnunet_doselo.evaluation.paired_tests import compare_paired, compare_trainers, mean_over_runs

BASELINE = {"A": 0.5, "B": 0.4, "C": 0.6, "D": 0.3}
# 0.2, 0.1 and 0.3 less, 0.1 more
OTHER = {"A": 0.3, "B": 0.3, "C": 0.3, "D": 0.4}


def test_what_is_reported_of_four_cases() -> None:
    found = compare_paired(BASELINE, OTHER, lower_is_better=True)
    assert (found.cases, found.dropped) == (4, ())
    assert (found.better, found.worse, found.equal) == (3, 1, 0)
    assert found.mean_difference == pytest.approx(-0.125)
    assert found.median_difference == pytest.approx(-0.15)
    # 0.4 - 0.3 and 0.3 - 0.4 are not equal in floating point and share rank 1.5 all the same: 8.5 against 1.5
    assert found.rank_biserial == pytest.approx(7 / 10)
    # sums of ranks 1.5, 1.5, 3, 4 up to 1.5: 0, 1.5, 1.5 of 16
    assert (found.p_value, found.p_holm, found.p_method) == (pytest.approx(6 / 16), pytest.approx(6 / 16), "exact")


def test_higher_may_be_better() -> None:
    found = compare_paired(BASELINE, OTHER, lower_is_better=False)
    assert (found.better, found.worse, found.rank_biserial) == (1, 3, pytest.approx(-7 / 10))
    assert found.mean_difference == pytest.approx(-0.125)


def test_a_difference_of_rounding_is_none() -> None:
    found = compare_paired({"A": 0.1 + 0.2, "B": 1.0}, {"A": 0.3, "B": 0.5}, lower_is_better=True)
    assert (found.better, found.worse, found.equal) == (1, 0, 1)


def test_the_same_values_are_no_evidence() -> None:
    found = compare_paired(BASELINE, BASELINE, lower_is_better=True)
    assert (found.p_value, found.rank_biserial, found.equal) == (1, 0, 4)
    assert (found.interval.low, found.interval.high) == (0, 0)


def test_pairs_without_two_numbers_are_dropped_and_named() -> None:
    baseline = BASELINE | {"E": math.nan, "F": 1.0, "G": 1.0}
    found = compare_paired(baseline, OTHER | {"E": 1.0, "F": math.nan, "G": math.inf}, lower_is_better=True)
    assert (found.cases, found.dropped) == (4, ("E", "F", "G"))
    assert found.p_value == pytest.approx(6 / 16)


def test_no_pair_at_all() -> None:
    found = compare_paired({"A": math.nan}, {"A": 1.0}, lower_is_better=True)
    assert (found.cases, found.dropped, found.better, found.p_method) == (0, ("A",), 0, "no cases")
    figures = (found.p_value, found.p_holm, found.mean_difference, found.median_difference, found.rank_biserial)
    assert all(math.isnan(figure) for figure in (*figures, found.interval.low, found.interval.high))


def test_other_cases_are_refused() -> None:
    with pytest.raises(DoseloError, match=r"found \['D'\] missing and \['X'\] that the baseline lacks"):
        compare_paired(BASELINE, {"A": 1.0, "B": 1.0, "C": 1.0, "X": 1.0}, lower_is_better=True)
    with pytest.raises(DoseloError, match=r"found 95; 95 % is 0\.95"):
        compare_paired(BASELINE, OTHER, lower_is_better=True, confidence=95)


def test_a_case_counts_once_however_many_folds_predicted_it() -> None:
    values = {"A": (1.0, 2.0, 6.0), "B": (2.0, 3.0, math.nan), "C": (math.nan, math.inf, math.nan)}
    means = mean_over_runs({FoldSeed(fold): {case: of[fold] for case, of in values.items()} for fold in range(3)})
    assert (means["A"], means["B"]) == (3, 2.5)
    assert math.isnan(means["C"])
    # cross-validation: each case in the one fold that left it out
    assert mean_over_runs({FoldSeed(0): {"A": 1.0}, FoldSeed(1): {"B": 2.0}}) == {"A": 1.0, "B": 2.0}


def test_five_folds_do_not_make_five_times_the_cases() -> None:
    five, five_other = ({FoldSeed(fold): values for fold in range(5)} for values in (BASELINE, OTHER))
    found = compare_trainers(five, {"other": five_other}, lower_is_better=True)["other"]
    assert (found.cases, found.p_value) == (4, pytest.approx(6 / 16))


def test_p_values_are_corrected_over_the_trainers() -> None:
    fold = FoldSeed(0)
    baseline = {fold: {str(case): 10.0 + case for case in range(8)}}
    better = {fold: {case: value - 1 - int(case) for case, value in baseline[fold].items()}}
    found = compare_trainers(baseline, {"better": better, "same": baseline}, lower_is_better=True)
    assert found["better"].p_value == 2 / 2**8
    assert found["better"].p_holm == 2 * 2 / 2**8
    assert (found["same"].p_value, found["same"].p_holm) == (1, 1)


def test_trainers_need_the_same_runs() -> None:
    two = {FoldSeed(0, 1): BASELINE, FoldSeed(0, 2): BASELINE}
    with pytest.raises(
        DoseloError,
        match=r"mine: must be trained on the baseline's folds and seeds \(fold 0; seeds 1, 2\), found fold 0; seed 1;",
    ):
        compare_trainers(two, {"mine": {FoldSeed(0, 1): OTHER}}, lower_is_better=True)
    with pytest.raises(DoseloError, match="mine, fold 1: both must have the same cases"):
        compare_trainers({FoldSeed(1): BASELINE}, {"mine": {FoldSeed(1): {"A": 1.0}}}, lower_is_better=True)


def test_holm() -> None:
    # worked example in the documentation of pingouin, and p.adjust(..., "holm") of R
    adjusted = holm([0.50, 0.003, 0.32, 0.054, 0.0003])
    assert adjusted == pytest.approx([0.64, 0.012, 0.64, 0.162, 0.0015])
    # 4 * 0.005, 3 * 0.01, 2 * 0.03, and not less than that
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.8]) == [1, 1]
    assert holm([]) == []


def test_holm_does_not_count_what_was_not_tested() -> None:
    adjusted = holm([math.nan, 0.02, 0.03])
    assert math.isnan(adjusted[0])
    assert adjusted[1:] == pytest.approx([0.04, 0.04])


def test_the_interval_of_normal_data_is_the_textbooks() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = bootstrap_interval(values)
    half = 1.96 * values.std(ddof=1) / math.sqrt(400)
    assert (found.method, found.over) == ("BCa bootstrap", "patients")
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)
    assert found.low < values.mean() < found.high


def test_the_interval_follows_the_skew() -> None:
    values = np.random.default_rng(0).exponential(1, 30)
    found = bootstrap_interval(values)
    assert found.high - values.mean() > 1.1 * (values.mean() - found.low)


def test_the_interval_is_reproducible_and_follows_its_confidence() -> None:
    values = np.random.default_rng(1).normal(0, 1, 12)
    first = bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) == first
    wider = bootstrap_interval(values, seed=3, confidence=0.99)
    assert wider.low < first.low < first.high < wider.high


def test_intervals_of_too_little_data() -> None:
    for few in ([], [1.0]):
        found = bootstrap_interval(np.array(few))
        assert math.isnan(found.low)
        assert math.isnan(found.high)
        assert found.method == "none: fewer than two cases"
    same = bootstrap_interval(np.array([0.3 - 0.2, 0.2 - 0.1, 0.1]))
    assert (same.low, same.high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert same.method.startswith("a point")
