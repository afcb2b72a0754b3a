"""Contours to voxels, in pictures a reader can check; indices are mm here unless a test says otherwise."""

from collections.abc import Sequence

import numpy as np
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset_conversion.dicom_rt.contours.rasterise import rasterise

SLICES, ROWS, COLUMNS = 24, 20, 30
EDGE_ROUNDING = 1e-6


def grid_of(spacing_z_mm: float = 1.0, slices: int = SLICES) -> Grid:
    return Grid((COLUMNS, ROWS, slices), (1.0, 1.0, spacing_z_mm), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


GRID = grid_of()


def contour(points: Sequence[Sequence[float]] | np.ndarray, z_mm: float = 0.0) -> np.ndarray:
    """(N, 2) x, y to (N, 3)."""
    flat = np.asarray(points, float)
    return np.column_stack([flat, np.full(len(flat), z_mm)])


def box(x0: float, x1: float, y0: float, y1: float, z_mm: float = 0.0) -> np.ndarray:
    return contour([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], z_mm)


def disc(radius: float, z_mm: float = 0.0, centre: tuple[float, float] = (14.2, 9.7)) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    return contour(np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius + centre, z_mm)


def first_slice(*contours: np.ndarray) -> np.ndarray:
    return rasterise(contours, GRID).mask[0]


def picture(mask: np.ndarray, rows: int, columns: int) -> list[str]:
    """The corner of a slice as text."""
    return ["".join("#" if voxel else "." for voxel in row[:columns]) for row in mask[:rows]]


def filled_slices(*contours: np.ndarray, grid: Grid = GRID, fill_gaps: bool = True) -> list[int]:
    mask = rasterise(contours, grid, fill_gaps=fill_gaps).mask
    return np.flatnonzero(mask.any(axis=(1, 2))).tolist()


def test_a_voxel_is_in_if_its_centre_is_inside() -> None:
    triangle = contour([(0.5, 0.4), (5.6, 0.4), (0.5, 5.5)])  # x + y < 6
    assert picture(first_slice(triangle), 6, 7) == [".......", ".####..", ".###...", ".##....", ".#.....", "......."]


def test_edges_through_voxel_centres_are_half_open() -> None:
    assert picture(first_slice(box(1, 4, 1, 3)), 4, 6) == ["......", ".###..", ".###..", "......"]


@pytest.mark.parametrize("noise", [0.0, 2e-6, -2e-6])
def test_what_the_file_rounds_moves_no_edge(noise: float) -> None:
    assert np.array_equal(first_slice(box(1, 4, 1, 3) + noise), first_slice(box(1, 4, 1, 3)))


def test_contours_along_voxel_edges_give_back_the_voxels() -> None:
    rng = np.random.default_rng(1)
    rows, columns = np.nonzero(rng.random((ROWS, COLUMNS)) < 0.3)
    jitter = rng.uniform(-EDGE_ROUNDING, EDGE_ROUNDING, (len(rows), 4))
    voxels = [
        box(x - 0.5 + a, x + 0.5 + b, y - 0.5 + c, y + 0.5 + d)
        for x, y, (a, b, c, d) in zip(columns, rows, jitter, strict=True)
    ]
    found = np.zeros((ROWS, COLUMNS), bool)
    found[rows, columns] = True
    assert np.array_equal(first_slice(*voxels), found)


def test_neighbours_share_no_voxel_and_lose_none() -> None:
    """A fan of triangles around a voxel's centre, their edges through many others: every voxel is in one of them."""
    corners = [(2, 2), (12, 2), (22, 2), (22, 9), (22, 16), (12, 16), (2, 16), (2, 9)]
    fan = [contour([(12, 9), a, b]) for a, b in zip(corners, corners[1:] + corners[:1], strict=True)]
    counted = sum(first_slice(triangle).astype(int) for triangle in fan)
    assert np.array_equal(counted, first_slice(contour(corners)))
    assert counted.sum() == 20 * 14


def test_neither_direction_nor_start_nor_closing_point_matters() -> None:
    points = contour([(1.2, 1.1), (9.7, 2.6), (7.3, 8.8), (3.9, 5.2), (1.5, 9.1)])
    for same in (points[::-1], np.roll(points, 2, axis=0), np.concatenate([points, points[:1]])):
        assert np.array_equal(first_slice(same), first_slice(points))


def test_a_hole_an_island_in_it_and_a_second_part() -> None:
    outer, hole, island = box(-0.5, 6.5, -0.5, 4.5), box(0.5, 5.5, 0.5, 3.5), box(1.5, 4.5, 1.5, 2.5)
    expected = ["#######..", "#.....#.#", "#.###.#.#", "#.....#..", "#######.."]
    assert picture(first_slice(outer, hole, island, box(7.5, 8.5, 0.5, 2.5)), 5, 9) == expected


def test_a_keyhole_is_a_hole() -> None:
    around = [(-0.5, -0.5), (6.5, -0.5), (6.5, 4.5), (-0.5, 4.5), (-0.5, 2)]
    inside = [(1.5, 2), (1.5, 3.5), (4.5, 3.5), (4.5, 0.5), (1.5, 0.5), (1.5, 2), (-0.5, 2)]
    expected = ["#######", "##...##", "##...##", "##...##", "#######"]
    assert picture(first_slice(contour(around + inside)), 5, 7) == expected


def test_a_contour_thinner_than_a_voxel_keeps_the_voxels_it_crosses_most() -> None:
    found = rasterise([box(1, 8, 2.1, 2.3), disc(0.2, centre=(11.4, 4.4))], GRID)
    assert picture(found.mask[0], 5, 12) == [*["." * 12] * 2, ".########...", "." * 12, "...........#"]
    assert found.notes == ("contours thinner than a voxel: 2, the voxels that they cross most were taken",)


def test_a_hole_thinner_than_a_voxel_is_no_hole() -> None:
    whole = box(0.5, 9.5, 0.5, 9.5)
    assert np.array_equal(first_slice(whole, disc(0.2, centre=(4.4, 4.4))), first_slice(whole))


def test_a_contour_without_area_is_skipped() -> None:
    found = rasterise([contour([(1, 1), (5, 1), (1, 1)]), contour([(3, 3)] * 4)], GRID)
    assert not found.mask.any()
    assert found.notes == ("contours skipped: 2 that enclose no area",)


def test_no_contours_no_voxels() -> None:
    found = rasterise([], GRID)
    assert found.mask.shape == (SLICES, ROWS, COLUMNS)
    assert not found.mask.any()
    assert found.notes == ()


def test_what_lies_outside_of_the_image_is_cut_off_with_a_note() -> None:
    beyond = box(COLUMNS - 2.5, COLUMNS + 5, -7, 1.5, z_mm=3)
    found = rasterise([beyond, box(40, 50, 2, 5, z_mm=3), box(1, 5, 1, 5, z_mm=-4), box(1, 5, 1, 5, z_mm=99)], GRID)
    assert np.argwhere(found.mask).tolist() == [[3, y, x] for y in (0, 1) for x in (COLUMNS - 2, COLUMNS - 1)]
    assert "of 4 contours, 3 lie outside of the image and 1 reach beyond it: cut off there" in found.notes


def test_what_only_touches_the_image_leaves_no_voxel() -> None:
    assert not first_slice(box(-5, -0.2, 3, 8)).any()


def test_a_structure_beside_the_image_is_empty_with_a_note() -> None:
    found = rasterise([box(100, 110, 2, 5)], GRID)
    assert not found.mask.any()
    assert found.notes == ("of 1 contours, 1 lie outside of the image and 0 reach beyond it: cut off there",)


def test_the_image_s_own_outermost_voxels_are_within_it() -> None:
    found = rasterise([box(-0.5, COLUMNS - 0.5, -0.5, ROWS - 0.5)], GRID)
    assert found.mask[0].all()
    assert found.notes == ()


def test_contours_across_the_slices_are_refused() -> None:
    sagittal = np.array([(3.0, 1, 1), (3, 9, 1), (3, 9, 5), (3, 1, 5)])
    with pytest.raises(DoseloError, match=r"number 2 of 2 closed ones reaches 4\.0 mm across slices 1 mm apart"):
        rasterise([box(1, 4, 1, 4), sagittal], GRID)


@pytest.mark.parametrize(("z_mm", "expected"), [(2.9, 1), (3.05, 1), (4.4, 1), (4.5, 1), (4.6, 2), (5.9, 2)])
def test_a_single_contour_goes_to_the_nearest_slice(z_mm: float, expected: int) -> None:
    assert filled_slices(box(1, 5, 1, 5, z_mm), grid=grid_of(3.0)) == [expected]


def test_a_stack_halfway_between_slices_keeps_its_number_of_slices() -> None:
    assert filled_slices(*(box(1, 5, 1, 5, z) for z in np.arange(3.5, 10))) == [3, 4, 5, 6, 7, 8, 9]


def test_planes_denser_than_the_slices_keep_their_height() -> None:
    """Ten planes 1 mm apart are 10 mm high, from 5.7 to 15.7 mm: slices of 2.5 mm have centres at 7.5, 10, 12.5, 15."""
    assert filled_slices(*(box(1, 5, 1, 5, z) for z in np.arange(6.2, 16)), grid=grid_of(2.5)) == [3, 4, 5, 6]


def test_a_structure_between_two_slices_is_not_lost() -> None:
    assert filled_slices(*(box(1, 5, 1, 5, z) for z in (6.5, 6.8, 7.1)), grid=grid_of(5.0)) == [1]


def test_contours_of_a_coarser_series_fill_their_slabs() -> None:
    """Four planes 3 mm apart are 12 mm high: from 2.5 to 14.5 mm."""
    found = rasterise([box(1, 5, 1, 5, z) for z in (4, 7, 10, 13)], GRID)
    assert np.flatnonzero(found.mask.any(axis=(1, 2))).tolist() == list(range(3, 15))
    assert found.notes == ("contours on every 3 slices: 8 filled from those beside them",)


def test_the_shape_between_two_contours_is_halfway() -> None:
    radii = {4: 4.0, 6: 8.0, 8: 6.0}
    mask = rasterise([disc(radius, z) for z, radius in radii.items()], GRID).mask
    rows, columns = np.ogrid[:ROWS, :COLUMNS]
    distance = np.hypot(columns - 14.2, rows - 9.7)
    for index, radius in {4: 4, 5: 6, 6: 8, 7: 7, 8: 6}.items():
        wrong = mask[index] ^ (distance < radius)
        assert not wrong[np.abs(distance - radius) > 0.15].any()


def test_a_cut_of_a_keyhole_does_not_disturb_the_shape_between() -> None:
    def ring(outer: float, z_mm: float) -> np.ndarray:
        around, hole = disc(outer, z_mm), disc(2.5, z_mm)[::-1]
        return np.concatenate([around, around[:1], hole[-1:], hole])

    def two(outer: float, z_mm: float) -> list[np.ndarray]:
        return [disc(outer, z_mm), disc(2.5, z_mm)]

    as_keyholes = rasterise([ring(5, 2), ring(8, 4), ring(5, 6)], GRID).mask
    as_holes = rasterise([*two(5, 2), *two(8, 4), *two(5, 6)], GRID).mask
    assert np.array_equal(as_keyholes, as_holes)


def test_a_forgotten_contour_is_filled_with_a_note() -> None:
    found = rasterise([disc(6, z) for z in (3, 4, 5, 7, 8)], GRID)
    assert np.array_equal(found.mask[6], found.mask[5])
    assert found.notes == ("slices without a contour, filled from those beside them: 6 (the first is 0)",)


def test_two_parts_farther_apart_are_never_joined() -> None:
    found = rasterise([disc(6, z) for z in (3, 4, 5, 8, 9, 10)], GRID)
    assert np.flatnonzero(found.mask.any(axis=(1, 2))).tolist() == [3, 4, 5, 8, 9, 10]
    assert found.notes == ("slices without a contour, left empty between separate parts: 6-7 (the first is 0)",)


def test_parts_drawn_on_every_second_slice_stay_apart() -> None:
    assert filled_slices(*(disc(6, z) for z in (2, 4, 6, 12, 14, 16))) == [2, 3, 4, 5, 6, 12, 13, 14, 15, 16]


def test_balls_one_above_the_other_are_not_joined_over_one_slice() -> None:
    radii = {2: 3.0, 3: 5.0, 4: 5.5, 5: 5.0, 6: 3.0, 8: 3.0, 9: 5.0, 10: 5.5}
    assert filled_slices(*(disc(radius, z) for z, radius in radii.items())) == list(radii)


@pytest.mark.parametrize("planes", [(3, 5), (3, 4, 6), (3, 9), (2, 9, 16)])
def test_too_few_contours_are_no_stack(planes: tuple[int, ...]) -> None:
    assert filled_slices(*(disc(6, z) for z in planes)) == list(planes)


def test_only_parts_that_overlap_are_continued_between_contours() -> None:
    left, right = (7.0, 9.0), (22.0, 9.0)
    planes = [disc(3, 2, left), disc(3, 4, left), disc(3, 4, right), disc(3, 6, right), disc(3, 8, right)]
    mask = rasterise(planes, GRID).mask
    beside = [(bool(mask[k, :, :15].any()), bool(mask[k, :, 15:].any())) for k in range(2, 9)]
    assert beside == [(True, False)] * 2 + [(True, True)] + [(False, True)] * 4


def test_contours_of_an_algorithm_leave_empty_slices_empty() -> None:
    for planes in ([3, 4, 5, 7, 8], [2, 4, 6, 8], [3, 6, 9, 12]):
        assert filled_slices(*(disc(6, z) for z in planes), fill_gaps=False) == planes


def test_the_direction_of_rows_columns_and_slices_is_the_image_s() -> None:
    """Columns run along y, rows along z, slices along x: a box of 2 x 3 x 1 voxels away from the origin."""
    grid = Grid((6, 7, 4), (2.0, 3.0, 5.0), (10.0, 20.0, 30.0), (0, 0, 1, 1, 0, 0, 0, 1, 0))
    corners = [(20.0, 20 + 2 * x, 30 + 3 * y) for x, y in [(0.5, 2.5), (2.5, 2.5), (2.5, 5.5), (0.5, 5.5)]]
    found = np.argwhere(rasterise([np.array(corners)], grid).mask).tolist()
    assert found == [[2, y, x] for y in (3, 4, 5) for x in (1, 2)]
