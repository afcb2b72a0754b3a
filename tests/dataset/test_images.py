from pathlib import Path

import nibabel
import numpy as np
import phantoms
import pytest
import SimpleITK as sitk

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.images import (
    array_of,
    array_view,
    as_image,
    grid_of,
    index_xyz,
    onto_grid,
    read_array,
    read_grid,
    write_array,
)

GRID = Grid((4, 3, 2), (1.0, 2.0, 3.0), (10.0, 20.0, 30.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def test_array_and_grid_come_back(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "a.nii.gz"
    write_array(file, ARRAY, GRID)
    array, grid = read_array(file)
    assert np.array_equal(array, ARRAY)
    assert array.dtype == np.float32
    assert grid.differences(GRID) == []
    assert read_grid(file).differences(GRID) == []


def test_another_reader_sees_the_same_patient(tmp_path: Path) -> None:
    """nibabel is (x, y, z) and RAS: voxel (3, 2, 1) lies at LPS (13, 24, 33) mm, RAS (-13, -24, 33)."""
    write_array(tmp_path / "a.nii.gz", ARRAY, GRID)
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert image.get_fdata()[3, 2, 1] == ARRAY[1, 2, 3] == 23
    assert np.allclose(image.affine @ [3, 2, 1, 1], [-13, -24, 33, 1])


def test_a_mask_is_stored_as_bytes(tmp_path: Path) -> None:
    write_array(tmp_path / "a.nii.gz", ARRAY > 11, GRID)
    array, _ = read_array(tmp_path / "a.nii.gz")
    assert array.dtype == np.uint8
    assert array.sum() == 12


def test_nothing_but_the_file_is_left_and_an_old_file_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "a.nii.gz"
    write_array(file, ARRAY, GRID)
    write_array(file, ARRAY + 1, GRID)
    assert read_array(file)[0][0, 0, 0] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii.gz"]


def test_a_failed_write_leaves_the_old_file_and_no_partial_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.nii.gz"
    write_array(file, ARRAY, GRID)
    before = file.read_bytes()

    def half_a_file(image: sitk.Image, name: str, **options: bool | int) -> None:
        Path(name).write_bytes(before[:20])
        raise RuntimeError("disk full")

    monkeypatch.setattr(sitk, "WriteImage", half_a_file)
    with pytest.raises(RuntimeError, match="disk full"):
        write_array(file, ARRAY + 1, GRID)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_an_array_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DoseloError, match=r"array \(z, y, x\) \(2, 3, 5\) does not fit .* \(4, 3, 2\)"):
        write_array(tmp_path / "a.nii.gz", np.zeros((2, 3, 5)), GRID)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read", [read_array, read_grid])
def test_missing_and_broken_files_are_told_apart(tmp_path: Path, read) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    with pytest.raises(DoseloError, match=r"absent\.nii\.gz: does not exist"):
        read(tmp_path / "absent.nii.gz")
    with pytest.raises(DoseloError, match=r"broken\.nii\.gz: is not an image that SimpleITK can read"):
        read(tmp_path / "broken.nii.gz")


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd"])
@pytest.mark.parametrize("kept", [0.5, 0.97])
def test_an_image_that_was_cut_short_is_an_error_and_not_filled_with_zeros(
    tmp_path: Path, ending: str, kept: float
) -> None:
    file = tmp_path / f"a{ending}"
    grid = phantoms.grid_for()
    write_array(file, phantoms.mr_image(), grid)
    assert np.array_equal(read_array(file)[0], phantoms.mr_image())
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DoseloError, match=r"is cut short or damaged|is not an image that SimpleITK can read"):
        read_array(file)


def test_two_dimensions_are_refused(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.Image(4, 3, sitk.sitkUInt8), str(tmp_path / "a.png"))
    with pytest.raises(DoseloError, match="expected a 3-D image, found 2 dimensions"):
        read_grid(tmp_path / "a.png")


def test_grid_of_an_image_in_memory() -> None:
    assert grid_of(sitk.Image(4, 3, 2, sitk.sitkUInt8)).size == (4, 3, 2)


def test_an_array_and_its_grid_become_an_image_and_come_back() -> None:
    image = as_image(ARRAY, GRID)
    assert image.GetPixel(*index_xyz((1, 2, 3))) == ARRAY[1, 2, 3] == 23
    assert image.TransformIndexToPhysicalPoint(index_xyz((1, 2, 3))) == (13.0, 24.0, 33.0)
    assert np.array_equal(array_of(image), ARRAY)
    assert grid_of(image) == GRID


def test_a_copy_can_be_written_and_a_view_cannot() -> None:
    image = as_image(ARRAY, GRID)
    array_of(image)[0, 0, 0] = 99
    assert np.array_equal(array_view(image), ARRAY)
    with pytest.raises(ValueError, match="read-only"):
        array_view(image)[0, 0, 0] = 99


def test_a_mask_becomes_ones_and_zeros() -> None:
    assert array_of(as_image(ARRAY > 11, GRID)).tolist() == (ARRAY > 11).astype(int).tolist()


def test_an_array_of_another_shape_is_no_image_of_that_grid() -> None:
    with pytest.raises(DoseloError, match=r"array \(z, y, x\) \(4, 3, 2\) does not fit the grid \(x, y, z\)"):
        as_image(ARRAY.transpose(), GRID)


def test_an_image_on_another_grid_is_interpolated_and_filled_up() -> None:
    """A ramp along x of 1 a mm; the outermost half voxel has the nearest voxel's value, beyond lies `outside`."""
    ramp = np.broadcast_to(np.arange(4, dtype=np.float32), (2, 3, 4))
    row = Grid((6, 1, 1), (0.9, 1.0, 1.0), (9.75, 22.0, 30.0), GRID.direction)
    values = array_of(onto_grid(as_image(ramp, GRID), row, outside=-7.0))
    assert values.ravel() == pytest.approx([0.0, 0.65, 1.55, 2.45, 3.0, -7.0])
    same = onto_grid(as_image(ramp, GRID), GRID, interpolator=sitk.sitkNearestNeighbor)
    assert array_of(same).tolist() == ramp.tolist()
