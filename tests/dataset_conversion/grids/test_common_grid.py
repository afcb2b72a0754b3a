"""Grids worked out by hand; boxes and spheres at known places in the patient."""

import math

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import Geometry

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import AIR_HU, UPRIGHT, Grid
from nnunet_doselo.dataset.images import as_image, grid_of
from nnunet_doselo.dataset_conversion.cases.checks import swapped_sides
from nnunet_doselo.dataset_conversion.grids.common_grid import GridSettings, common_grid, onto
from nnunet_doselo.dataset_conversion.grids.mask_resampling import keep_volume, part_of, resample_mask

OWN = GridSettings(spacing_mm=None)
# 30 degrees around x, and 2 degrees: less than "axial slices" are allowed to be tilted
TILTED, SLIGHTLY = (
    (1.0, 0.0, 0.0, 0.0, math.cos(a), -math.sin(a), 0.0, math.sin(a), math.cos(a)) for a in np.deg2rad((30, 2))
)


def ct(
    shape: tuple[int, int, int] = (20, 40, 50), spacing_zyx: tuple[float, float, float] = (3.0, 1.0, 1.0),
    direction: tuple[float, ...] = UPRIGHT, body: tuple[slice, ...] = (slice(None), slice(10, 30), slice(15, 40)),
) -> sitk.Image:  # fmt: skip
    """Air with a block of water; the first voxel's centre at (100, 200, 300)."""
    array = np.full(shape, -1000, np.int16)
    array[body] = 0
    return as_image(array, Grid(shape[::-1], spacing_zyx[::-1], (100.0, 200.0, 300.0), direction))


def points_mm(grid: Grid) -> np.ndarray:
    """Patient coordinates (Z, Y, X, 3), by SimpleITK."""
    image = sitk.Image(grid.size, sitk.sitkUInt8)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    source = sitk.PhysicalPointImageSource()
    source.SetReferenceImage(image)
    return sitk.GetArrayFromImage(source.Execute())


