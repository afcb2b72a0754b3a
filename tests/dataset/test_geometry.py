import dataclasses
import math

import numpy as np
import phantoms
import pytest
import SimpleITK as sitk

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import (
    UPRIGHT,
    Grid,
    body_mask,
    box_around,
    box_between,
    require_same_shape,
    voxel_cc,
    voxel_mm3,
)
from nnunet_doselo.dataset.images import as_image

AXIAL = Grid((4, 3, 2), (1.0, 2.0, 3.0), (0.0, 0.0, 0.0), UPRIGHT)
SAGITTAL = dataclasses.replace(AXIAL, direction=(0, 0, 1.0, 1.0, 0, 0, 0, 1.0, 0))
BOX = (slice(1, 2), slice(0, 2), slice(1, 4))


def oblique(seed: int) -> Grid:
    """Any direction, spacing and origin, as a scanner may have them."""
    rng = np.random.default_rng(seed)
    direction = sitk.Euler3DTransform((0.0, 0.0, 0.0), *rng.uniform(-3, 3, 3).tolist()).GetMatrix()
    return Grid((7, 6, 5), tuple(rng.uniform(0.4, 4, 3).tolist()), tuple(rng.uniform(-300, 300, 3).tolist()), direction)


def image_on(grid: Grid) -> sitk.Image:
    return as_image(np.zeros(grid.shape, np.uint8), grid)


# quarter turns, a mirror image, any directions, and one that a file has rounded to four digits
GRIDS = {
    "axial": AXIAL,
    "sagittal": SAGITTAL,
    "upside down": dataclasses.replace(AXIAL, direction=(-1.0, 0, 0, 0, 1.0, 0, 0, 0, -1.0)),
    **{f"oblique {seed}": oblique(seed) for seed in range(4)},
    "rounded": dataclasses.replace(oblique(5), direction=tuple(round(cosine, 4) for cosine in oblique(5).direction)),
}


@pytest.fixture(params=GRIDS)
def grid(request: pytest.FixtureRequest) -> Grid:
    return GRIDS[request.param]


def test_an_index_is_a_place_in_the_patient_worked_out_by_hand() -> None:
    moved = dataclasses.replace(AXIAL, origin=(10.0, 20.0, 30.0))
    assert moved.to_patient(np.array([3, 2, 1])).tolist() == [13, 24, 33]
    assert moved.to_index(np.array([[13, 24, 33], [9.5, 21, 30]])).tolist() == [[3, 2, 1], [-0.5, 0.5, 0]]
    # the first axis runs along y, the second along z, the third along x
    assert SAGITTAL.to_patient(np.array([3, 2, 1])).tolist() == [3, 3, 4]
    assert SAGITTAL.to_index(np.array([3, 3, 4])).tolist() == [3, 2, 1]
    turned = dataclasses.replace(AXIAL, direction=(0.6, -0.8, 0, 0.8, 0.6, 0, 0, 0, 1.0))
    assert turned.to_patient(np.array([[5, 0, 0], [0, 5, 1]])) == pytest.approx(np.array([[3, 4, 0], [-8, 6, 3]]))


def test_index_and_place_are_simpleitks_in_every_direction(grid: Grid) -> None:
    image = image_on(grid)
    index = np.random.default_rng(0).uniform(-3, 9, (20, 3))
    points_mm = [image.TransformContinuousIndexToPhysicalPoint(i) for i in index.tolist()]
    assert grid.to_patient(index) == pytest.approx(np.array(points_mm), abs=1e-9)
    there = [image.TransformPhysicalPointToContinuousIndex(point) for point in points_mm]
    assert grid.to_index(np.array(points_mm)) == pytest.approx(np.array(there), abs=1e-9)
    assert grid.to_index(grid.to_patient(index)) == pytest.approx(index, abs=1e-9)


