"""r, slope and rises of dose changes that can be worked out in the head."""

import math

import numpy as np
import pytest

from nnunet_doselo.predictor_training.sensitivity.response import EditResponse, Line, line, respond, summarise

BODY = np.array([True] * 5 + [False])
PLANNED = np.array([0.0, 2.0, 4.0, -2.0, -4.0, 50.0])


@pytest.mark.parametrize(("factor", "r"), [(1.0, 1.0), (0.5, 1.0), (-2.0, -1.0)])
def test_a_multiple_of_the_plan_has_that_slope(factor: float, r: float) -> None:
    found = line(PLANNED, factor * PLANNED + 3)
    assert (found.r, found.slope) == (pytest.approx(r), pytest.approx(factor))


def test_a_line_through_points_that_are_none() -> None:
    """Planned -1, 0, 1 and predicted 0, 2, 1: covariance 1, variances 2 and 2."""
    found = line(np.array([-1.0, 0.0, 1.0]), np.array([0.0, 2.0, 1.0]))
    assert (found.r, found.slope) == (pytest.approx(0.5), pytest.approx(0.5))


@pytest.mark.parametrize(
    ("planned", "predicted", "slope"),
    [([1, 2], [1, 2], math.nan), ([3, 3, 3], [1, 2, 3], math.nan), ([1, 2, 3], [0.1, 0.1, 0.1], 0.0)],
)
def test_where_r_is_not_defined(planned: list[float], predicted: list[float], slope: float) -> None:
    found = line(np.array(planned), np.array(predicted))
    assert math.isnan(found.r)
    assert found.slope == pytest.approx(slope, nan_ok=True)


def test_the_planners_own_change_is_a_perfect_answer_and_the_air_does_not_count() -> None:
    found = respond(PLANNED, np.where(BODY, PLANNED, -99), BODY)
    assert (found.planned_gy, found.predicted_gy, found.voxels) == (2.4, 2.4, 4)
    assert (found.voxelwise.r, found.voxelwise.slope) == (pytest.approx(1), pytest.approx(1))
    assert math.isnan(found.island_planned_gy)


def test_a_voxel_counts_if_either_change_reaches_1_gy() -> None:
    planned, predicted = np.array([0.9, 1.0, 0.0, 0.0]), np.array([0.9, 0.0, -1.0, 0.5])
    assert respond(planned, predicted, np.ones(4, bool)).voxels == 2


def test_the_rise_is_the_mean_in_the_island() -> None:
    island = np.array([False, True, True, False, False, False])
    found = respond(PLANNED, 0.25 * PLANNED, BODY, island)
    assert (found.island_planned_gy, found.island_predicted_gy) == (3, 0.75)


def edit(
    planned_gy: float, predicted_gy: float, voxel_r: float, voxel_slope: float = 1.0, **island: float
) -> EditResponse:
    return EditResponse(planned_gy, predicted_gy, 9, Line(voxel_r, voxel_slope), **island)


def test_figures_over_all_edits_and_by_kind() -> None:
    """Half of the planned change: slope 0.5. Two edits of a kind are too few for its r."""
    edits = [edit(1, 0.5, 0.8), edit(2, 1, 0.6), edit(4, 2, 0.4), edit(8, 4, math.nan, 0.0)]
    found = summarise(["shift", "shift", "erode", "erode"], edits)
    assert (found["edits"], found["r"], found["slope"]) == (4, pytest.approx(1), pytest.approx(0.5))
    assert found["voxel_r"] == pytest.approx(0.45)
    assert found["kinds"] == {
        "shift": {"edits": 2, "r": None, "slope": None, "voxel_r": pytest.approx(0.7)},
        "erode": {"edits": 2, "r": None, "slope": None, "voxel_r": pytest.approx(0.2)},
    }
    assert found["island"] is None


def test_a_constant_predictor_has_no_r() -> None:
    found = summarise(["shift"] * 3, [edit(planned, 0.0, math.nan, 0.0) for planned in (1, 2, 3)])
    assert (found["r"], found["slope"], found["voxel_r"]) == (None, 0.0, 0.0)


def test_an_edit_that_changes_no_dose_has_nothing_to_answer_to() -> None:
    found = summarise(["shift", "shift"], [edit(0, 0, math.nan, math.nan), edit(1, 1, 0.9)])
    assert found["voxel_r"] == pytest.approx(0.9)


def test_islands_are_raised_by_half_of_the_planned_rise_or_more() -> None:
    rises = [(40.0, 20.0), (40.0, 19.0), (20.0, 30.0), (20.0, -1.0)]
    edits = [edit(1, 1, 1, island_planned_gy=a, island_predicted_gy=b) for a, b in rises]
    assert summarise(["island"] * 4, edits)["island"] == {
        "edits": 4,
        "planned_rise_gy": 30.0,
        "predicted_rise_gy": 17.0,
        "share_raised": 0.5,
    }
