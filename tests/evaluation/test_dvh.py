"""DVHs whose every figure can be read off the doses."""

import math

import numpy as np
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.evaluation.dvh import DVH, homogeneity, paddick_conformity

RAMP_GY = np.arange(61.0).reshape(1, 1, 61)  # 0, 1, ..., 60 Gy
EVERYWHERE = np.ones(RAMP_GY.shape, bool)
NOWHERE = np.zeros(RAMP_GY.shape, bool)


def row(*values: float) -> np.ndarray:
    return np.array(values, float).reshape(1, 1, -1)


def dvh_of(*doses_gy: float, voxel_cc: float = 0.1) -> DVH:
    return DVH.from_dose(row(*doses_gy), np.ones((1, 1, len(doses_gy))), voxel_cc)


def test_a_ramp_from_0_to_60_gy() -> None:
    dvh = DVH.from_dose(RAMP_GY, EVERYWHERE, voxel_cc=0.01)
    assert (dvh.dose_at_volume(0.95), dvh.dose_at_volume(0.50), dvh.mean_gy) == (3, 30, 30)
    assert (dvh.dose_at_volume(1), dvh.dose_at_volume(0.02), dvh.dose_at_volume(0.98)) == (0, 59, 1)
    assert dvh.volume_cc == pytest.approx(0.61)


def test_the_order_of_voxels_does_not_matter() -> None:
    shuffled = np.random.default_rng(0).permutation(RAMP_GY.ravel()).reshape(RAMP_GY.shape)
    assert DVH.from_dose(shuffled, EVERYWHERE, 0.01).figures() == DVH.from_dose(RAMP_GY, EVERYWHERE, 0.01).figures()


def test_a_plateau_is_its_own_every_dose() -> None:
    dvh = dvh_of(*[60.0] * 50)
    figures = dvh.figures()
    assert figures.pop("volume_cc") == pytest.approx(5)
    assert set(figures.values()) == {60.0}
    assert (dvh.volume_at_dose(60), dvh.volume_at_dose(60.001)) == (1, 0)
    assert homogeneity(dvh) == 0


def test_a_single_voxel_is_its_own_every_dose() -> None:
    dvh = dvh_of(42.0, voxel_cc=0.027)
    assert {value for name, value in dvh.figures().items() if name != "volume_cc"} == {42.0}


def test_d_v_is_a_dose_that_a_voxel_has() -> None:
    """Of four voxels D50 is the second hottest, not the mean of the two in the middle, and D51 the third."""
    dvh = dvh_of(10, 20, 40, 80)
    assert [dvh.dose_at_volume(v) for v in (0.25, 0.26, 0.50, 0.51, 0.75, 0.76)] == [80, 40, 40, 20, 20, 10]


def test_floating_point_makes_no_voxel_more() -> None:
    # 0.07 * 100 is 7.000000000000001, and the 7th hottest of 0, ..., 99 Gy has 93
    dvh = dvh_of(*range(100))
    assert dvh.dose_at_volume(0.07) == 93
    # 0.3 cc of 0.1 cc: 2.9999999999999996 in floating point
    assert dvh.dose_at_volume_cc(0.3) == 97


def test_dose_and_volume_are_inverse() -> None:
    dvh = DVH.from_dose(np.random.default_rng(1).normal(50, 5, (7, 5, 3)), np.ones((7, 5, 3)), 0.1)
    for fraction in np.linspace(0.01, 1, 60):
        dose_gy = dvh.dose_at_volume(fraction)
        assert dvh.volume_at_dose(dose_gy) >= fraction - 1e-12
        assert dvh.volume_at_dose(np.nextafter(dose_gy, np.inf)) < fraction


def test_volume_at_dose_counts_a_voxel_at_exactly_this_dose() -> None:
    dvh = dvh_of(10, 20, 30, 40)
    assert [dvh.volume_at_dose(gy) for gy in (0, 10, 20, 20.5, 40, 41)] == [1, 1, 0.75, 0.5, 0.25, 0]
    np.testing.assert_array_equal(dvh.curve(np.array([0, 25, 50])), [1, 0.5, 0])