def test_points_keep_the_shape_that_they_come_in(grid: Grid) -> None:
    index = np.arange(24.0).reshape(2, 4, 3)
    assert grid.to_index(grid.to_patient(index)) == pytest.approx(index, abs=1e-9)
    assert grid.to_patient(np.empty((0, 3))).shape == grid.to_index(np.empty((0, 3))).shape == (0, 3)


def test_the_voxels_of_a_mask_lie_where_simpleitk_says(grid: Grid) -> None:
    mask = np.zeros(grid.shape, bool)
    mask[1, 2, 3] = mask[0, 1, 2] = True
    first, second = ((2, 1, 0), (3, 2, 1))
    expected = [image_on(grid).TransformIndexToPhysicalPoint(index) for index in (first, second)]
    assert grid.centres_mm(mask) == pytest.approx(np.array(expected), abs=1e-9)
    assert grid.centres_mm(np.zeros(grid.shape, bool)).shape == (0, 3)


def test_a_cut_grid_leaves_every_voxel_where_it_is(grid: Grid) -> None:
    cut, part = grid.cut(BOX), image_on(grid)[1:4, 0:2, 1:2]
    assert cut.shape == (1, 2, 3)
    assert (cut.size, cut.spacing, cut.direction) == (part.GetSize(), grid.spacing, grid.direction)
    assert cut.origin == pytest.approx(part.GetOrigin(), abs=1e-9)
    assert grid.cut(grid.box) == grid


def test_a_box_may_reach_beyond_the_grid() -> None:
    larger = AXIAL.cut((slice(-1, 3), slice(0, 3), slice(-2, 4)))
    assert (larger.size, larger.origin) == ((6, 3, 4), (-2.0, 0.0, -3.0))


def test_extents_run_from_face_to_face() -> None:
    whole = AXIAL.extent()
    assert (whole.low.tolist(), whole.high.tolist()) == ([-0.5, -1.0, -1.5], [3.5, 5.0, 4.5])
    part = AXIAL.extent(BOX)
    assert (part.low.tolist(), part.high.tolist()) == ([0.5, -1.0, 1.5], [3.5, 3.0, 4.5])
    along_the_patient = SAGITTAL.extent()
    assert (along_the_patient.low.tolist(), along_the_patient.high.tolist()) == ([-1.5, -0.5, -1.0], [4.5, 3.5, 5.0])


def test_extents_are_compared_along_the_patients_axes() -> None:
    whole = Grid((2, 3, 4), (1.0, 2.0, 3.0), (0.0, 0.0, 0.0), UPRIGHT).extent()
    beside = Grid((2, 3, 4), (1.0, 2.0, 3.0), (2.0, 0.0, 0.0), UPRIGHT).extent()
    assert not whole.overlaps(beside)
    assert not whole.holds(beside, 1.0)
    assert whole.holds(beside, 2.0)
    assert whole.holds(beside, np.array([2.0, 0.0, 0.0]))
    assert whole.overlaps(Grid((1, 1, 1), (1.0, 1.0, 1.0), (1.0, 0.0, 0.0), UPRIGHT).extent())


def test_corners_are_those_of_the_outer_faces_or_of_the_outermost_centres(grid: Grid) -> None:
    image, (x, y, z) = image_on(grid), grid.size
    for beyond in (0.5, 0.0):
        ends = [(-beyond, n - 1 + beyond) for n in (x, y, z)]
        expected = {
            tuple(np.round(image.TransformContinuousIndexToPhysicalPoint((i, j, k)), 6).tolist())
            for i in ends[0]
            for j in ends[1]
            for k in ends[2]
        }
        corners = np.round(grid.corners_mm(beyond=beyond), 6)
        assert {tuple(corner) for corner in corners.tolist()} == expected


