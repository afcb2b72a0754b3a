"""Outlines of masks: worked out by hand for small ones, and read back by other people's point-in-polygon test."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.path import Path as MatplotlibPath
from scipy.ndimage import gaussian_filter
from scipy.ndimage import label as pieces

from nnunet_doselo.dataset_conversion.dicom_rt.export.keyholes import keyholed_outlines
from nnunet_doselo.dataset_conversion.dicom_rt.export.outlines import outlines

Tracer = Callable[[np.ndarray], list[np.ndarray]]
BOTH = pytest.mark.parametrize("trace", [outlines, keyholed_outlines])


def picture(text: str) -> np.ndarray:
    """Rows of "#" (in the mask) and "." as a boolean mask."""
    return np.array([[letter == "#" for letter in row] for row in text.split()])


RING = picture("### #.# ###")
TWO_HOLES_IN_A_ROW = picture("##### #.#.# #####")
DIAGONAL = picture("#. .#")
RING_CLOSED_BY_A_CORNER = picture("##. #.# ###")
ISLAND_IN_A_HOLE = picture("##### #...# #.#.# #...# #####")
CHECKERBOARD = np.indices((6, 7)).sum(axis=0) % 2 == 0


def voxel_centres(shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(np.indices(shape), axis=-1).reshape(-1, 2).astype(float)


def by_even_odd(polygons: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Voxels whose centres are inside an odd number of polygons, by matplotlib."""
    inside = np.zeros(int(np.prod(shape)), bool)
    for polygon in polygons:
        closed = MatplotlibPath(np.vstack([polygon, polygon[:1]]), closed=True)
        inside ^= closed.contains_points(voxel_centres(shape))
    return inside.reshape(shape)


def winding_numbers(polygons: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """How often polygons run around each voxel's centre: edges that cross the ray to its right, down minus up."""
    numbers = np.zeros(shape, int)
    for polygon in polygons:
        for (row, column), (to_row, to_column) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if column == to_column and row != to_row:
                first, past = (int(value + 0.5) for value in sorted((row, to_row)))
                numbers[first:past, : int(column + 0.5)] += 1 if to_row > row else -1
    return numbers


def corner_set(polygon: np.ndarray) -> set[tuple[float, float]]:
    return {(float(y), float(x)) for y, x in polygon}


@BOTH
def test_nothing_has_no_outline(trace: Tracer) -> None:
    assert trace(np.zeros((4, 5), bool)) == []


@BOTH
def test_one_voxel_is_its_own_four_corners_clockwise(trace: Tracer) -> None:
    mask = np.zeros((3, 4), bool)
    mask[1, 2] = True
    (polygon,) = trace(mask)
    assert corner_set(polygon) == {(0.5, 1.5), (0.5, 2.5), (1.5, 2.5), (1.5, 1.5)}
    assert winding_numbers([polygon], mask.shape).tolist() == mask.astype(int).tolist()


@BOTH
def test_only_corners_are_kept_also_along_the_border(trace: Tracer) -> None:
    (polygon,) = trace(np.ones((40, 30), bool))
    assert len(polygon) == 4
    assert corner_set(polygon) == {(-0.5, -0.5), (-0.5, 29.5), (39.5, 29.5), (39.5, -0.5)}


@BOTH
def test_voxels_that_touch_at_a_corner_are_two_squares(trace: Tracer) -> None:
    polygons = trace(DIAGONAL)
    assert [len(polygon) for polygon in polygons] == [4, 4]
    assert all(winding_numbers([polygon], (2, 2)).sum() == 1 for polygon in polygons)


def test_a_hole_is_a_polygon_of_its_own_the_other_way_round() -> None:
    outer, hole = sorted(outlines(RING), key=lambda polygon: -np.ptp(polygon))
    assert corner_set(hole) == {(0.5, 0.5), (0.5, 1.5), (1.5, 1.5), (1.5, 0.5)}
    assert winding_numbers([outer], RING.shape).tolist() == np.ones((3, 3)).tolist()
    assert winding_numbers([hole], RING.shape)[1, 1] == -1


def test_a_keyhole_runs_from_the_hole_to_the_left_and_back() -> None:
    """Four corners outside, four inside, the channel's end twice and the hole's first corner once more."""
    (polygon,) = keyholed_outlines(RING)
    assert len(polygon) == 4 + 4 + 2 + 1
    points = [tuple(point) for point in polygon.tolist()]
    first = points.index((0.5, -0.5))
    around = points[first:] + points[:first]
    assert around[:7] == [(0.5, -0.5), (0.5, 0.5), (1.5, 0.5), (1.5, 1.5), (0.5, 1.5), (0.5, 0.5), (0.5, -0.5)]


def test_holes_in_a_row_are_tied_to_each_other() -> None:
    (polygon,) = keyholed_outlines(TWO_HOLES_IN_A_ROW)
    channels = [(0.5, -0.5), (0.5, 0.5), (0.5, 1.5), (0.5, 2.5)]
    assert [int((polygon == channel).all(axis=1).sum()) for channel in channels] == [2, 2, 2, 2]


def test_channels_that_end_on_one_edge_come_in_its_order() -> None:
    mask = np.ones((9, 5), bool)
    mask[[1, 3, 5, 7], 2] = False
    (polygon,) = keyholed_outlines(mask)
    on_the_left = polygon[(polygon[:, 1] == -0.5)][:, 0]
    start = int(np.argmax(on_the_left))
    assert np.roll(on_the_left, -start).tolist() == [8.5, 6.5, 6.5, 4.5, 4.5, 2.5, 2.5, 0.5, 0.5, -0.5]


@BOTH
@pytest.mark.parametrize(
    "mask",
    [RING, TWO_HOLES_IN_A_ROW, DIAGONAL, RING_CLOSED_BY_A_CORNER, ISLAND_IN_A_HOLE, CHECKERBOARD, ~CHECKERBOARD],
)
def test_awkward_masks_come_back(trace: Tracer, mask: np.ndarray) -> None:
    assert np.array_equal(by_even_odd(trace(mask), mask.shape), mask)
    assert np.array_equal(winding_numbers(trace(mask), mask.shape), mask.astype(int))


@BOTH
@pytest.mark.parametrize("seed", range(30))
def test_random_masks_come_back_by_either_rule(trace: Tracer, seed: int) -> None:
    """Noise of any density, and blobs with holes and islands, all reaching the border."""
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(1, 25, 2).tolist())
    noise = random.random(shape)
    mask = noise < random.random() if seed % 2 else gaussian_filter(noise, 1.2) > np.median(noise)
    polygons = trace(mask)
    assert np.array_equal(by_even_odd(polygons, shape), mask)
    assert np.array_equal(winding_numbers(polygons, shape), mask.astype(int))


@pytest.mark.parametrize("seed", range(10))
def test_keyholed_outlines_are_one_for_each_piece(seed: int) -> None:
    mask = np.random.default_rng(seed).random((20, 20)) < 0.7
    assert len(keyholed_outlines(mask)) == pieces(mask)[1]


@BOTH
def test_edges_run_along_voxels_and_no_point_follows_itself(trace: Tracer) -> None:
    mask = np.random.default_rng(1).random((30, 30)) < 0.6
    for polygon in trace(mask):
        steps = np.roll(polygon, -1, axis=0) - polygon
        assert ((steps != 0).sum(axis=1) == 1).all()
        assert (np.mod(polygon, 1) == 0.5).all()
