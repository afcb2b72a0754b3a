"""Contour edits: each is what its name and its parameters in mm say."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from nnunet_doselo.planning.contour_edits import (
    FUNCTIONS,
    ISLAND_GAP_MM,
    ContourEdit,
    add_island,
    case_stream,
    dilate,
    draw_edit,
    draw_edits,
    erode,
    remove_part,
    shift,
)

SPACING_MM = (3.0, 3.0, 3.0)
SLICES_MM = (6.0, 2.0, 3.0)
EVERYWHERE = np.ones((24, 24, 24), bool)


def block(first: int = 8, last: int = 16) -> np.ndarray:
    """A cube of 8 voxels, 24 mm, in the middle of 72 mm."""
    mask = np.zeros((24, 24, 24), bool)
    mask[first:last, first:last, first:last] = True
    return mask


def centre(mask: np.ndarray, spacing_mm: tuple[float, ...] = SPACING_MM) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0) * spacing_mm


@pytest.mark.parametrize("spacing_mm", [SPACING_MM, SLICES_MM])
@pytest.mark.parametrize("offset_mm", [(3.0, 0.0, -6.0), (0.0, 0.0, 0.0), (4.0, -5.0, 2.0), (-1.0, 1.0, 7.5)])
def test_a_shift_moves_the_centroid(offset_mm: tuple[float, float, float], spacing_mm: tuple[float, ...]) -> None:
    moved = shift(block(), spacing_mm, offset_mm=offset_mm)
    off = np.abs(centre(moved, spacing_mm) - centre(block(), spacing_mm) - offset_mm)
    assert (off <= np.divide(spacing_mm, 2)).all()
    assert moved.sum() == pytest.approx(8**3, rel=0.3)


def test_a_shift_by_whole_voxels_changes_nothing_else() -> None:
    for spacing_mm, steps in ((SPACING_MM, (2, 0, -1)), (SLICES_MM, (1, 0, -1))):
        moved = shift(block(), spacing_mm, offset_mm=(6.0, 0.0, -3.0))
        assert np.array_equal(moved, np.roll(block(), steps, (0, 1, 2)))


@pytest.mark.parametrize(("margin_mm", "voxels"), [(1.0, 0), (3.0, 1), (5.0, 2)])
def test_margins_are_counted_to_the_voxels_centres(margin_mm: float, voxels: int) -> None:
    """Centres lie 1.5, 4.5, 7.5 mm from the surface."""
    grown, shrunk = (change(block(), SPACING_MM, margin_mm=margin_mm) for change in (dilate, erode))
    assert np.count_nonzero(grown[:, 12, 12]) == 8 + 2 * voxels
    assert np.array_equal(shrunk, block(8 + voxels, 16 - voxels))


def test_a_margin_crosses_fewer_of_the_thick_slices() -> None:
    """Centres lie 5 mm away in z (6 mm less half of the shortest edge), 1, 3, 5 mm in y and 2, 5 mm in x."""
    grown = dilate(block(), SLICES_MM, margin_mm=4.0)
    assert [np.count_nonzero(line) for line in (grown[:, 12, 12], grown[12, :, 12], grown[12, 12, :])] == [8, 12, 10]
    shrunk = erode(block(), SLICES_MM, margin_mm=4.0)
    assert np.array_equal(np.argwhere(shrunk).min(axis=0), [8, 10, 9])


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


def test_the_direction_of_a_missing_part_is_one_in_mm() -> None:
    """Of two voxels, one 6 mm up (a slice) and one 8 mm posterior (four rows), the second lies farther diagonally."""
    mask = np.zeros((3, 6, 3), bool)
    mask[0, 0, 0] = mask[1, 0, 0] = mask[0, 4, 0] = True
    left = remove_part(mask, SLICES_MM, towards=(0.71, 0.7, 0.0), share=0.34)
    assert np.argwhere(left).tolist() == [[0, 0, 0], [1, 0, 0]]


def test_an_island_is_a_ball_and_the_target_stays() -> None:
    whole = add_island(block(), SPACING_MM, centre=(3, 3, 3), radius_mm=3.0)
    assert np.argwhere(whole & ~block()).tolist() == [
        *([2, 3, 3], [3, 2, 3], [3, 3, 2], [3, 3, 3], [3, 3, 4], [3, 4, 3], [4, 3, 3])
    ]
    assert (whole & block()).sum() == 8**3


def test_an_island_is_a_ball_in_mm() -> None:
    island = add_island(block(), SLICES_MM, centre=(3, 3, 3), radius_mm=5.9) & ~block()
    assert np.argwhere(island[:, 3, 3]).ravel().tolist() == [3]
    assert np.argwhere(island[3, :, 3]).ravel().tolist() == [1, 2, 3, 4, 5]
    assert np.argwhere(island[3, 3, :]).ravel().tolist() == [2, 3, 4]


def test_an_edit_ends_where_the_region_does_and_is_never_empty() -> None:
    region = block(4, 18)
    grown = ContourEdit("dilate", {"margin_mm": 30.0}).apply(block(), region, SPACING_MM)
    assert np.array_equal(grown, region)
    nowhere = ContourEdit("shift", {"offset_mm": (300.0, 0.0, 0.0)}).apply(block(), region, SPACING_MM)
    assert np.array_equal(nowhere, block())


def levels() -> np.ndarray:
    """70 Gy in the middle of 56 Gy, along x: 0 0 56 56 70 70 56 56 0 0 0 0."""
    line = np.array([0, 0, 56, 56, 70, 70, 56, 56, 0, 0, 0, 0], np.float32)
    return np.broadcast_to(line, (12, 12, 12)).copy()


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (ContourEdit("shift", {"offset_mm": (0.0, 0.0, 3.0)}), [0, 0, 0, 56, 56, 70, 70, 56, 56, 0, 0, 0]),
        (ContourEdit("dilate", {"margin_mm": 2.0}), [0, 56, 56, 70, 70, 70, 70, 56, 56, 0, 0, 0]),
        (ContourEdit("erode", {"margin_mm": 2.0}), [0, 0, 0, 56, 70, 70, 56, 0, 0, 0, 0, 0]),
        (ContourEdit("missing part", {"towards": (0.0, 0.0, 1.0), "share": 0.5}), [0, 0, 56, 56, 70] + 7 * [0]),
        (ContourEdit("island", {"centre": (6, 6, 10), "radius_mm": 1.0}), [0, 0, 56, 56, 70, 70, 56, 56, 0, 0, 70, 0]),
    ],
)
def test_every_dose_level_is_edited(edit: ContourEdit, expected: list[int]) -> None:
    edited = edit.apply_to_levels(levels(), np.ones((12, 12, 12), bool), SPACING_MM)
    assert edited.dtype == np.float32
    assert edited[6, 6].tolist() == expected


def test_one_level_is_edited_as_a_mask() -> None:
    for kind in FUNCTIONS:
        edit = draw_edit(kind, block(), EVERYWHERE, SPACING_MM, np.random.default_rng(0))
        assert np.array_equal(
            edit.apply_to_levels(60.0 * block(), EVERYWHERE, SPACING_MM),
            60.0 * edit.apply(block(), EVERYWHERE, SPACING_MM),
        )


@pytest.mark.parametrize(
    ("kind", "parameters", "voxels"),
    [
        ("shift", {"offset_mm": (-1.49, 7.21, 1.18)}, 490),
        ("dilate", {"margin_mm": 4.55}, 1384),
        ("erode", {"margin_mm": 3.91}, 216),
        ("island", {"centre": (1, 5, 0), "radius_mm": 8.18}, 557),
    ],
)
def test_a_seed_gives_what_it_gave_in_the_first_version(kind: str, parameters: dict[str, Any], voxels: int) -> None:
    """Cohorts are named by their seed: the numbers are those of the first version that drew edits."""
    edit = draw_edit(kind, block(), EVERYWHERE, SPACING_MM, np.random.default_rng(0))
    assert edit == ContourEdit(kind, parameters)
    assert edit.apply(block(), EVERYWHERE, SPACING_MM).sum() == voxels


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_a_draw_follows_its_seed(kind: str) -> None:
    drawn = [draw_edit(kind, block(), EVERYWHERE, SPACING_MM, np.random.default_rng(seed)) for seed in (0, 0, 3)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_every_kind_comes_before_one_comes_again_and_few_are_the_first_of_many() -> None:
    many, few = (
        draw_edits(number, block(), EVERYWHERE, SPACING_MM, partial(case_stream, 1, "P1")) for number in (7, 3)
    )
    assert {edit.kind for edit in many[:5]} == set(FUNCTIONS)
    assert many[:3] == few
    assert draw_edits(3, block(), EVERYWHERE, SPACING_MM, partial(case_stream, 1, "P2")) != few


@pytest.mark.parametrize("spacing_mm", [SPACING_MM, SLICES_MM])
def test_a_drawn_island_keeps_its_distance(spacing_mm: tuple[float, ...]) -> None:
    for seed in range(6):
        edit = draw_edit("island", block(), EVERYWHERE, spacing_mm, np.random.default_rng(seed))
        island = edit.apply(block(), EVERYWHERE, spacing_mm) & ~block()
        assert edit.kind == "island"
        assert ndimage.distance_transform_edt(~block(), sampling=spacing_mm)[island].min() >= ISLAND_GAP_MM


def test_where_there_is_no_room_for_an_island_a_part_is_missing() -> None:
    drawn = draw_edit("island", block(2, 22), EVERYWHERE, SPACING_MM, np.random.default_rng(0))
    assert drawn.kind == "missing part"