def sphere(grid: Grid, centre_mm: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    return np.linalg.norm(points_mm(grid) - centre_mm, axis=-1) <= radius_mm


def test_the_cts_own_voxels_are_cut_to_the_body_with_a_margin_of_5_mm() -> None:
    grid = common_grid(ct(), OWN, {})
    # x: voxels 10 to 44, y: 5 to 34, z: all
    assert (grid.size, grid.spacing, grid.direction) == ((35, 30, 20), (1.0, 1.0, 3.0), UPRIGHT)
    assert grid.origin == pytest.approx((110, 205, 300))
    assert np.array_equal(onto(ct(), grid, outside=AIR_HU), sitk.GetArrayFromImage(ct())[:, 5:35, 10:45])


def test_structures_outside_the_body_are_kept() -> None:
    marker = np.zeros((20, 40, 50), bool)
    marker[3, 39, 0] = True
    grid = common_grid(ct(), OWN, {"Marker": marker})
    assert grid.size == (45, 35, 20)
    assert grid.origin == pytest.approx((100, 205, 300))


def test_a_body_contour_takes_the_place_of_the_threshold() -> None:
    body = np.zeros((20, 40, 50), bool)
    body[8:12, 15:25, 20:30] = True
    grid = common_grid(ct(), OWN, {}, body)
    # z: 2 voxels of 3 mm make the margin
    assert (grid.size, grid.origin) == ((20, 20, 8), pytest.approx((115, 210, 318)))


def test_without_body_or_without_cutting_the_whole_ct_stays() -> None:
    empty = ct(body=(slice(0), slice(0), slice(0)))
    for image, settings in ((empty, OWN), (ct(), GridSettings(None, crop_to_body=False))):
        assert common_grid(image, settings, {}).differences(grid_of(image)) == []


def test_isotropic_voxels_start_at_the_outer_face_of_the_first_voxel() -> None:
    grid = common_grid(ct(), GridSettings(2.0, crop_to_body=False), {})
    # 50 x 40 x 60 mm from (99.5, 199.5, 298.5)
    assert (grid.size, grid.origin) == ((25, 20, 30), pytest.approx((100.5, 200.5, 299.5)))


@pytest.mark.parametrize("position", ["HFP", "FFS", "HFDL", "FFDR"])
def test_voxels_of_every_position_are_put_in_the_order_of_one_who_lies_on_the_back(position: str) -> None:
    direction = Geometry.of_position(position).direction
    body = (slice(2, 9), slice(10, 30), slice(15, 40))
    image = ct(direction=direction, body=body)
    grid = common_grid(image, OWN, {})
    assert grid.direction == UPRIGHT
    assert sorted(grid.spacing) == [1.0, 1.0, 3.0]
    values = onto(image, grid, outside=AIR_HU)
    at = points_mm(grid_of(image))[body]
    inside = np.rint((at - grid.origin) / grid.spacing).astype(int)
    assert np.count_nonzero(values == 0) == 7 * 20 * 25 == len(inside.reshape(-1, 3))
    assert (values[inside[..., 2], inside[..., 1], inside[..., 0]] == 0).all()


def test_an_oblique_ct_needs_a_spacing() -> None:
    for direction in (TILTED, SLIGHTLY):
        with pytest.raises(DoseloError, match=r"axes must run along the patient's .* pass --spacing 1 to resample it"):
            common_grid(ct(direction=direction), OWN, {})


def test_an_oblique_ct_is_resampled_along_the_patients_axes() -> None:
    image = ct((60, 60, 60), (1.0, 1.0, 1.0), TILTED, (slice(20, 40),) * 3)
    ball = sphere(grid_of(image), (130.0, 210.0, 340.0), 12.0)
    grid = common_grid(image, GridSettings(1.0), {"Ball": ball})
    moved = resample_mask(ball, grid_of(image), grid)
    assert grid.direction == UPRIGHT
    assert np.count_nonzero(moved) == pytest.approx(np.count_nonzero(ball), rel=0.01)
    assert points_mm(grid)[moved].mean(axis=0) == pytest.approx((130, 210, 340), abs=0.1)
    shared = np.count_nonzero(moved & sphere(grid, (130.0, 210.0, 340.0), 12.0))
    assert shared / np.count_nonzero(moved) > 0.97


def test_slices_thinner_than_pixels_need_a_spacing() -> None:
    with pytest.raises(DoseloError, match=r"slice spacing must not be below in-plane spacing.*--spacing 1"):
        common_grid(ct(spacing_zyx=(0.5, 1.0, 1.0)), OWN, {})


@pytest.mark.parametrize(("voxels", "first_mm"), [(64, (96.0, 188.0)), (20, (118.0, 210.0))])
def test_slices_of_a_given_size_are_padded_or_cut_around_the_middle(voxels: int, first_mm: tuple[float, float]) -> None:
    """The body with its margin is 35 x 30 voxels from (110, 205)."""
    grid = common_grid(ct(), GridSettings(None, in_plane=voxels), {})
    assert grid.size == (voxels, voxels, 20)
    assert grid.origin[:2] == pytest.approx(first_mm)
    values = onto(ct(), grid, outside=AIR_HU)
    assert {*np.unique(values)} <= {AIR_HU, -1000.0, 0.0}


def test_slices_that_would_cut_a_structure_are_refused() -> None:
    eye = np.zeros((20, 40, 50), bool)
    eye[5, 20, 38] = True
    with pytest.raises(DoseloError, match=r"slices of 20 x 20 voxels of 1 mm cut off Eye_L; take larger ones"):
        common_grid(ct(), GridSettings(None, in_plane=20), {"Eye_L": eye})


@pytest.mark.parametrize(("spacing_mm", "in_plane"), [(0.0, None), (-1.0, None), (math.nan, None), (1.0, 0)])
def test_settings_must_be_positive(spacing_mm: float, in_plane: int | None) -> None:
    with pytest.raises(DoseloError, match="must be positive"):
        GridSettings(spacing_mm, in_plane=in_plane)


def test_a_linear_ramp_stays_one() -> None:
    image = ct()
    ramp = as_image((points_mm(grid_of(image)) @ (1.0, 2.0, 3.0)).astype(np.float32), grid_of(image))
    grid = common_grid(image, GridSettings(1.7), {})
    expected = points_mm(grid) @ (1.0, 2.0, 3.0)
    low, high = points_mm(grid_of(image)).min(axis=(0, 1, 2)), points_mm(grid_of(image)).max(axis=(0, 1, 2))
    covered = ((points_mm(grid) >= low) & (points_mm(grid) <= high)).all(axis=-1)
    assert np.abs(onto(ramp, grid, outside=0.0) - expected)[covered].max() < 0.01


def test_the_voxels_of_largest_share_are_kept_until_the_volume_is_reached() -> None:
    share = np.array([0.0, 0.2, 0.9, 0.5, 0.4])
    assert keep_volume(share, 2.0, 1.0).tolist() == [False, False, True, True, False]
    assert keep_volume(share, 4.1, 2.0).tolist() == [False, False, True, True, False]
    assert keep_volume(share, 99.0, 1.0).tolist() == [False, True, True, True, True]
    assert not keep_volume(share, 0.4, 1.0).any()
    assert not keep_volume(np.zeros(3), 5.0, 1.0).any()
    assert keep_volume(np.array([0.5, 0.5, 0.1]), 1.0, 1.0).tolist() == [True, True, False]


@pytest.mark.parametrize(("spacing_mm", "precision"), [(1.0, 0.005), (2.0, 0.005), (3.0, 0.005)])
def test_a_sphere_keeps_volume_and_place_on_any_grid(spacing_mm: float, precision: float) -> None:
    """At 2 mm every new voxel lies between old ones, and many have the same share."""
    source = grid_of(ct((30, 80, 80)))
    ball = sphere(source, (140.0, 240.0, 345.0), 15.0)
    grid = common_grid(ct((30, 80, 80)), GridSettings(spacing_mm, crop_to_body=False), {})
    moved = resample_mask(ball, source, grid)
    assert np.count_nonzero(moved) * spacing_mm**3 == pytest.approx(np.count_nonzero(ball) * 3.0, rel=precision)
    assert points_mm(grid)[moved].mean(axis=0) == pytest.approx(
        points_mm(source)[ball].mean(axis=0), abs=0.1 * spacing_mm
    )


def test_masks_on_the_same_voxels_stay_as_they_are() -> None:
    """Also where they touch the border of the volume, and turned by a quarter."""
    noise = np.random.default_rng(0).random((20, 40, 50)) < 0.3
    image = ct(direction=Geometry.of_position("HFDL").direction)
    grid = common_grid(image, GridSettings(None, crop_to_body=False), {})
    assert grid.size == (40, 50, 20)
    moved = resample_mask(noise, grid_of(image), grid)
    assert moved.sum() == noise.sum()
    there = {tuple(point) for point in np.rint(points_mm(grid)[moved] * 10).astype(int).tolist()}
    assert there == {tuple(point) for point in np.rint(points_mm(grid_of(image))[noise] * 10).astype(int).tolist()}


def test_an_empty_mask_and_one_elsewhere_give_empty_ones() -> None:
    source = grid_of(ct())
    far = Grid((5, 5, 5), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), UPRIGHT)
    assert not resample_mask(np.zeros((20, 40, 50), bool), source, far).any()
    assert not resample_mask(np.ones((20, 40, 50), bool), source, far).any()


