"""Shapes whose voxels and volumes are known in closed form, written as RTSTRUCT and read back."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from dicom_files import Geometry, Patient, write_images, write_rtstruct

from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset_conversion.dicom_rt.contours.rasterise import Rasterised, rasterise
from nnunet_doselo.dataset_conversion.dicom_rt.contours.rtstruct import read_structure_set

FIELD_MM = 66.0
POINTS = 120


@dataclass(frozen=True)
class Shape:
    """In mm from its centre, axes as the image's: `outlines` at a height, `holds` at points (..., 3), `volume_mm3`."""

    outlines: Callable[[float], list[np.ndarray]]
    holds: Callable[[np.ndarray], np.ndarray]
    volume_mm3: float


def circle(radius_mm: float) -> np.ndarray:
    angle = np.arange(POINTS) * 2 * np.pi / POINTS
    return radius_mm * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def square(half_mm: float) -> np.ndarray:
    return half_mm * np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])


def keyhole(outer_mm: float, inner_mm: float) -> np.ndarray:
    """One contour: around the outer circle, in along a cut, around the inner one the other way, out along the cut."""
    outer, inner = circle(outer_mm), circle(inner_mm)
    return np.concatenate([outer, outer[:1], inner[:1], inner[::-1]])


def chord(radius_mm: float, height_mm: float) -> float:
    return math.sqrt(max(0.0, radius_mm**2 - height_mm**2))


def circles(*radii_mm: float) -> list[np.ndarray]:
    return [circle(radius) for radius in radii_mm if radius > 0]


def norm(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points, axis=-1)


def ball_mm3(radius_mm: float) -> float:
    return 4 / 3 * math.pi * radius_mm**3


def between(low: float, values: np.ndarray, high: float) -> np.ndarray:
    return (low < values) & (values < high)


def in_tube(points: np.ndarray) -> np.ndarray:
    return between(10, norm(points[..., :2]), 20) & (np.abs(points[..., 2]) < 15)


SHAPES = {
    "sphere": Shape(lambda z: circles(chord(15, z)), lambda p: norm(p) < 15, ball_mm3(15)),
    "cube": Shape(lambda z: [square(15)] if abs(z) < 15 else [], lambda p: np.abs(p).max(axis=-1) < 15, 30.0**3),
    "hollow cylinder": Shape(lambda z: circles(20, 10) if abs(z) < 15 else [], in_tube, math.pi * (20**2 - 10**2) * 30),
    "keyhole": Shape(lambda z: [keyhole(20, 10)] if abs(z) < 15 else [], in_tube, math.pi * (20**2 - 10**2) * 30),
    "torus": Shape(
        lambda z: circles(19 + chord(12, z), 19 - chord(12, z)) if abs(z) < 12 else [],
        lambda p: np.hypot(norm(p[..., :2]) - 19, p[..., 2]) < 12,
        2 * math.pi**2 * 19 * 12**2,
    ),
    "nested shells": Shape(
        lambda z: circles(*(chord(radius, z) for radius in (28, 22, 15, 6))),
        lambda p: between(22, norm(p), 28) | between(6, norm(p), 15),
        ball_mm3(28) - ball_mm3(22) + ball_mm3(15) - ball_mm3(6),
    ),
}


FLAT = ("cube", "hollow cylinder", "keyhole")
"""Shapes with faces along the slices. The round ones lie a fifth of a slice further on: whole slices sample the volume
of a tube to 1 or 3 %, depending on where its ends lie between them, whoever counts the voxels."""


def turned(alpha: float, beta: float, gamma: float) -> tuple[float, ...]:
    """Direction of an oblique image: turned about x, then y, then z, by degrees."""
    matrix = np.eye(3)
    for axis, degrees in enumerate((alpha, beta, gamma)):
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = cos
        turn[first, second], turn[second, first] = -sin, sin
        matrix = turn @ matrix
    return tuple(matrix.ravel().tolist())


