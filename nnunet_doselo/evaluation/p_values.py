"""p-values of paired differences: Wilcoxon's signed-rank test, exact also with ties; Holm's correction; the lowest.

SciPy's exact distribution holds without ties only, and with them it falls back to a normal approximation, which is poor
for the ten or twenty patients of a test set. Here the null distribution is counted out for the ranks that are there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

EXACT_UP_TO = 200
SIGNIFICANT = 0.05
"""A corrected p-value below it shows a difference."""


@dataclass(frozen=True)
class SignedRank:
    """positive, negative: sums of the ranks of the differences above and below zero. p_value: two-sided.

    method: "exact", "normal approximation", or why there is no test.
    """

    positive: float
    negative: float
    nonzero: int
    p_value: float
    method: str

    @property
    def rank_biserial(self) -> float:
        """Matched-pairs rank-biserial correlation, in [-1, 1]: share of the rank sum above zero less that below.

        Kerby, Comprehensive Psychology 3:11.IT.3.1, 2014 (the simple difference formula). 1 if every difference is
        positive; 0 if none differs from zero, NaN without differences.
        """
        if math.isnan(self.p_value):
            return math.nan
        total = self.positive + self.negative
        return (self.positive - self.negative) / total if total else 0.0


def signed_rank(differences: np.ndarray) -> SignedRank:
    """Test whether differences are symmetric about zero, two-sided.

    Zeros are left out, as Wilcoxon did (Biometrics Bulletin 1:80, 1945); equal sizes share their mean rank, and the
    distribution is the one of these ranks under all signs (exact up to 200 differences that are not zero, then a normal
    approximation with continuity correction). With few of them no p-value is small, see `smallest_p_value`.

    Parameters
    ----------
    differences: (n,) finite; may be empty. What differs by rounding alone must have been rounded away, or it is ranked.

    Returns
    -------
    p-value 1 if all differences are zero, NaN without differences.
    """
    nonzero = differences[differences != 0]
    if not nonzero.size:
        nothing = "no cases" if not differences.size else "no case differs"
        return SignedRank(0.0, 0.0, 0, 1.0 if differences.size else math.nan, nothing)
    ranks = stats.rankdata(np.abs(nonzero))
    positive, negative = float(ranks[nonzero > 0].sum()), float(ranks[nonzero < 0].sum())
    if nonzero.size <= EXACT_UP_TO:
        p_value, method = _exact(ranks, min(positive, negative)), "exact"
    else:
        p_value = float(stats.wilcoxon(nonzero, correction=True).pvalue)
        method = "normal approximation"
    return SignedRank(positive, negative, nonzero.size, p_value, method)


def _exact(ranks: np.ndarray, smaller_sum: float) -> float:
    """Twice the probability that the ranks with positive signs sum up to `smaller_sum` or less; 1 at most."""
    # mean ranks are whole or half numbers: doubled, sums are indices
    doubled = np.rint(2 * ranks).astype(int)
    probability = np.ones(1)
    for rank in doubled:
        probability = (np.pad(probability, (0, rank)) + np.pad(probability, (rank, 0))) / 2
    return min(1.0, 2 * float(probability[: round(2 * smaller_sum) + 1].sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given (Holm, Scand J Stat 6:65, 1979); NaN is no test, stays, does not count."""
    order = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def smallest_p_value(pairs: int) -> float:
    """The lowest p-value that `pairs` differences which are not zero allow, 2 / 2^pairs: all of them have one sign.

    1 without such a difference.

    >>> [smallest_p_value(pairs) for pairs in (0, 1, 4, 6)]
    [1.0, 1.0, 0.125, 0.03125]
    """
    return min(1.0, 2.0 * 0.5**pairs)


def smallest_p_holm(pairs: Sequence[int]) -> list[float]:
    """The lowest `p_holm` of trainers that are compared together, by how many of their pairs differ.

    >>> smallest_p_holm([4]), smallest_p_holm([6, 6])
    ([0.125], [0.0625, 0.0625])
    """
    return holm([smallest_p_value(count) for count in pairs])