def test_the_part_of_a_grid_that_another_reaches() -> None:
    grid = Grid((10, 10, 10), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), UPRIGHT)
    # faces from 1.5 to 3.5 lie between the voxels 1 and 4
    assert part_of(grid, Grid((2, 2, 2), (1.0, 1.0, 1.0), (2.0, 2.0, 8.0), UPRIGHT)) == (
        slice(7, 10), slice(1, 5), slice(1, 5),
    )  # fmt: skip
    assert part_of(grid, Grid((2, 2, 2), (1.0, 1.0, 1.0), (50.0, 0.0, 0.0), UPRIGHT)) is None


@pytest.mark.parametrize("position", ["HFS", "HFP", "FFS", "HFDR"])
def test_sides_are_told_by_place_in_every_position(position: str) -> None:
    grid = grid_of(ct(direction=Geometry.of_position(position).direction))
    leftward = points_mm(grid)[..., 0]
    middle = float(np.median(leftward))
    left, right = leftward > middle + 5, leftward < middle - 5
    assert swapped_sides({"Eye_L": left, "Eye_R": right, "Lens_L": left}, grid) == []
    assert swapped_sides({"Eye_L": right, "Eye_R": left}, grid) == ["Eye_L and Eye_R"]
    assert swapped_sides({"Eye_L": right, "Eye_R": np.zeros_like(left)}, grid) == []