# 30 mm are a whole number of voxels along every axis, so that the cube's volume can be exact
GEOMETRIES = {
    "HFS": Geometry.of_position("HFS", spacing_mm=(3.0, 1.0, 1.0), origin_mm=(-250.123, -310.7, 1012.5)),
    "HFP": Geometry.of_position("HFP", spacing_mm=(2.5, 0.75, 1.5), origin_mm=(240.0, 211.3, -700.0)),
    "FFS": Geometry.of_position("FFS", spacing_mm=(3.0, 1.25, 1.25), origin_mm=(101.9, -33.3, 55.5)),
    "HFDR": Geometry.of_position("HFDR", spacing_mm=(2.0, 1.5, 0.75), origin_mm=(12.0, -120.0, 900.0)),
    "oblique": Geometry(spacing_mm=(1.5, 1.0, 1.0), origin_mm=(-77.7, 13.1, 405.2), direction=turned(20, -10, 33)),
}


@dataclass(frozen=True)
class Scene:
    grid: Grid
    found: dict[str, Rasterised]

    def points_mm(self, centre: np.ndarray) -> np.ndarray:
        """(Z, Y, X, 3): x, y, z of every voxel's centre from a shape's centre, along the image's axes."""
        x, y, z = ((np.arange(n) - c) * s for n, c, s in zip(self.grid.size, centre, self.grid.spacing, strict=True))
        return np.stack(np.broadcast_arrays(x, y[:, None], z[:, None, None]), axis=-1)


def grid_of_field(geometry: Geometry) -> Grid:
    spacing = geometry.spacing_mm[::-1]
    size = tuple(round(FIELD_MM / s) for s in spacing)
    return Grid(size, spacing, geometry.origin_mm, geometry.direction)


def centre_of(name: str, grid: Grid) -> np.ndarray:
    """Index x, y, z amid the field, such that the faces of the cube lie 0.05 voxel beside those of voxels."""
    voxels = np.round(30 / np.array(grid.spacing)).astype(int)
    return np.array(grid.size) // 2 + np.where(voxels % 2, 0.05, 0.55) + (0, 0, 0 if name in FLAT else 0.2)


def contours_of(shape: Shape, geometry: Geometry, grid: Grid, centre: np.ndarray) -> list[np.ndarray]:
    spacing = np.array(grid.spacing)
    return [
        geometry.position(np.column_stack([outline / spacing[:2] + centre[:2], np.full(len(outline), k)]))
        for k in range(grid.size[2])
        for outline in shape.outlines((k - centre[2]) * spacing[2])
    ]


@pytest.fixture(scope="module", params=GEOMETRIES, ids=str)
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """All shapes in one RTSTRUCT file of one geometry, rasterised."""
    folder, geometry, patient = tmp_path_factory.mktemp("shapes"), GEOMETRIES[request.param], Patient()
    grid = grid_of_field(geometry)
    images = write_images(folder, np.zeros((1, 4, 4)), geometry, patient)
    rois = {name: contours_of(shape, geometry, grid, centre_of(name, grid)) for name, shape in SHAPES.items()}
    write_rtstruct(folder / "rs.dcm", rois, images, patient, image_references=False)
    read = read_structure_set(folder / "rs.dcm").rois
    return Scene(grid, {roi.name: rasterise(roi.contours, grid) for roi in read})


@pytest.mark.parametrize("name", SHAPES)
def test_voxels_are_those_whose_centre_is_inside(scene: Scene, name: str) -> None:
    mask, expected = scene.found[name].mask, SHAPES[name].holds(scene.points_mm(centre_of(name, scene.grid)))
    dice = 2 * np.count_nonzero(mask & expected) / (np.count_nonzero(mask) + np.count_nonzero(expected))
    assert dice >= 0.995
    assert scene.found[name].notes == ()


@pytest.mark.parametrize("name", SHAPES)
def test_volume_is_the_closed_form_within_one_percent(scene: Scene, name: str) -> None:
    volume_mm3 = np.count_nonzero(scene.found[name].mask) * math.prod(scene.grid.spacing)
    assert volume_mm3 == pytest.approx(SHAPES[name].volume_mm3, rel=0.01)


