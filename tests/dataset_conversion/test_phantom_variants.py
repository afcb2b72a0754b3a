"""Perturbed targets: each is what its name and its parameters in mm say."""

import numpy as np
import pytest
from scipy import ndimage

from nnunet_doselo.dataset_conversion.phantom.patient import SyntheticPatient
from nnunet_doselo.dataset_conversion.phantom.variants import (
    FUNCTIONS,
    ISLAND_GAP_MM,
    Variant,
    add_island,
    dilate,
    draw_variant,
    erode,
    remove_part,
    shift,
)

SPACING_MM = 3.0
EVERYWHERE = np.ones((24, 24, 24), bool)


def block(first: int = 8, last: int = 16) -> np.ndarray:
    """A cube of 8 voxels, 24 mm, in the middle of 72 mm."""
    mask = np.zeros((24, 24, 24), bool)
    mask[first:last, first:last, first:last] = True
    return mask


def centre(mask: np.ndarray) -> np.ndarray:
    return SPACING_MM * np.argwhere(mask).mean(axis=0)


@pytest.mark.parametrize("offset_mm", [(3.0, 0.0, -6.0), (0.0, 0.0, 0.0), (4.0, -5.0, 2.0), (-1.0, 1.0, 7.5)])
def test_a_shift_moves_the_centroid(offset_mm: tuple[float, float, float]) -> None:
    moved = shift(block(), SPACING_MM, offset_mm=offset_mm)
    assert centre(moved) - centre(block()) == pytest.approx(offset_mm, abs=1.5)
    assert moved.sum() == pytest.approx(8**3, rel=0.3)


def test_a_shift_by_whole_voxels_changes_nothing_else() -> None:
    assert np.array_equal(
        shift(block(), SPACING_MM, offset_mm=(6.0, 0.0, -3.0)), np.roll(block(), (2, 0, -1), (0, 1, 2))
    )


@pytest.mark.parametrize(("margin_mm", "voxels"), [(1.0, 0), (3.0, 1), (5.0, 2)])
def test_margins_are_counted_to_the_voxels_centres(margin_mm: float, voxels: int) -> None:
    """Centres lie 1.5, 4.5, 7.5 mm from the surface."""
    grown, shrunk = (change(block(), SPACING_MM, margin_mm=margin_mm) for change in (dilate, erode))
    assert np.count_nonzero(grown[:, 12, 12]) == 8 + 2 * voxels
    assert np.array_equal(shrunk, block(8 + voxels, 16 - voxels))


def test_erosion_leaves_the_deepest_voxels() -> None:
    assert np.array_equal(erode(block(), SPACING_MM, margin_mm=99), block(11, 13))
    one = block(8, 9)
    assert np.array_equal(erode(one, SPACING_MM, margin_mm=99), one)


def test_the_missing_part_is_the_share_on_that_side() -> None:
    left = remove_part(block(), SPACING_MM, towards=(0.0, 0.0, 1.0), share=0.25)
    expected = block()
    expected[:, :, 14:] = False
    assert np.array_equal(left, expected)
    assert remove_part(block(), SPACING_MM, towards=(1.0, 0.0, 0.0), share=1.0).sum() == 1


def test_an_island_is_a_ball_and_the_target_stays() -> None:
    whole = add_island(block(), SPACING_MM, centre=(3, 3, 3), radius_mm=3.0)
    assert np.argwhere(whole & ~block()).tolist() == [
        *([2, 3, 3], [3, 2, 3], [3, 3, 2], [3, 3, 3], [3, 3, 4], [3, 4, 3], [4, 3, 3])
    ]
    assert (whole & block()).sum() == 8**3


def test_a_variant_ends_where_the_brain_does_and_is_never_empty() -> None:
    brain = block(4, 18)
    grown = Variant("dilate", {"margin_mm": 30.0}).apply(block(), brain, SPACING_MM)
    assert np.array_equal(grown, brain)
    nowhere = Variant("shift", {"offset_mm": (300.0, 0.0, 0.0)}).apply(block(), brain, SPACING_MM)
    assert np.array_equal(nowhere, block())


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_drawn_variants_change_a_patients_target(kind: str, synthetic_patients: list[SyntheticPatient]) -> None:
    for number, patient in enumerate(synthetic_patients):
        variant = draw_variant(kind, patient.gtv, patient.brain, 6.0, np.random.default_rng(number))
        target = variant.apply(patient.gtv, patient.brain, 6.0)
        assert target.any()
        assert not (target & ~patient.brain).any()
        assert (target != patient.gtv).any()


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_a_draw_follows_its_seed(kind: str) -> None:
    drawn = [draw_variant(kind, block(), EVERYWHERE, SPACING_MM, np.random.default_rng(seed)) for seed in (0, 0, 3)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_drawn_island_keeps_its_distance(synthetic_patients: list[SyntheticPatient]) -> None:
    for number, patient in enumerate(synthetic_patients):
        variant = draw_variant("island", patient.gtv, patient.brain, 6.0, np.random.default_rng(number))
        island = variant.apply(patient.gtv, patient.brain, 6.0) & ~patient.gtv
        assert variant.kind == "island"
        assert (6 * ndimage.distance_transform_edt(~patient.gtv))[island].min() >= ISLAND_GAP_MM


def test_where_there_is_no_room_for_an_island_a_part_is_missing() -> None:
    drawn = draw_variant("island", block(2, 22), EVERYWHERE, SPACING_MM, np.random.default_rng(0))
    assert drawn.kind == "missing part"