def test_other_voxels_fill_the_same_room() -> None:
    """4 x 6 x 6 mm from (-0.5, -1, -1.5)."""
    finer = AXIAL.respaced((1.5, 1.0, 0.5))
    assert (finer.size, finer.spacing, finer.origin) == ((8, 6, 4), (0.5, 1.0, 1.5), (-0.25, -0.5, -0.75))
    assert AXIAL.respaced((100.0, 4.0, 4.0)).size == (1, 2, 1)
    assert AXIAL.respaced(AXIAL.spacing_zyx) == AXIAL


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_the_first_face_stays_in_every_direction(grid: Grid, factor: float) -> None:
    other = grid.respaced([mm * factor for mm in grid.spacing_zyx])
    first = other.to_patient(np.full(3, -0.5))
    assert first == pytest.approx(grid.to_patient(np.full(3, -0.5)), abs=1e-9)


def test_volumes_of_voxels(grid: Grid) -> None:
    image = image_on(grid)
    assert grid.voxel_mm3 == pytest.approx(math.prod(image.GetSpacing()))
    assert (AXIAL.voxel_mm3, AXIAL.voxel_cc) == (6.0, pytest.approx(0.006))
    assert (voxel_mm3((3.0, 2.0, 1.0)), voxel_cc((10.0, 10.0, 10.0))) == (6.0, 1.0)


def test_shape_and_box_are_the_arrays() -> None:
    assert (AXIAL.shape, AXIAL.box) == ((2, 3, 4), (slice(0, 2), slice(0, 3), slice(0, 4)))
    assert np.zeros(AXIAL.shape)[AXIAL.box].shape == AXIAL.shape


def test_an_upright_grid_is_told_as_the_array_is() -> None:
    assert Grid.upright((2, 3, 4), (3.0, 2.0, 1.0)) == AXIAL
    assert Grid.upright((2, 3, 4), (3.0, 2.0, 1.0), (10.0, 20.0, 30.0)).origin == (10.0, 20.0, 30.0)


def test_a_box_between_two_indices() -> None:
    assert box_between(np.array([-2, 0, -1]), np.array([4, 3, 3])) == (slice(-1, 3), slice(0, 3), slice(-2, 4))


def test_axes_are_the_columns_of_the_direction() -> None:
    assert SAGITTAL.axes[:, 0].tolist() == [0, 1, 0]
    assert SAGITTAL.axes[:, 2].tolist() == [1, 0, 0]


def test_the_box_around_a_mask() -> None:
    mask = np.zeros((4, 5, 6), bool)
    assert box_around(mask) is None
    mask[1, 2, 3] = mask[2, 2, 5] = True
    assert box_around(mask) == (slice(1, 3), slice(2, 3), slice(3, 6))
    assert box_around(mask, (1, 9, 1)) == (slice(0, 4), slice(0, 5), slice(2, 6))
    assert box_around(mask, 1) == (slice(0, 4), slice(1, 4), slice(2, 6))


def test_masks_of_any_number_of_axes_have_a_box() -> None:
    assert box_around(np.array([False, True, True, False])) == (slice(1, 3),)
    assert box_around(np.ones((2, 3), bool), 4) == (slice(0, 2), slice(0, 3))
    assert box_around(np.zeros((0, 3), bool)) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_box_holds_the_whole_mask_and_no_empty_face(seed: int) -> None:
    mask = np.random.default_rng(seed).random((6, 7, 8)) < 0.02
    box = box_around(mask)
    assert box is not None
    assert mask[box].sum() == mask.sum()
    for axis in range(3):
        filled = np.moveaxis(mask[box], axis, 0).any(axis=(1, 2))
        assert filled[0]
        assert filled[-1]


def test_arrays_of_two_shapes_are_told_apart_by_name() -> None:
    require_same_shape(a=np.zeros((2, 3)), b=np.ones((2, 3)))
    with pytest.raises(DoseloError, match=r"found a \(2, 3\), b \(3, 2\); resample"):
        require_same_shape(a=np.zeros((2, 3)), b=np.ones((3, 2)))


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
