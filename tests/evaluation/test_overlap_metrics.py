"""Contours of a few voxels, whose distances can be counted in slices and millimetres."""

import math

import numpy as np
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.evaluation.overlap_metrics import (
    dice,
    false_positive_cc_beyond,
    surface_library,
    surface_scores,
)

SHAPE = (16, 16, 32)
SPACING_MM = (5.0, 2.0, 1.0)
NOTHING = np.zeros(SHAPE, bool)

Voxel = tuple[int, int, int]


def voxels(*where: Voxel) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    for voxel in where:
        mask[voxel] = True
    return mask


def cube(first: Voxel, side: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(start, start + side) for start in first)] = True
    return mask


A = voxels((2, 2, 2))


def test_dice_of_two_voxels_that_share_one() -> None:
    # 2 * 1 / (2 + 2)
    assert dice(voxels((2, 2, 2), (2, 2, 3)), voxels((2, 2, 3), (2, 2, 4))) == 0.5


@pytest.mark.parametrize(
    ("reference", "evaluated", "expected"),
    [(A, A, 1.0), (A, voxels((2, 2, 3)), 0.0), (A, NOTHING, 0.0), (NOTHING, A, 0.0)],
    ids=["same", "apart", "nothing found", "nothing to find"],
)
def test_dice_at_its_ends(reference: np.ndarray, evaluated: np.ndarray, expected: float) -> None:
    assert dice(reference, evaluated) == expected


def test_dice_of_two_empty_masks_is_nan() -> None:
    assert math.isnan(dice(NOTHING, NOTHING))


def test_masks_may_be_integers() -> None:
    assert dice(A.astype(np.uint8) * 3, A) == 1.0
    assert surface_scores(A.astype(np.uint8) * 3, A, SPACING_MM).hd95_mm == 0.0


@pytest.mark.parametrize(
    ("other", "expected_mm"), [((5, 2, 2), 15.0), ((2, 5, 2), 6.0), ((2, 2, 5), 3.0)], ids=["z", "y", "x"]
)
def test_hd95_of_two_voxels_three_apart_is_three_spacings(other: Voxel, expected_mm: float) -> None:
    # the far face of one voxel lies three spacings from the nearest corner of the other
    assert surface_scores(A, voxels(other), SPACING_MM).hd95_mm == pytest.approx(expected_mm)
    assert surface_scores(voxels(other), A, SPACING_MM).hd95_mm == pytest.approx(expected_mm)


def test_hd95_is_the_larger_of_the_two_directions() -> None:
    # every corner of A is shared; the far corners of the added voxel, half of the rest, lie 20 and 21 mm away
    both = voxels((2, 2, 2), (2, 2, 23))
    assert surface_scores(A, both, SPACING_MM).hd95_mm == pytest.approx(21.0)
    assert surface_scores(both, A, SPACING_MM).hd95_mm == pytest.approx(21.0)


def test_hd95_overlooks_a_speck_of_less_than_five_percent_of_the_surface() -> None:
    block, speck = cube((2, 2, 2), side=10), voxels((2, 2, 30))
    assert surface_scores(block, block | speck, (1.0, 1.0, 1.0)).hd95_mm == 0.0


@pytest.mark.parametrize(
    ("other", "expected_mm"),
    [((3, 2, 2), 5.0), ((2, 3, 2), 2.0), ((2, 2, 3), 1.0), ((3, 3, 3), math.sqrt(5**2 + 2**2 + 1)), ((5, 2, 2), 15.0)],
    ids=["z", "y", "x", "corner", "three slices"],
)
def test_hausdorff_of_two_voxels_by_hand(other: Voxel, expected_mm: float) -> None:
    """The far corner of one voxel to the nearest corner of the other: the shift between them."""
    assert surface_scores(A, voxels(other), SPACING_MM).hd_mm == pytest.approx(expected_mm)
    assert surface_scores(voxels(other), A, SPACING_MM).hd_mm == pytest.approx(expected_mm)


