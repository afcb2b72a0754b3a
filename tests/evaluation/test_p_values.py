"""Signed-rank tests whose p-values can be counted, or stand in textbooks."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from nnunet_doselo.evaluation.p_values import EXACT_UP_TO, signed_rank, smallest_p_value

# cross- less self-fertilised maize in eighths of an inch: Darwin 1876, in Fisher, The Design of Experiments, 1935
DARWIN = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], float)
# depression before and after tranquilliser: Hollander and Wolfe, Nonparametric Statistical Methods, 1973, page 29
BEFORE = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
AFTER = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])


def test_darwins_maize() -> None:
    found = signed_rank(DARWIN)
    assert (found.positive, found.negative, found.nonzero, found.method) == (96, 24, 15, "exact")
    assert found.p_value == pytest.approx(0.04126, abs=5e-6)
    assert found.rank_biserial == pytest.approx((96 - 24) / 120)


def test_hollander_and_wolfes_depression_scores() -> None:
    found = signed_rank(BEFORE - AFTER)
    assert (found.positive, found.negative) == (40, 5)
    # one-sided 0.01953 = 10 of 512
    assert found.p_value == pytest.approx(20 / 512)


def test_all_on_one_side_is_the_smallest_p_value() -> None:
    assert signed_rank(np.array([1.0, 2, 3, 4, 5])).p_value == 2 / 32
    assert signed_rank(-np.array([1.0, 2, 3, 4, 5, 6])).p_value == 2 / 64
    assert signed_rank(-np.array([1.0, 2])).rank_biserial == -1


def test_ties_share_their_mean_rank() -> None:
    # ranks 1.5, 1.5, 3: sums of the eight sign patterns are 0, 1.5, 1.5, 3, 3, 4.5, 4.5, 6; three are at most 1.5
    found = signed_rank(np.array([1.0, -1, 2]))
    assert (found.positive, found.negative) == (4.5, 1.5)
    assert found.p_value == pytest.approx(2 * 3 / 8)
    assert found.rank_biserial == pytest.approx(3 / 6)


def test_as_many_above_as_below() -> None:
    found = signed_rank(np.array([1.0, -1]))
    assert (found.p_value, found.rank_biserial) == (1, 0)


def test_zeros_are_left_out() -> None:
    with_zeros, without = signed_rank(np.array([0.0, 1, -1, 0, 2])), signed_rank(np.array([1.0, -1, 2]))
    assert with_zeros == without


def test_nothing_differs() -> None:
    found = signed_rank(np.zeros(7))
    assert (found.p_value, found.rank_biserial, found.nonzero, found.method) == (1, 0, 0, "no case differs")


def test_no_cases() -> None:
    found = signed_rank(np.array([]))
    assert math.isnan(found.p_value)
    assert math.isnan(found.rank_biserial)
    assert found.method == "no cases"


@pytest.mark.parametrize("cases", [1, 8, 25, 50])
def test_without_ties_it_is_scipys_exact_test(cases: int) -> None:
    differences = np.random.default_rng(cases).normal(0.3, 1, cases)
    assert signed_rank(differences).p_value == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)


def test_with_ties_it_is_the_permutation_test_over_all_signs() -> None:
    sizes = np.array([1, 1, 2, 2, 2, 3, 5, 5, 8], float)
    differences = sizes * np.array([1, 1, -1, 1, 1, -1, 1, 1, 1])
    ranks = np.array([1.5, 1.5, 4, 4, 4, 6, 7.5, 7.5, 9])
    centre = ranks.sum() / 2
    sums = [np.dot(ranks, signs) for signs in itertools.product((0, 1), repeat=9)]
    extreme = sum(abs(one - centre) >= centre - (4 + 6) for one in sums)
    assert signed_rank(differences).p_value == pytest.approx(extreme / 2**9)


def test_many_cases_take_the_normal_approximation_which_is_close() -> None:
    differences = np.random.default_rng(3).normal(0.12, 1, EXACT_UP_TO + 1)
    many, exact = signed_rank(differences), signed_rank(differences[:-1])
    assert (many.method, exact.method) == ("normal approximation", "exact")
    approximate = stats.wilcoxon(differences[:-1], correction=True).pvalue
    assert exact.p_value == pytest.approx(approximate, rel=0.03)


@pytest.mark.parametrize("pairs", [1, 2, 5, 6, 12])
def test_no_differences_of_so_many_have_a_smaller_p_value(pairs: int) -> None:
    """All above zero is the rarest that can happen."""
    assert smallest_p_value(pairs) == pytest.approx(signed_rank(np.arange(1.0, pairs + 1)).p_value)
