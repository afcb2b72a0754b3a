"""The plan's goals, in doses relative to Rx, on volumes of a few voxels of 1 cc."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from nnunet_doselo.planning.objectives import (
    FALL_OFF_FLOOR,
    FALL_OFF_MM,
    FALL_OFF_WEIGHT,
    NORMAL_TISSUE_WEIGHT,
    ORGAN_WEIGHT,
    Goals,
    goals_of,
)

CUBE_MM = (10.0, 10.0, 10.0)


def row(*values: float) -> np.ndarray:
    return np.array(values).reshape(1, 1, -1)


def goals(target: np.ndarray, organs: np.ndarray | None = None, share: np.ndarray | None = None) -> Goals:
    nothing = np.zeros(target.shape, int)
    return goals_of(
        target, nothing if organs is None else organs, CUBE_MM, np.ones(target.shape) if share is None else share
    )


def test_penalties_by_hand() -> None:
    """Target wants 1 and gets 0.9: 0.01. Beside it (10 mm) 1 is exp(-0.5) too much, and dose as such."""
    wanted = goals(row(1, 0))
    value, _ = wanted.value_and_gradient(np.array([0.9, 1.0]))
    excess = 1 - np.exp(-10 / FALL_OFF_MM)
    assert value == pytest.approx(0.01 + FALL_OFF_WEIGHT * excess**2 + NORMAL_TISSUE_WEIGHT)


def test_dose_below_the_limit_costs_its_own_weight_alone() -> None:
    value, _ = goals(row(1, 0)).value_and_gradient(np.array([1.0, 0.1]))
    assert value == pytest.approx(NORMAL_TISSUE_WEIGHT * 0.01)


def test_gradient_is_the_values() -> None:
    wanted = goals(row(1, 0.8, 0, 0, 0), row(0, 1, 1, 0, 0).astype(int))
    dose = np.array([0.7, 1.1, 0.9, 0.4, 0.2])
    off = check_grad(lambda d: wanted.value_and_gradient(d)[0], lambda d: wanted.value_and_gradient(d)[1], dose)
    assert off < 1e-6


def test_several_levels_each_fall_off_from_their_own_outline() -> None:
    limit = goals(row(1, 0.8, 0, 0)).limit
    assert limit[1] == pytest.approx(max(0.8, np.exp(-10 / FALL_OFF_MM)))
    assert limit[2] == pytest.approx(max(0.8 * np.exp(-10 / FALL_OFF_MM), np.exp(-20 / FALL_OFF_MM)))


def test_the_fall_off_never_asks_for_less_than_the_floor() -> None:
    far = np.zeros((1, 1, 30))
    far[..., 0] = 1
    assert goals(far).limit[-1] == pytest.approx(FALL_OFF_FLOOR)


def test_organs_cost_more_and_a_large_one_counts_as_50_cc() -> None:
    target = np.zeros((1, 1, 102))
    target[..., 0] = 1
    organs = np.zeros(target.shape, int)
    organs[..., 1], organs[..., 2:] = 1, 2  # 1 cc, and 100 cc
    weight = goals(target, organs).dose_weight
    assert weight[0] == 0
    assert weight[1] == pytest.approx(ORGAN_WEIGHT + NORMAL_TISSUE_WEIGHT)
    assert weight[2] == pytest.approx(ORGAN_WEIGHT / 2 + NORMAL_TISSUE_WEIGHT)


def test_an_organ_inside_the_target_is_target() -> None:
    found = goals(row(1, 0), row(1, 0).astype(int))
    assert (found.wanted_weight[0], found.dose_weight[0]) == (1, 0)


def test_voxels_without_a_share_are_left_out_and_others_stand_for_several() -> None:
    found = goals(row(1, 0, 0), share=row(1, 0, 8))
    assert found.wanted.tolist() == [1, 0]
    assert found.dose_weight[1] == pytest.approx(8 * NORMAL_TISSUE_WEIGHT)
