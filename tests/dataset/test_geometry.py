import dataclasses
import math

import numpy as np
import phantoms
import pytest

from nnunet_doselo.dataset.geometry import Grid, body_mask

AXIAL = Grid((4, 3, 2), (1.0, 2.0, 3.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
SAGITTAL = dataclasses.replace(AXIAL, direction=(0, 0, 1.0, 1.0, 0, 0, 0, 1.0, 0))


def test_spacing_is_turned_from_xyz_to_zyx() -> None:
    assert AXIAL.spacing_zyx == (3.0, 2.0, 1.0)


def test_axial_is_told_by_the_third_axis_alone() -> None:
    assert AXIAL.is_axial
    assert not SAGITTAL.is_axial
    upside_down = dataclasses.replace(AXIAL, direction=(-1.0, 0, 0, 0, 1.0, 0, 0, 0, -1.0))
    assert upside_down.is_axial


@pytest.mark.parametrize(("degrees", "axial"), [(0.0, True), (2.0, True), (5.0, False)])
def test_a_slight_tilt_is_still_axial(degrees: float, axial: bool) -> None:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    assert dataclasses.replace(AXIAL, direction=(1.0, 0, 0, 0, c, -s, 0, s, c)).is_axial is axial


def test_equal_grids_have_no_differences_up_to_rounding_of_the_file_format() -> None:
    nearly = dataclasses.replace(AXIAL, origin=(0.0004, 0.0, 0.0))
    assert AXIAL.differences(AXIAL) == []
    assert AXIAL.differences(nearly) == []


def test_each_difference_is_named_with_both_values() -> None:
    other = Grid((4, 3, 5), (1.0, 2.0, 2.5), (0.0, 0.0, 7.0), SAGITTAL.direction)
    size, spacing, origin, direction = AXIAL.differences(other)
    assert size == "size (4, 3, 2) against (4, 3, 5)"
    assert spacing == "spacing (1.0, 2.0, 3.0) against (1.0, 2.0, 2.5)"
    assert origin == "origin (0.0, 0.0, 0.0) against (0.0, 0.0, 7.0)"
    assert direction.startswith("direction")


def picture(*rows: str) -> np.ndarray:
    """One slice: '#' is tissue (0 HU), '.' is air."""
    return np.array([[0 if c == "#" else -1000 for c in row] for row in rows])


def test_air_between_tissue_on_all_four_sides_belongs_to_the_body() -> None:
    ct_hu = picture("......", ".####.", ".#..#.", ".####.", "......")
    assert (body_mask(ct_hu) == (picture("......", ".####.", ".####.", ".####.", "......") == 0)).all()


def test_a_cavity_open_to_one_side_does_not() -> None:
    ct_hu = picture(".####.", ".#....", ".####.")
    assert (body_mask(ct_hu) == (picture(".####.", ".#....", ".####.") == 0)).all()


def test_a_slice_of_air_has_no_body_and_one_voxel_is_a_body() -> None:
    ct_hu = np.stack([picture("...", "...", "..."), picture("...", ".#.", "...")])
    assert body_mask(ct_hu).sum(axis=(1, 2)).tolist() == [0, 1]


def test_tissue_is_above_the_threshold_not_at_it() -> None:
    assert not body_mask(np.full((2, 2), -400)).any()
    assert body_mask(np.full((2, 2), -399)).all()


def test_the_head_phantom_is_filled_with_its_cavity() -> None:
    assert np.array_equal(body_mask(phantoms.head_ct()), phantoms.head())
