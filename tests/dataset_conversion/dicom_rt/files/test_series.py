"""Slices as files to one volume: values and places by hand, and each way in which a series can be unusable."""

from collections.abc import Callable
from pathlib import Path

import dicom_files
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import Geometry, Patient
from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless
from scipy.spatial.transform import Rotation

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset_conversion.dicom_rt.files.series import read_series

SHAPE = (6, 4, 5)
GEOMETRY = Geometry(spacing_mm=(2.5, 0.7, 0.9), origin_mm=(-12.0, 30.0, -100.0))
HU = np.random.default_rng(0).integers(-1000, 2000, SHAPE)
Change = Callable[[Dataset], None]


def written(folder: Path, voxels: np.ndarray = HU, geometry: Geometry = GEOMETRY, **more: object) -> list[Path]:
    dicom_files.write_images(folder, voxels, geometry, Patient(), **more)  # type: ignore[arg-type]
    return sorted(folder.iterdir())


def changed(folder: Path, changes: dict[int, Change], **more: object) -> list[Path]:
    """A series of which some slices, by index, were changed after they were made."""
    items = dicom_files.write_images(folder, HU, GEOMETRY, Patient(), **more)  # type: ignore[arg-type]
    files = sorted(folder.iterdir())
    for index, change in changes.items():
        change(items[index])
        dicom_files.save(items[index], files[index])
    return files


def tag(**values: object) -> Change:
    return lambda item: [setattr(item, keyword, value) for keyword, value in values.items()] and None


def moved(x: float = 0, y: float = 0, z: float = 0) -> Change:
    def move(item: Dataset) -> None:
        item.ImagePositionPatient = [a + b for a, b in zip(item.ImagePositionPatient, (x, y, z), strict=True)]

    return move


def refusal(files: list[Path]) -> str:
    with pytest.raises(DoseloError) as error:
        read_series(files)
    assert "SECRET" not in str(error.value)
    return str(error.value)


def array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def test_slices_in_any_order_become_a_volume_in_hu(tmp_path: Path) -> None:
    files = written(tmp_path)
    image = read_series([files[i] for i in (3, 0, 5, 1, 4, 2)])
    assert image.GetPixelID() == sitk.sitkInt16
    assert np.array_equal(array(image), HU)
    assert image.GetOrigin() == (-12.0, 30.0, -100.0)
    assert image.GetSpacing() == pytest.approx((0.9, 0.7, 2.5))
    assert image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)


def test_an_oblique_series_keeps_its_place_in_the_patient(tmp_path: Path) -> None:
    matrix = Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix()
    geometry = Geometry((2.5, 0.7, 0.9), (-12.0, 30.0, -100.0), tuple(matrix.ravel()))
    image = read_series(written(tmp_path, geometry=geometry, modality="MR"))
    for index in ((0, 0, 0), (4, 0, 0), (0, 3, 0), (4, 3, 5)):
        assert image.TransformIndexToPhysicalPoint(index) == pytest.approx(geometry.position(index), abs=1e-6)
        assert image[index] == HU[index[::-1]]


def test_slope_and_intercept_may_change_from_slice_to_slice(tmp_path: Path) -> None:
    """Stored is HU + 1024; 2 * (HU + 1024) - 1000 = 2 HU + 1048."""
    image = read_series(changed(tmp_path, {2: tag(RescaleSlope="2", RescaleIntercept="-1000")}))
    assert image.GetPixelID() == sitk.sitkInt16
    assert np.array_equal(array(image)[2], 2 * HU[2] + 1048)
    assert np.array_equal(array(image)[3], HU[3])


def test_a_fractional_slope_makes_real_numbers(tmp_path: Path) -> None:
    image = read_series(changed(tmp_path, {2: tag(RescaleSlope="0.5", RescaleIntercept="0")}))
    assert image.GetPixelID() == sitk.sitkFloat32
    assert np.array_equal(array(image)[2], (HU[2] + 1024) / 2)


def test_a_magnetic_resonance_series_needs_no_rescaling(tmp_path: Path) -> None:
    signal = HU - HU.min()
    image = read_series(written(tmp_path, signal, modality="MR"))
    assert np.array_equal(array(image), signal)


def test_a_ct_without_rescaling_is_refused(tmp_path: Path) -> None:
    files = changed(tmp_path, {1: lambda item: delattr(item, "RescaleSlope")})
    assert refusal(files) == f"{files[1]}: the tag RescaleSlope is missing or empty; export the object again"


def test_padding_below_air_becomes_air(tmp_path: Path) -> None:
    padded = HU.copy()
    padded[:, 0, 0] = -3024
    assert array(read_series(written(tmp_path, padded)))[:, 0, 0].tolist() == [-1024] * 6


def test_a_lossless_compression_that_pydicom_decodes(tmp_path: Path) -> None:
    files = changed(tmp_path, {i: lambda item: item.compress(RLELossless) for i in range(6)})
    assert np.array_equal(array(read_series(files)), HU)


def test_positions_that_the_scanner_rounded_are_an_even_stack(tmp_path: Path) -> None:
    """1.25 mm slices at 0, 1.2, 2.5, 3.8, 5, 6.2."""
    geometry = Geometry((1.25, 1.0, 1.0))
    rounding = {1: moved(z=-0.05), 3: moved(z=0.05), 5: moved(z=-0.05)}
    items = dicom_files.write_images(tmp_path, HU, geometry, Patient())
    files = sorted(tmp_path.iterdir())
    for index, move in rounding.items():
        move(items[index])
        dicom_files.save(items[index], files[index])
    assert read_series(files).GetSpacing()[2] == pytest.approx(6.2 / 5)


