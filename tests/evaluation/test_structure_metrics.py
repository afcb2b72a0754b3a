"""Figures of structures in doses that can be read off: a ramp, a plateau, one voxel, none."""

import math

import numpy as np
import pytest

from nnunet_doselo.evaluation.dvh import DVH
from nnunet_doselo.evaluation.structure_metrics import (
    FIGURES,
    StructureFigures,
    dvh_figures,
    error_metric,
    target_figures,
)

SHAPE = (4, 5, 5)
EVERYWHERE = np.ones(SHAPE, bool)
NOWHERE = np.zeros(SHAPE, bool)
RAMP_GY = np.arange(1, 101).reshape(SHAPE) * 0.6
"""100 voxels of 0.6, 1.2 ... 60 Gy."""
VOXEL_CC = 0.05


def figures(dose_gy: np.ndarray, mask: np.ndarray, prescription_gy: float = 60.0) -> dict[str, float]:
    return dvh_figures(DVH.from_dose(dose_gy, mask, VOXEL_CC), prescription_gy)


def test_a_ramp_by_hand() -> None:
    found = figures(RAMP_GY, EVERYWHERE)
    # the 98th, 95th, 50th and 2nd hottest of 100 voxels; 0.1 cc are two voxels
    assert found == {
        "dmean_gy": pytest.approx(30.3),
        "d98_gy": pytest.approx(1.8),
        "d95_gy": pytest.approx(3.6),
        "d50_gy": pytest.approx(30.6),
        "d2_gy": pytest.approx(59.4),
        "d0.1cc_gy": pytest.approx(59.4),
        "v50_percent": pytest.approx(51),  # 30 Gy and more: the 50th voxel to the 100th
        "v95_percent": pytest.approx(6),  # 57 Gy and more
        "v107_percent": 0,
    }


def test_a_plateau_has_one_dose_and_all_of_the_volume() -> None:
    found = figures(np.full(SHAPE, 60.0), EVERYWHERE)
    assert {value for key, value in found.items() if key.endswith("_gy")} == {60.0}
    assert (found["v50_percent"], found["v95_percent"], found["v107_percent"]) == (100, 100, 0)


def test_coverage_is_of_the_structures_own_prescription() -> None:
    assert figures(np.full(SHAPE, 53.2), EVERYWHERE, 56.0)["v95_percent"] == 100
    assert figures(np.full(SHAPE, 53.2), EVERYWHERE, 63.0)["v95_percent"] == 0


def test_one_voxel_is_its_own_mean_and_maximum() -> None:
    one = NOWHERE.copy()
    one[0, 0, 3] = True
    doses = [value for key, value in figures(RAMP_GY, one).items() if key.endswith("_gy")]
    assert doses == pytest.approx([2.4] * 6)


def test_a_structure_without_voxels_has_no_figures() -> None:
    found = figures(RAMP_GY, NOWHERE) | target_figures(
        DVH.from_dose(RAMP_GY, NOWHERE, VOXEL_CC), RAMP_GY, [(60.0, NOWHERE)], 60.0
    )
    assert set(found) == set(FIGURES)
    assert all(math.isnan(value) for value in found.values())


def test_conformity_and_homogeneity_of_a_boost_and_its_surroundings() -> None:
    """70 Gy in the first slice, 56 Gy in the second, 54 Gy in half of the third."""
    dose_gy = np.zeros(SHAPE)
    dose_gy[0], dose_gy[1], dose_gy[2].flat[:10] = 70, 56, 54
    boost, low = NOWHERE.copy(), NOWHERE.copy()
    boost[0], low[1] = True, True
    targets = [(70.0, boost), (56.0, low)]
    of_boost = target_figures(DVH.from_dose(dose_gy, boost, VOXEL_CC), dose_gy, targets, 70.0)
    assert of_boost == {"conformity": 1, "homogeneity": 0}
    # 53.2 Gy and more get 25 + 25 voxels of both targets, and 10 others: 50^2 / (50 * 60)
    of_low = target_figures(DVH.from_dose(dose_gy, low, VOXEL_CC), dose_gy, targets, 56.0)
    assert of_low == {"conformity": pytest.approx(5 / 6), "homogeneity": 0}


def test_homogeneity_of_the_ramp() -> None:
    found = target_figures(DVH.from_dose(RAMP_GY, EVERYWHERE, VOXEL_CC), RAMP_GY, [(60.0, EVERYWHERE)], 60.0)
    assert found["homogeneity"] == pytest.approx((59.4 - 1.8) / 30.6)
    # 6 of 100 voxels get 57 Gy, none outside: 6^2 / (100 * 6)
    assert found["conformity"] == pytest.approx(0.06)


def test_errors_have_no_sign_and_are_nan_where_a_figure_is() -> None:
    errors = StructureFigures({"d95_gy": 57.0, "d2_gy": math.nan}, {"d95_gy": 50.0, "d2_gy": 3.0}).errors()
    assert errors["d95_gy"] == 7
    assert math.isnan(errors["d2_gy"])


def test_every_figure_can_be_listed() -> None:
    metrics = [error_metric("GTV", figure) for figure in FIGURES]
    assert metrics[2].key == "GTV_d95_gy"
    assert (metrics[2].title, metrics[2].unit, metrics[2].better) == ("GTV D95, error", "Gy", "lower")
