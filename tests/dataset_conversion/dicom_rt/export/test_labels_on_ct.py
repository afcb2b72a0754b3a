"""Label maps on the CT's grid, and as structures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dicom_files import Geometry, Patient, write_images

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset_conversion.dicom_rt.export.label_rois import on_grid_of_ct, rois_of
from nnunet_doselo.dataset_conversion.dicom_rt.files.slice_stack import CtStack, read_stack

UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
CT = Grid((20, 16, 10), (1.0, 1.0, 2.0), (-10.0, -8.0, 4.0), UPRIGHT)
VALUES = {"background": [0], "PTV": [1], "Tumor": [2], "Cord": [3], "ignore": [9]}
RADIUS_MM = 15.0


@pytest.fixture
def stack(tmp_path: Path) -> CtStack:
    """A CT of `CT`'s grid."""
    geometry = Geometry(CT.spacing_zyx, CT.origin)  # type: ignore[arg-type]
    write_images(tmp_path, np.zeros(CT.size[::-1]), geometry, Patient())
    return read_stack(sorted(tmp_path.iterdir()))


def sphere(grid: Grid) -> np.ndarray:
    """Voxels whose centres lie within `RADIUS_MM` of the origin."""
    z, y, x = np.ogrid[tuple(slice(n) for n in grid.size[::-1])]
    squared = [(o + s * i) ** 2 for o, s, i in zip(grid.origin, grid.spacing, (x, y, z), strict=True)]
    return sum(squared) <= RADIUS_MM**2


def centroid_mm(mask: np.ndarray, grid: Grid) -> np.ndarray:
    """(z, y, x)."""
    return np.argwhere(mask).mean(axis=0) * grid.spacing_zyx + grid.origin[::-1]


def test_on_the_same_grid_it_is_the_mask_itself() -> None:
    mask = np.random.default_rng(0).random(CT.size[::-1]) < 0.5
    assert on_grid_of_ct(mask, CT, CT) is mask


def test_a_cropped_dataset_keeps_every_voxel() -> None:
    cropped = replace(CT, size=(7, 8, 5), origin=(-10.0 + 3, -8.0 + 2, 4.0 + 2 * 4))
    mask = np.random.default_rng(1).random(cropped.size[::-1]) < 0.5
    expected = np.zeros(CT.size[::-1], bool)
    expected[4:9, 2:10, 3:10] = mask
    assert np.array_equal(on_grid_of_ct(mask, cropped, CT), expected)


