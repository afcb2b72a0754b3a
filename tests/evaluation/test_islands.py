"""Islands of a few voxels, whose distances are whole slices and millimetres."""

import math

import numpy as np
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.evaluation.islands import find_islands, island_rows, island_summary

SHAPE = (12, 12, 40)
SPACING_MM = (5.0, 2.0, 1.0)  # voxels of 0.01 cc
NOTHING = np.zeros(SHAPE, bool)

Voxel = tuple[int, int, int]


def voxels(*where: Voxel) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    for voxel in where:
        mask[voxel] = True
    return mask


TARGET = voxels((5, 5, 5), (5, 5, 6))


def test_an_island_is_counted_measured_and_located() -> None:
    (found,) = find_islands(TARGET, TARGET | voxels((5, 5, 16), (5, 5, 17)), SPACING_MM)
    assert found.volume_cc == pytest.approx(0.02)
    assert found.distance_mm == 10
    assert found.beyond_cc == 0
    assert math.isnan(found.mean_gy)


@pytest.mark.parametrize(
    ("island", "expected_mm"), [((8, 5, 5), 15), ((5, 9, 5), 8), ((7, 7, 6), math.hypot(10, 4))], ids=["z", "y", "zy"]
)
def test_distances_are_in_millimetres(island: Voxel, expected_mm: float) -> None:
    (found,) = find_islands(TARGET, voxels(island), SPACING_MM)
    assert found.distance_mm == pytest.approx(expected_mm)


def test_voxels_that_meet_at_a_corner_are_one_island() -> None:
    assert len(find_islands(TARGET, voxels((9, 9, 20), (10, 10, 21)), SPACING_MM)) == 1
    assert len(find_islands(TARGET, voxels((9, 9, 20), (10, 10, 22)), SPACING_MM)) == 2


def test_what_shares_a_voxel_with_the_target_or_touches_it_is_no_island() -> None:
    assert find_islands(TARGET, TARGET, SPACING_MM) == []
    # a tail of the target, however long; a voxel that meets it at a corner
    assert find_islands(TARGET, voxels(*((5, 5, x) for x in range(6, 38))), SPACING_MM) == []
    assert find_islands(TARGET, voxels((6, 6, 7)), SPACING_MM) == []
    assert len(find_islands(TARGET, voxels((6, 6, 8)), SPACING_MM)) == 1


def test_the_largest_comes_first() -> None:
    found = find_islands(TARGET, voxels((5, 5, 16), (0, 0, 0), (0, 0, 1), (0, 0, 2)), SPACING_MM)
    assert [round(one.volume_cc, 6) for one in found] == [0.03, 0.01]


def test_volume_beyond_20_mm_counts_voxels() -> None:
    # 19, 20 and 21 mm from the target: exactly 20 mm is not beyond
    (found,) = find_islands(TARGET, voxels((5, 5, 25), (5, 5, 26), (5, 5, 27)), SPACING_MM)
    assert (found.distance_mm, found.beyond_cc) == (19, pytest.approx(0.01))


def test_dose_in_islands() -> None:
    dose_gy = np.zeros(SHAPE)
    dose_gy[5, 5, 16:18], dose_gy[0, 0, 0] = (10, 30), 50
    found = find_islands(TARGET, voxels((5, 5, 16), (5, 5, 17), (0, 0, 0)), SPACING_MM, dose_gy)
    assert [(one.mean_gy, one.max_gy) for one in found] == [(20, 30), (50, 50)]
    summary = island_summary(found)
    # three voxels of 10, 30 and 50 Gy
    assert (summary["islands_mean_gy"], summary["islands_max_gy"]) == (pytest.approx(30), 50)
    assert (summary["islands"], summary["islands_cc"]) == (2, pytest.approx(0.03))
    assert summary["islands_beyond_20mm_cc"] == pytest.approx(0.01)  # (0, 0, 0): 25 mm in z alone


def test_without_islands() -> None:
    for evaluated in (NOTHING, TARGET):
        summary = island_summary(find_islands(TARGET, evaluated, SPACING_MM))
        assert [summary[name] for name in ("islands", "islands_cc", "islands_beyond_20mm_cc")] == [0, 0, 0]
        assert math.isnan(summary["islands_mean_gy"])
        assert math.isnan(summary["islands_max_gy"])


def test_without_reference_every_component_counts_and_has_no_distance() -> None:
    found = find_islands(NOTHING, voxels((0, 0, 0), (5, 5, 5)), SPACING_MM)
    assert len(found) == 2
    assert all(math.isnan(one.distance_mm) and math.isnan(one.beyond_cc) for one in found)
    summary = island_summary(found)
    assert (summary["islands"], summary["islands_cc"]) == (2, pytest.approx(0.02))
    assert math.isnan(summary["islands_beyond_20mm_cc"])
    assert find_islands(NOTHING, NOTHING, SPACING_MM) == []


def test_masks_may_be_label_maps() -> None:
    assert len(find_islands(TARGET.astype(np.uint8) * 2, voxels((9, 9, 20)).astype(np.uint8), SPACING_MM)) == 1


def test_rows_of_the_table() -> None:
    (row,) = island_rows("GBM_001", find_islands(TARGET, voxels((5, 5, 16)), SPACING_MM))
    assert (row["case"], row["island"], row["distance_mm"]) == ("GBM_001", 1, 10)
    assert list(row) == ["case", "island", "volume_cc", "distance_mm", "beyond_cc", "mean_gy", "max_gy"]


def test_one_grid_is_needed() -> None:
    with pytest.raises(DoseloError, match="one voxel grid"):
        find_islands(TARGET, np.zeros((2, 2, 2)), SPACING_MM)
    with pytest.raises(DoseloError, match="dose_gy"):
        find_islands(TARGET, TARGET, SPACING_MM, np.zeros((2, 2, 2)))
