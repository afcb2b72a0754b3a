"""Dose errors whose value can be read off the numbers."""

import math

import numpy as np
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import require_same_shape
from nnunet_doselo.evaluation.dose_metrics import dose_score, rmae, union_rmae

RX_GY = 60.0
RAMP_GY = np.arange(61.0).reshape(1, 1, 61)  # 0, 1, ..., 60 Gy
EVERYWHERE = np.ones(RAMP_GY.shape, bool)


def row(*values: float) -> np.ndarray:
    return np.array(values).reshape(1, 1, -1)


def test_rmae_of_ten_percent_less_everywhere_is_a_tenth() -> None:
    assert rmae(RAMP_GY, 0.9 * RAMP_GY, EVERYWHERE, RX_GY) == pytest.approx(0.1)


def test_rmae_is_relative_to_the_reference() -> None:
    # 30 against 60 Gy: half of it is missing, or as much again is too much
    assert rmae(row(60), row(30), row(1), RX_GY) == pytest.approx(0.5)
    assert rmae(row(30), row(60), row(1), RX_GY) == pytest.approx(1.0)


def test_rmae_averages_over_voxels_at_or_above_the_threshold() -> None:
    reference, evaluated = row(60, 30, 6, 5.9, 0), row(54, 33, 6, 50, 50)
    # 10 %, 10 % and 0 %; the last two voxels are below 6 Gy
    assert rmae(reference, evaluated, np.ones_like(reference), RX_GY) == pytest.approx(0.2 / 3)


def test_rmae_threshold_can_be_set() -> None:
    reference, evaluated = row(60, 29), row(54, 0)
    assert rmae(reference, evaluated, row(1, 1), RX_GY, threshold=0.5) == pytest.approx(0.1)


def test_rmae_counts_a_voxel_exactly_at_the_threshold() -> None:
    # 0.1 * 70 is 7.000000000000001 in floating point
    assert rmae(row(7), row(14), row(1), prescription_gy=70.0) == pytest.approx(1.0)


def test_rmae_leaves_out_what_is_outside_the_body() -> None:
    assert rmae(row(60, 60), row(60, 0), row(1, 0), RX_GY) == 0.0


@pytest.mark.parametrize(
    ("reference", "body"),
    [(row(60, 60), row(0, 0)), (row(0, 0), row(1, 1)), (row(60, 5), row(0, 1))],
    ids=["no body", "no dose", "dose outside the body"],
)
def test_rmae_of_an_empty_region_is_nan(reference: np.ndarray, body: np.ndarray) -> None:
    assert math.isnan(rmae(reference, row(60, 60), body, RX_GY))


@pytest.mark.parametrize(("prescription_gy", "threshold"), [(0.0, 0.1), (-60.0, 0.1), (60.0, 0.0), (60.0, 10.0)])
def test_rmae_refuses_settings_that_have_no_meaning(prescription_gy: float, threshold: float) -> None:
    for metric in (rmae, union_rmae):
        with pytest.raises(DoseloError, match="threshold above 0 and up to 1"):
            metric(row(60), row(60), row(1), prescription_gy, threshold=threshold)


def test_rmae_shows_a_broken_dose_as_nan() -> None:
    for metric in (rmae, union_rmae):
        assert math.isnan(metric(row(60, 60), row(60, math.nan), row(1, 1), RX_GY))
        assert math.isnan(metric(row(60, math.nan), row(60, 60), row(1, 1), RX_GY))
    # where the reference is cold, only the union looks
    assert rmae(row(60, 0), row(60, math.nan), row(1, 1), RX_GY) == 0.0
    assert math.isnan(union_rmae(row(60, 0), row(60, math.nan), row(1, 1), RX_GY))


def test_an_island_in_a_cold_region_is_heard_by_the_union_alone() -> None:
    # 10 % of 60 Gy is 6 Gy: the target is right, and of two cold voxels one is given 60 Gy, ten times the threshold
    reference, evaluated = row(60, 60, 3, 3), row(60, 60, 63, 3)
    assert rmae(reference, evaluated, np.ones_like(reference), RX_GY) == 0.0
    assert union_rmae(reference, evaluated, np.ones_like(reference), RX_GY) == pytest.approx(10 / 3)


