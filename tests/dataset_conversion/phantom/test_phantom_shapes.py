"""Signed distances with answers by hand, and masks that keep a body's volume."""

import numpy as np
import pytest

from nnunet_doselo.dataset_conversion.phantom.shapes import (
    coverage,
    ellipsoid,
    intersection,
    largest_share,
    smooth_union,
    tube,
    union,
)


def points(*at: tuple[float, float, float]) -> np.ndarray:
    return np.array(at, float).T[:, None, None, :]


def lattice(spacing_mm: float, shift_mm: float = 0.0) -> np.ndarray:
    axis = np.arange(-24, 24.1, spacing_mm) + shift_mm
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij")[::-1])


def test_a_ball_is_exact_everywhere_but_in_its_middle() -> None:
    distance = ellipsoid(points((13, 0, 0), (10, 0, 0), (0, 6, 8), (0, 0, 4), (0, 0, 0)), (0, 0, 0), (10, 10, 10))
    assert distance.ravel() == pytest.approx([3, 0, 0, -6, -10])


def test_an_ellipsoid_is_exact_on_its_surface_and_has_the_right_sign() -> None:
    distance = ellipsoid(points((4, 0, 0), (0, 8, 0), (0, 0, 2), (0, 9, 0), (0, 0, 1.5)), (0, 0, 0), (4, 8, 2))
    assert distance.ravel()[:3] == pytest.approx([0, 0, 0])
    assert distance.ravel()[3] == pytest.approx(1, abs=0.2)
    assert distance.ravel()[4] == pytest.approx(-0.5, abs=0.2)


def test_a_tube_widens_along_its_line_and_ends_in_balls() -> None:
    distance = tube(points((0, 5, 0), (5, 5, 0), (10, 5, 0), (-3, 0, 0), (14, 0, 0)), [(0, 0, 0), (10, 0, 0)], [1, 3])
    assert distance.ravel() == pytest.approx([4, 3, 2, 2, 1])


def test_a_smooth_union_only_fills_the_crease() -> None:
    far, near = np.array([20.0, 1.0]), np.array([2.0, 1.0])
    assert smooth_union(far, near, 4.0) == pytest.approx([2.0, 0.0])
    assert union(far, near) == pytest.approx([2.0, 1.0])
    assert intersection(far, near) == pytest.approx([20.0, 1.0])


def test_coverage_is_a_half_on_the_surface() -> None:
    assert coverage(np.array([-3.0, -1.0, 0.0, 0.5, 3.0]), 2.0) == pytest.approx([1, 1, 0.5, 0.25, 0])


@pytest.mark.parametrize("shift_mm", [0.4, 0.7, 1.5])
def test_a_mask_keeps_the_volume_wherever_the_grid_lies(shift_mm: float) -> None:
    mask = largest_share(ellipsoid(lattice(3.0, shift_mm), (0, 0, 0), (12, 12, 12)), 3.0)
    assert mask.sum() * 27 == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.05)


def test_a_body_smaller_than_a_voxel_keeps_one_voxel() -> None:
    mask = largest_share(ellipsoid(lattice(6.0), (2.5, 0, 0), (1, 1, 1)), 6.0)
    assert np.argwhere(mask).tolist() == [[4, 4, 4]]