@pytest.mark.parametrize(
    ("voxel_cc", "expected_gy"),
    [(0.1, 8), (0.05, 7), (0.027, 5), (0.2, 8), (0.0125, 1), (0.001, 1)],
    ids=["one voxel", "two", "3.7 are four", "half a voxel is one", "all eight", "the organ has but 0.008 cc"],
)
def test_d_tenth_of_a_cc_takes_whole_voxels(voxel_cc: float, expected_gy: float) -> None:
    assert dvh_of(1, 2, 3, 4, 5, 6, 7, 8, voxel_cc=voxel_cc).dose_at_volume_cc(0.1) == expected_gy


def test_only_the_mask_counts() -> None:
    dvh = DVH.from_dose(row(60, 50, 0, math.nan), row(1, 2, 0, 0), 0.1)
    assert (dvh.mean_gy, dvh.volume_cc) == (55, pytest.approx(0.2))


def test_an_empty_mask_is_nan_everywhere() -> None:
    dvh = DVH.from_dose(RAMP_GY, NOWHERE, 0.1)
    assert all(math.isnan(value) for value in dvh.figures().values())
    assert math.isnan(dvh.volume_at_dose(20))
    assert math.isnan(homogeneity(dvh))
    assert np.isnan(dvh.curve(np.array([0.0, 1.0]))).all()


def test_integer_doses_are_not_rounded() -> None:
    assert DVH.from_dose(row(1, 2).astype(np.uint8), row(1, 1), 0.1).mean_gy == 1.5


def test_the_doses_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="read-only"):
        dvh_of(1, 2).doses_gy[0] = 5


def test_homogeneity_of_icru_83() -> None:
    # of 101 voxels 50, ..., 150 Gy: D2 is the 3rd hottest, 148; D98 the 99th, 52; D50 the 51st, 100
    assert homogeneity(dvh_of(*range(50, 151))) == pytest.approx((148 - 52) / 100)
    assert math.isnan(homogeneity(dvh_of(0, 0, 0)))


def test_conformity_of_paddick() -> None:
    target = row(0, 1, 1, 1, 1, 0)
    assert paddick_conformity(row(0, 60, 60, 60, 60, 0), target, 60) == 1
    # half of the target is covered, all of what is treated is target: 2^2 / (4 * 2)
    assert paddick_conformity(row(0, 60, 60, 50, 50, 0), target, 60) == pytest.approx(0.5)
    # all of it is covered, and two voxels more: 4^2 / (4 * 6)
    assert paddick_conformity(row(60, 60, 60, 60, 60, 60), target, 60) == pytest.approx(2 / 3)
    # three of four covered, one voxel more: 3^2 / (4 * 4)
    assert paddick_conformity(row(60, 60, 60, 60, 50, 0), target, 60) == pytest.approx(9 / 16)


def test_conformity_at_its_edges() -> None:
    assert paddick_conformity(row(0, 50), row(0, 1), 60) == 0
    assert paddick_conformity(row(60, 0), row(0, 1), 60) == 0
    assert math.isnan(paddick_conformity(row(60, 60), row(0, 0), 60))


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(DoseloError, match=r"up to 1, found 95; D95 is 0\.95"):
        dvh_of(1, 2).dose_at_volume(95)
    with pytest.raises(DoseloError, match="volume must be positive"):
        dvh_of(1, 2).dose_at_volume_cc(0)
    with pytest.raises(DoseloError, match="positive volume, found 0 cc"):
        DVH.from_dose(RAMP_GY, EVERYWHERE, 0)
    with pytest.raises(DoseloError, match=r"dose_gy \(1, 1, 61\), mask \(1, 1, 2\)"):
        DVH.from_dose(RAMP_GY, row(1, 1), 0.1)
    with pytest.raises(DoseloError, match="isodose"):
        paddick_conformity(RAMP_GY, EVERYWHERE, 0)


def test_a_damaged_dose_is_an_error_not_a_figure() -> None:
    with pytest.raises(DoseloError, match="found 1 of 3 voxels that are not"):
        dvh_of(1, math.nan, 3)