def test_union_rmae_is_rmae_where_the_reference_is_hot() -> None:
    hot = RAMP_GY >= 6
    assert union_rmae(RAMP_GY, 0.9 * RAMP_GY, hot, RX_GY) == rmae(RAMP_GY, 0.9 * RAMP_GY, hot, RX_GY)
    # missing dose counts as in RMAE: 1 and 0.5
    assert union_rmae(row(60, 60), row(0, 30), row(1, 1), RX_GY) == pytest.approx(0.75)


def test_union_rmae_leaves_out_voxels_where_both_doses_are_low() -> None:
    # 54 for 60 Gy; 5.9 and 1 Gy are both below 6 Gy, whatever their difference
    assert union_rmae(row(60, 5.9), row(54, 1), row(1, 1), RX_GY) == pytest.approx(0.1)
    assert math.isnan(union_rmae(row(5.9, 0), row(1, 5.9), row(1, 1), RX_GY))


@pytest.mark.parametrize(
    ("reference_gy", "evaluated_gy", "error"),
    # 0.1 * 70 is 7.000000000000001 in floating point: 7 Gy counts, in either dose, and 0 for 7 is all of the threshold
    [(7, 14, 1.0), (7, 0, 1.0), (0, 7, 1.0), (3.5, 7, 0.5), (6.9, 7, 0.1 / 7)],
)
def test_union_rmae_counts_a_voxel_exactly_at_the_threshold(
    reference_gy: float, evaluated_gy: float, error: float
) -> None:
    assert union_rmae(row(reference_gy), row(evaluated_gy), row(1), prescription_gy=70.0) == pytest.approx(error)


def test_union_rmae_threshold_can_be_set() -> None:
    # at half of Rx, 30 Gy: 54 for 60, 30 for 15 of 30, and 29 for 0 is low
    reference, evaluated = row(60, 15, 0), row(54, 30, 29)
    assert union_rmae(reference, evaluated, row(1, 1, 1), RX_GY, threshold=0.5) == pytest.approx((0.1 + 0.5) / 2)


def test_union_rmae_looks_inside_the_body_alone() -> None:
    assert union_rmae(row(60, 0), row(60, 60), row(1, 0), RX_GY) == 0.0
    assert math.isnan(union_rmae(row(60, 0), row(60, 60), row(0, 0), RX_GY))


def test_union_rmae_adds_the_parts_of_a_wrong_contour() -> None:
    """Missed (60 to 0: 1), right (0), added beside (12 to 18: 0.5) and an island (0 to 12 Gy: twice the threshold)."""
    reference, evaluated = row(60, 60, 12, 0, 0), row(0, 60, 18, 12, 0)
    assert union_rmae(reference, evaluated, np.ones_like(reference), RX_GY) == pytest.approx((1 + 0 + 0.5 + 2) / 4)


def test_dose_score_divides_the_error_of_all_voxels_by_the_possible_ones() -> None:
    # errors 2 + 0 + 1 + 1 Gy, the last one where no dose can be; two possible voxels
    assert dose_score(row(10, 20, 30, 0), row(12, 20, 29, 1), row(1, 1, 0, 0)) == 2.0


def test_dose_score_of_no_dose_at_all_is_the_mean_dose() -> None:
    assert dose_score(RAMP_GY, np.zeros_like(RAMP_GY), EVERYWHERE) == pytest.approx(30.0)


def test_dose_score_of_integer_doses_does_not_wrap_around() -> None:
    reference, evaluated = row(1).astype(np.uint8), row(3).astype(np.uint8)
    assert dose_score(reference, evaluated, row(1)) == 2.0


def test_dose_score_without_possible_voxels_is_nan() -> None:
    assert math.isnan(dose_score(row(10), row(12), row(0)))


def test_shapes_that_differ_are_named() -> None:
    with pytest.raises(DoseloError, match=r"reference_gy \(1, 1, 2\), evaluated_gy \(1, 1, 3\), body \(1, 1, 2\)"):
        rmae(row(1, 2), row(1, 2, 3), row(1, 1), RX_GY)
    with pytest.raises(DoseloError, match="one voxel grid"):
        union_rmae(row(1, 2), row(1, 2), row(1), RX_GY)
    with pytest.raises(DoseloError, match=r"possible_dose \(1, 1, 1\)"):
        dose_score(row(1, 2), row(1, 2), row(1))


def test_shapes_that_would_broadcast_are_refused_too() -> None:
    with pytest.raises(DoseloError, match="one voxel grid"):
        require_same_shape(reference=np.zeros((4, 4, 4)), evaluated=np.zeros((1, 4, 4)))