def test_hausdorff_sees_the_speck_that_hd95_overlooks() -> None:
    # the block ends at 12 mm, the far face of the speck lies at 31 mm
    block, speck = cube((2, 2, 2), side=10), voxels((2, 2, 30))
    found = surface_scores(block, block | speck, (1.0, 1.0, 1.0))
    assert (found.hd_mm, found.hd95_mm) == (19.0, 0.0)


@pytest.mark.parametrize(
    ("other", "expected"),
    [((2, 2, 2), 1.0), ((2, 2, 3), 1.0), ((2, 3, 2), 1.0), ((3, 2, 2), 0.5), ((5, 2, 2), 0.0)],
    ids=["same", "1 mm", "2 mm", "5 mm", "15 mm"],
)
def test_surface_dice_counts_what_lies_within_two_millimetres(other: Voxel, expected: float) -> None:
    """Eight corners of equal area: one slice on, four of them are shared and the other four are 5 mm away."""
    assert surface_scores(A, voxels(other), SPACING_MM).surface_dice_2mm == pytest.approx(expected)


def test_hd95_of_masks_that_fill_the_image_is_zero() -> None:
    assert surface_scores(~NOTHING, ~NOTHING, SPACING_MM).hd95_mm == 0.0


@pytest.mark.parametrize(("reference", "evaluated"), [(NOTHING, A), (A, NOTHING), (NOTHING, NOTHING)])
def test_no_distance_to_an_empty_mask(reference: np.ndarray, evaluated: np.ndarray) -> None:
    found = surface_scores(reference, evaluated, SPACING_MM)
    assert all(math.isnan(value) for value in (found.hd_mm, found.hd95_mm, found.surface_dice_2mm))


def test_far_false_positives_are_counted_in_cubic_centimetres() -> None:
    # 8 x 8 x 8 voxels of 10 mm3, 25 mm from A at least
    evaluated = A | cube((7, 4, 4), side=8)
    assert false_positive_cc_beyond(A, evaluated, SPACING_MM) == pytest.approx(5.12)


@pytest.mark.parametrize(
    ("island", "expected_cc"),
    [((6, 2, 2), 0.0), ((7, 2, 2), 0.01), ((2, 12, 2), 0.0), ((2, 13, 2), 0.01), ((2, 2, 22), 0.0), ((2, 2, 23), 0.01)],
    ids=["z 20 mm", "z 25 mm", "y 20 mm", "y 22 mm", "x 20 mm", "x 21 mm"],
)
def test_far_means_more_than_twenty_millimetres(island: Voxel, expected_cc: float) -> None:
    assert false_positive_cc_beyond(A, A | voxels(island), SPACING_MM) == pytest.approx(expected_cc)


def test_the_distance_can_be_set_and_runs_to_the_nearest_reference_voxel() -> None:
    reference, evaluated = voxels((2, 2, 2), (2, 2, 22)), voxels((2, 2, 12), (2, 2, 20))
    # 10 mm and 2 mm from the nearest
    assert false_positive_cc_beyond(reference, evaluated, SPACING_MM, distance_mm=5.0) == pytest.approx(0.01)


def test_missing_the_reference_is_no_false_positive() -> None:
    assert false_positive_cc_beyond(A, NOTHING, SPACING_MM) == 0.0


def test_far_from_an_empty_reference_is_nan() -> None:
    assert math.isnan(false_positive_cc_beyond(NOTHING, A, SPACING_MM))


def test_shapes_that_differ_are_refused() -> None:
    smaller = np.ones((2, 2, 2), bool)
    for compare in (
        dice,
        lambda a, b: surface_scores(a, b, SPACING_MM).hd95_mm,
        lambda a, b: false_positive_cc_beyond(a, b, SPACING_MM),
    ):
        with pytest.raises(DoseloError, match=r"reference \(16, 16, 32\), evaluated \(2, 2, 2\)"):
            compare(A, smaller)


def test_the_library_is_named_with_its_version() -> None:
    name, version = surface_library().split()
    assert name == "surface-distance"
    assert version[0].isdigit()