def test_gantry_tilt_is_refused_by_its_tag_and_by_the_slices_places(tmp_path: Path) -> None:
    files = changed(tmp_path / "tag", {0: tag(GantryDetectorTilt="-15")})
    assert "gantry tilt must be 0, found -15 degrees" in refusal(files)
    files = changed(tmp_path / "places", {i: moved(y=0.5 * i) for i in range(6)})
    message = refusal(files)
    assert "slices must be stacked along their normal (no gantry tilt)" in message
    assert f"{files[1]} at (x, y, z) = (-12, 30.5, -97.5) mm lies 0.50 mm aside" in message


def test_missing_slices_are_counted_and_the_first_is_placed(tmp_path: Path) -> None:
    files = written(tmp_path, np.concatenate([HU, HU]))
    message = refusal([f for i, f in enumerate(files) if i not in (3, 4, 8)])
    assert message == (
        f"3 of the slices are missing, the first at (x, y, z) = (-12, 30, -92.5) mm between {files[2]} and "
        f"{files[5]}; export the whole series"
    )


def test_varying_spacing_is_refused_and_the_slice_named(tmp_path: Path) -> None:
    """Slices at 0, 2.5, 5, 8.5, 11, 13.5: the fourth comes 3.5 mm after the third."""
    files = changed(tmp_path / "one", {i: moved(z=1) for i in (3, 4, 5)})
    assert refusal(files) == (
        f"slice spacing must not vary: 3.5 mm before {files[3]} at (x, y, z) = (-12, 30, -91.5) mm, 2.5 mm elsewhere; "
        "reconstruct the series with one spacing"
    )


def test_two_slices_at_one_position_are_named(tmp_path: Path) -> None:
    files = changed(tmp_path, {4: moved(z=-2.5)})
    message = refusal(files)
    assert "two slices lie at one position: " in message
    assert str(files[3]) in message
    assert str(files[4]) in message


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (tag(PixelSpacing=["0.8", "0.9"]), "pixel spacing"),
        (tag(ImageOrientationPatient=["1", "0", "0", "0", "0.8", "0.6"]), "orientation"),
        (tag(Rows=2), "size"),
    ],
)
def test_a_slice_of_another_kind_is_named(tmp_path: Path, change: Change, what: str) -> None:
    files = changed(tmp_path, {2: change})
    assert refusal(files) == (
        f"the slices of a series must agree in {what}: {files[2]} differs from {files[0]}; "
        "move slices of another series (a localizer?) away"
    )


@pytest.mark.parametrize("files", [0, 1])
def test_one_slice_is_no_series(tmp_path: Path, files: int) -> None:
    assert f"at least two slices, found {files}" in refusal(written(tmp_path)[:files])


def _without_pixels(item: Dataset) -> None:
    del item.PixelData


def _half_the_pixels(item: Dataset) -> None:
    item.PixelData = item.PixelData[: len(item.PixelData) // 2]


def _compressed(syntax: str) -> Change:
    def garbage(item: Dataset) -> None:
        item.compress(RLELossless)
        item.file_meta.TransferSyntaxUID = syntax

    return garbage


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (tag(NumberOfFrames=3), "is a multi-frame image, which is not supported; export it as one file a slice"),
        (tag(SharedFunctionalGroupsSequence=DicomSequence([Dataset()])), "is a multi-frame image"),
        (tag(PhotometricInterpretation="RGB", SamplesPerPixel=3), "must hold grey values"),
        (tag(Modality="PT"), "must be CT, or all MR"),
        (tag(Modality="MR"), "must be CT, or all MR"),
        (tag(RescaleType="SECRET"), "a CT must be in HU"),
        (tag(RescaleSlope="0"), "RescaleSlope must not be 0"),
        (tag(RescaleSlope="1e60"), "lead beyond the range of numbers"),
        (tag(ModalityLUTSequence=DicomSequence([Dataset()])), "a Modality LUT is not supported"),
        (tag(ImageOrientationPatient=["1", "0", "0", "1", "0", "0"]), "two perpendicular unit vectors, off by 1"),
        (tag(PixelSpacing=["0", "1"]), "PixelSpacing must be positive"),
        (_without_pixels, "holds no pixel data"),
        (_half_the_pixels, "pixel data cannot be decoded (ValueError); export the object again, uncompressed"),
        (_compressed(JPEGLosslessSV1), "transfer syntax JPEG Lossless, Non-Hierarchical"),
        (_compressed(JPEG2000Lossless), "transfer syntax JPEG 2000"),
    ],
)
def test_a_slice_that_cannot_be_used_is_one_clear_error(tmp_path: Path, change: Change, message: str) -> None:
    files = changed(tmp_path, {2: change})
    said = refusal(files)
    assert message in said
    assert said.startswith(f"{files[2]}: ")
    assert "\n" not in said


def test_surplus_bytes_after_the_pixels_do_not_matter(tmp_path: Path) -> None:
    def pad(item: Dataset) -> None:
        item.PixelData = item.PixelData + b"\0\0\0\0"

    assert np.array_equal(array(read_series(changed(tmp_path, {2: pad}))), HU)


def test_a_series_without_preamble(realdata: Path) -> None:
    """Monaco's export: five slices of 5 x 5 pixels of 100 mm, 100 mm apart."""
    image = read_series(sorted((realdata / "dicom_rt" / "monaco_tinyfs").glob("*TinyFS_CT1_image*.DCM")))
    assert image.GetSize() == (5, 5, 5)
    assert image.GetSpacing() == (100.0, 100.0, 100.0)
    assert image.GetOrigin() == (-200.0, -200.0, -200.0)
    assert image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
