"""Dose errors whose value can be read off the numbers."""

import math

import numpy as np
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import require_same_shape
from nnunet_doselo.evaluation.dose_metrics import dose_score, rmae

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
    with pytest.raises(DoseloError, match="threshold above 0 and up to 1"):
        rmae(row(60), row(60), row(1), prescription_gy, threshold=threshold)


def test_rmae_shows_a_broken_dose_as_nan() -> None:
    assert math.isnan(rmae(row(60, 60), row(60, math.nan), row(1, 1), RX_GY))


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
    with pytest.raises(DoseloError, match=r"possible_dose \(1, 1, 1\)"):
        dose_score(row(1, 2), row(1, 2), row(1))


def test_shapes_that_would_broadcast_are_refused_too() -> None:
    with pytest.raises(DoseloError, match="one voxel grid"):
        require_same_shape(reference=np.zeros((4, 4, 4)), evaluated=np.zeros((1, 4, 4)))