@pytest.mark.parametrize("name", SHAPES)
def test_centroid_is_the_centre_within_a_tenth_of_a_voxel(scene: Scene, name: str) -> None:
    centroid = np.argwhere(scene.found[name].mask).mean(axis=0)[::-1]
    assert np.abs(centroid - centre_of(name, scene.grid)).max() <= 0.1


def test_a_line_thinner_than_a_voxel_is_kept_along_its_length(tmp_path: Path) -> None:
    geometry, patient = GEOMETRIES["oblique"], Patient()
    grid = grid_of_field(geometry)
    # 40 voxels long, 0.2 wide, between the centres of rows 30 and 31, nearer to those of row 30
    corners = [(10.0, 30.25, 20.0), (50.0, 30.25, 20.0), (50.0, 30.45, 20.0), (10.0, 30.45, 20.0)]
    images = write_images(tmp_path, np.zeros((1, 4, 4)), geometry, patient)
    write_rtstruct(tmp_path / "rs.dcm", {"line": [geometry.position(corners)]}, images, patient)
    (roi,) = read_structure_set(tmp_path / "rs.dcm").rois
    found = rasterise(roi.contours, grid)
    slices, rows, columns = np.nonzero(found.mask)
    assert set(slices) == {20}
    assert set(rows) == {30}
    assert set(range(11, 50)) <= set(columns) <= set(range(10, 51))
    assert found.notes == ("contours thinner than a voxel: 1, the voxels that they cross most were taken",)


@pytest.mark.parametrize(("shift_slices", "least_dice", "share"), [(0.25, 0.98, 0.02), (0.4, 0.97, 0.04)])
def test_contours_between_the_slices_keep_shape_volume_and_place(
    shift_slices: float, least_dice: float, share: float
) -> None:
    """Straight lines between the contours of a ball lie inside of it: up to 4 % at slices of a fifth of its radius."""
    geometry = GEOMETRIES["HFS"]
    grid = grid_of_field(geometry)
    spacing, centre, sphere = np.array(grid.spacing), np.array([33.2, 32.6, 11.3]), SHAPES["sphere"]
    contours = [
        geometry.position(np.column_stack([outline / spacing[:2] + centre[:2], np.full(len(outline), k)]))
        for k in np.arange(grid.size[2] - 1) + shift_slices
        for outline in sphere.outlines((k - centre[2]) * spacing[2])
    ]
    found = rasterise(contours, grid)
    expected = sphere.holds(Scene(grid, {}).points_mm(centre))
    assert 2 * np.count_nonzero(found.mask & expected) / (found.mask.sum() + expected.sum()) >= least_dice
    assert found.mask.sum() * math.prod(grid.spacing) == pytest.approx(sphere.volume_mm3, rel=share)
    centroid = np.argwhere(found.mask).mean(axis=0)[::-1]
    assert np.abs(centroid - centre).max() <= 0.1
    assert found.notes == ("contour planes lie between the slices: shapes were interpolated",)


def test_contours_on_every_second_slice_are_filled_by_shape() -> None:
    geometry = GEOMETRIES["HFS"]
    grid = grid_of_field(geometry)
    every = contours_of(SHAPES["torus"], geometry, grid, centre_of("torus", grid))
    second = [c for c in every if round((c[0, 2] - grid.origin[2]) / grid.spacing[2]) % 2 == 0]
    whole, found = rasterise(every, grid).mask, rasterise(second, grid)
    drawn = [k for k in range(grid.size[2]) if found.mask[k].any()]
    assert drawn == list(range(drawn[0], drawn[-1] + 1))
    inner = slice(drawn[0] + 1, drawn[-1])
    assert 2 * (found.mask & whole)[inner].sum() / (found.mask[inner].sum() + whole[inner].sum()) >= 0.97
    assert found.notes == (f"contours on every 2 slices: {len(drawn) // 2} filled from those beside them",)