def test_a_mirrored_dataset_keeps_every_voxel() -> None:
    mirrored = replace(CT, origin=(9.0, 7.0, 4.0), direction=(-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
    mask = np.random.default_rng(2).random(CT.size[::-1]) < 0.5
    assert np.array_equal(on_grid_of_ct(mask, mirrored, CT), mask[:, ::-1, ::-1])


@pytest.mark.parametrize("spacing_mm", [1.5, 2.0, 3.0])
def test_a_sphere_of_another_grid_stays_a_sphere(spacing_mm: float) -> None:
    """Its volume and centroid are those of the coarse one, within 1 % and a tenth of a voxel."""
    count = int(40 / spacing_mm)
    coarse = Grid((count,) * 3, (spacing_mm,) * 3, tuple([-spacing_mm * (count - 1) / 2 + 0.2] * 3), UPRIGHT)
    ct = Grid((60, 60, 30), (0.8, 0.8, 1.7), (-0.8 * 29.5, -0.8 * 29.5, -1.7 * 14.5), UPRIGHT)
    found = on_grid_of_ct(sphere(coarse), coarse, ct)
    assert found.sum() * 0.8 * 0.8 * 1.7 == pytest.approx(sphere(coarse).sum() * spacing_mm**3, rel=0.01)
    moved_mm = centroid_mm(found, ct) - centroid_mm(sphere(coarse), coarse)
    assert np.abs(moved_mm / ct.spacing_zyx).max() < 0.1
    assert 2 * (found & sphere(ct)).sum() / (found.sum() + sphere(ct).sum()) > 0.94


def test_nothing_stays_nothing() -> None:
    small = replace(CT, size=(3, 3, 3), spacing=(3.0, 3.0, 3.0))
    assert not on_grid_of_ct(np.zeros((3, 3, 3), bool), small, CT).any()


@pytest.mark.parametrize(("shift", "beyond_mm"), [((0, 0, 18.0), 18), ((0, -30.0, 0), 30), ((19.0, 0, 0), 19)])
def test_a_label_map_beyond_the_ct_is_refused(shift: tuple[float, float, float], beyond_mm: int) -> None:
    """What counts is how far the last voxel's centre lies from the CT's face, half a voxel less than the shift."""
    moved = replace(CT, origin=tuple(np.add(CT.origin, shift).tolist()))
    half_voxel_mm = float(np.abs(shift) @ (1, 1, 2) / np.abs(shift).sum()) / 2
    with pytest.raises(DoseloError, match=rf"reaches {beyond_mm - half_voxel_mm:.1f} mm beyond the CT"):
        on_grid_of_ct(np.ones(CT.size[::-1], bool), moved, CT)


def test_voxels_that_do_not_divide_the_ct_may_reach_beyond_its_faces() -> None:
    """Seven voxels of 3 mm over 20 mm of CT, five over 16 mm: its last row is not reached."""
    covering = Grid((7, 5, 7), (3.0, 3.0, 3.0), (-10.5 + 1.5, -8.5 + 1.5, 3.0 + 1.5), UPRIGHT)
    found = on_grid_of_ct(np.ones((7, 5, 7), bool), covering, CT)
    assert found[:, :15].all()
    assert not found[:, 15].any()


def test_a_ct_without_its_last_slice_is_noticed() -> None:
    with pytest.raises(DoseloError, match=r"reaches 1\.0 mm beyond the CT"):
        on_grid_of_ct(np.ones(CT.size[::-1], bool), CT, replace(CT, size=(20, 16, 9)))


def test_structures_come_in_the_order_of_the_labels_with_type_and_colour(stack: CtStack) -> None:
    labels = np.zeros(CT.size[::-1], np.uint8)
    labels[2, 3:6, 4:7], labels[3, 3, 3], labels[4, 1:3, 1:3] = 3, 1, 2
    rois, notes = rois_of(labels, CT, VALUES, stack, targets=["Tumor"])
    assert [(roi.name, roi.interpreted_type) for roi in rois] == [("PTV", "PTV"), ("Tumor", "PTV"), ("Cord", "ORGAN")]
    assert len({roi.colour for roi in rois}) == 3
    assert notes == []
    ((index, points),) = rois[0].contours
    assert index == 3
    assert sorted(points.tolist()) == [[x, y, 4.0 + 2 * 3] for x in (-7.5, -6.5) for y in (-5.5, -4.5)]


def test_regions_may_share_voxels(stack: CtStack) -> None:
    labels = np.zeros(CT.size[::-1], np.uint8)
    labels[2, 3:6, 4:7], labels[2, 4, 5] = 1, 2
    whole, core = rois_of(labels, CT, {"background": [0], "PTV": [1, 2], "GTV": [2]}, stack)[0]
    assert [len(points) for _, points in whole.contours] == [4]
    assert [len(points) for _, points in core.contours] == [4]


def test_empty_labels_are_left_out_and_told(stack: CtStack) -> None:
    labels = np.zeros(CT.size[::-1], np.uint8)
    labels[2, 3, 4], labels[2, 4, 4] = 1, 9
    rois, notes = rois_of(labels, CT, VALUES, stack)
    assert [roi.name for roi in rois] == ["PTV"]
    assert notes == ["Tumor: empty, left out", "Cord: empty, left out"]


def test_a_volume_that_changes_is_told(stack: CtStack) -> None:
    """Three fine voxels of 0.125 mm3 become none of the CT's of 2 mm3; twelve of them, 1.5 mm3, one."""
    fine = Grid((8, 8, 8), (0.5, 0.5, 0.5), (0.0, 0.0, 10.0), UPRIGHT)
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[3, 3, 2:5], labels[4:6, 3:5, 3:6] = 1, 2
    rois, notes = rois_of(labels, fine, VALUES, stack)
    assert [roi.name for roi in rois] == ["Tumor"]
    assert notes == [
        "PTV: 0.000375 cc are too small for a voxel of the CT, left out",
        "Tumor: 0.0015 cc in the label map, 0.002 cc on the CT",
        "Cord: empty, left out",
    ]


def test_label_maps_that_cannot_be_exported_are_refused(stack: CtStack) -> None:
    labels = np.zeros(CT.size[::-1], np.uint8)
    with pytest.raises(DoseloError, match="the label map is empty"):
        rois_of(labels, CT, VALUES, stack)
    labels[0, 0, 0] = 9
    with pytest.raises(DoseloError, match="nothing is left to export: PTV: empty"):
        rois_of(labels, CT, VALUES, stack)
    labels[0, 0, 1] = 7
    with pytest.raises(DoseloError, match=r"found \[7\]; is the dataset.json the one of the network"):
        rois_of(labels, CT, VALUES, stack)
