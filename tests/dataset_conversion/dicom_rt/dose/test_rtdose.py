"""Doses on their own grid and on others: small grids with values by hand, the choice among several, real exports."""

from collections.abc import Callable
from pathlib import Path

import dicom_files
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import Geometry, Patient
from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset_conversion.dicom_rt.dose.rtdose import Dose, on_grid, read_doses

GEOMETRY = Geometry(spacing_mm=(3.0, 2.0, 2.5), origin_mm=(-10.0, 20.0, 100.0))
DOSE_GY = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
AXES = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
Change = Callable[[Dataset], object]


def written(file: Path, dose_gy: np.ndarray = DOSE_GY, geometry: Geometry = GEOMETRY, **more: object) -> Path:
    dicom_files.write_rtdose(file, np.asarray(dose_gy), geometry, Patient(), **more)  # type: ignore[arg-type]
    return file


def changed(file: Path, change: Change, dose_gy: np.ndarray = DOSE_GY, **more: object) -> Path:
    item = dicom_files.write_rtdose(file, dose_gy, GEOMETRY, Patient(), **more)  # type: ignore[arg-type]
    change(item)
    dicom_files.save(item, file)
    return file


def tag(**values: object) -> Change:
    return lambda item: [setattr(item, keyword, value) for keyword, value in values.items()]


def part(group: int, *beams: int) -> Change:
    """The dose says that it is of these beams."""

    def refer(item: Dataset) -> None:
        reference = item.ReferencedRTPlanSequence[0]
        fractions = Dataset()
        fractions.ReferencedFractionGroupNumber = group
        fractions.ReferencedBeamSequence = DicomSequence()
        for number in beams:
            beam = Dataset()
            beam.ReferencedBeamNumber = number
            fractions.ReferencedBeamSequence.append(beam)
        reference.ReferencedFractionGroupSequence = DicomSequence([fractions])

    return refer


def array(dose: Dose) -> np.ndarray:
    return sitk.GetArrayFromImage(dose.image)


def refusal(*files: Path) -> str:
    with pytest.raises(DoseloError) as error:
        read_doses(files)
    assert "SECRET" not in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


def on_x(first_mm: float, spacing_mm: float, size: int) -> Grid:
    """A row of voxels along x through the dose's first row and slice."""
    return Grid((size, 1, 1), (spacing_mm, 1.0, 1.0), (first_mm, 20.0, 100.0), AXES)


def test_stored_numbers_times_scaling_are_gy_on_the_doses_grid(tmp_path: Path) -> None:
    dose = read_doses([written(tmp_path / "d.dcm", scaling=0.001)])
    assert array(dose) == pytest.approx(DOSE_GY)
    assert array(dose).dtype == np.float32
    assert dose.native_max_gy == pytest.approx(59)
    assert dose.notes == ()
    assert dose.image.GetOrigin() == (-10, 20, 100)
    assert dose.image.GetSpacing() == (2.5, 2, 3)
    assert dose.image.GetDirection() == AXES


def test_offsets_are_relative_or_patient_coordinates(tmp_path: Path) -> None:
    relative = read_doses([written(tmp_path / "a.dcm")]).image
    absolute = read_doses([written(tmp_path / "b.dcm", first_offset=100.0)]).image
    assert absolute.GetOrigin() == relative.GetOrigin()
    assert absolute.GetSpacing() == relative.GetSpacing()
    assert np.array_equal(sitk.GetArrayFromImage(absolute), sitk.GetArrayFromImage(relative))


def test_patient_coordinates_of_a_feet_first_grid_run_down_along_its_normal(tmp_path: Path) -> None:
    """Feet first supine: planes count up towards the feet, so patient z falls: 100, 97, 94."""
    geometry = Geometry.of_position("FFS", spacing_mm=GEOMETRY.spacing_mm, origin_mm=GEOMETRY.origin_mm)
    item = dicom_files.write_rtdose(tmp_path / "d.dcm", DOSE_GY, geometry, Patient())
    item.GridFrameOffsetVector = ["100", "97", "94"]
    dicom_files.save(item, tmp_path / "d.dcm")
    image = read_doses([tmp_path / "d.dcm"]).image
    assert image.TransformIndexToPhysicalPoint((0, 0, 2)) == pytest.approx((-10, 20, 94))
    assert image[0, 0, 2] == 40


def test_falling_offsets_count_from_the_last_frame(tmp_path: Path) -> None:
    file = changed(tmp_path / "d.dcm", tag(GridFrameOffsetVector=["0", "-3", "-6"]))
    dose = read_doses([file])
    assert dose.image.GetOrigin() == (-10, 20, 94)
    assert np.array_equal(array(dose), DOSE_GY[::-1])


@pytest.mark.parametrize(("thickness", "reach_mm"), [("3", 1.5), ("", 1.25)])
def test_a_dose_of_one_plane_is_as_thick_as_its_slice_or_its_pixels(
    tmp_path: Path, thickness: str, reach_mm: float
) -> None:
    def single(item: Dataset) -> None:
        for keyword in ("NumberOfFrames", "FrameIncrementPointer", "GridFrameOffsetVector"):
            delattr(item, keyword)
        item.SliceThickness = thickness

    dose = read_doses([changed(tmp_path / "d.dcm", single, DOSE_GY[1:2])])
    assert array(dose) == pytest.approx(DOSE_GY[1:2])
    for z_mm, expected in ((100, 20), (100 + reach_mm - 0.01, 20), (100 + reach_mm + 0.01, 0)):
        here = Grid((1, 1, 1), (1.0, 1.0, 1.0), (-10.0, 20.0, z_mm), AXES)
        assert on_grid(dose, here).item() == pytest.approx(expected)


def test_on_another_grid_the_dose_is_linear_between_voxel_centres(tmp_path: Path) -> None:
    """Along x the dose is 0, 1, 2, 3, 4 Gy at -10, -7.5, -5, -2.5, 0 mm."""
    dose = read_doses([written(tmp_path / "d.dcm")])
    sampled = on_grid(dose, on_x(-10, 0.5, 21))
    assert sampled.shape == (1, 1, 21)
    assert sampled.dtype == np.float32
    assert sampled[0, 0] == pytest.approx(np.arange(21) / 5)


def test_the_dose_ends_with_the_faces_of_its_outermost_voxels(tmp_path: Path) -> None:
    """The last centre is at 0 mm with 4 Gy, its face at 1.25 mm."""
    dose = read_doses([written(tmp_path / "d.dcm")])
    assert on_grid(dose, on_x(0.2, 0.5, 4))[0, 0] == pytest.approx([4, 4, 4, 0])


def test_an_oblique_ct_gets_the_dose_at_its_own_voxels(tmp_path: Path) -> None:
    """The CT's rows run along the dose's columns: y = 20, 22, 24 mm has 0, 5, 10 Gy."""
    dose = read_doses([written(tmp_path / "d.dcm")])
    turned = Grid((3, 1, 1), (2.0, 1.0, 1.0), (-10.0, 20.0, 100.0), (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    assert on_grid(dose, turned)[0, 0] == pytest.approx([0, 5, 10])


def test_the_plans_dose_is_preferred_to_its_beams(tmp_path: Path) -> None:
    beams = [written(tmp_path / f"{i}.dcm", summation="BEAM", plan="1.2.3") for i in range(2)]
    dose = read_doses([*beams, written(tmp_path / "total.dcm", 7 + DOSE_GY)])
    assert dose.native_max_gy == pytest.approx(66)
    assert dose.notes == ("2 other doses of the patient not used, the PLAN dose is the total",)


def test_beams_of_one_plan_are_summed(tmp_path: Path) -> None:
    files = [changed(tmp_path / f"{i}.dcm", part(1, i), summation="BEAM", plan="1.2.3") for i in (1, 2, 3)]
    dose = read_doses(files)
    assert array(dose) == pytest.approx(3 * DOSE_GY)
    assert dose.native_max_gy == pytest.approx(3 * 59)
    assert dose.notes == ("dose is the sum of 3 BEAM doses; whether these are all is not known",)


def test_beams_on_different_grids_are_summed_on_one_that_holds_both(tmp_path: Path) -> None:
    """1 Gy at x = 0, 2, 4 mm and 2 Gy, in wider voxels, at 3, 7 mm, which is from 1 to 9 mm."""
    narrow, wide = Geometry((3.0, 2.0, 2.0)), Geometry((3.0, 2.0, 4.0), (3.0, 0.0, 0.0))
    a = written(tmp_path / "a.dcm", np.ones((2, 2, 3)), narrow, summation="BEAM", plan="1.2.3")
    b = written(tmp_path / "b.dcm", 2 * np.ones((2, 2, 2)), wide, summation="BEAM", plan="1.2.3")
    dose = read_doses([b, a])
    assert dose.image.GetOrigin() == (0, 0, 0)
    assert dose.image.GetSpacing() == (2, 2, 3)
    assert array(dose)[1, 1] == pytest.approx([1, 3, 3, 2, 2])


def test_the_sum_of_several_plans_is_taken_with_a_note(tmp_path: Path) -> None:
    dose = read_doses([written(tmp_path / "d.dcm", summation="MULTI_PLAN")])
    assert dose.notes == ("dose is the sum of several plans (MULTI_PLAN)",)


def test_a_copy_of_a_dose_is_no_second_dose(tmp_path: Path) -> None:
    file = written(tmp_path / "d.dcm")
    copy = tmp_path / "copy.dcm"
    copy.write_bytes(file.read_bytes())
    dose = read_doses([file, copy])
    assert dose.native_max_gy == pytest.approx(59)
    assert dose.notes == ("1 copies of a dose left out",)


def test_doses_of_two_plans_are_not_guessed_between(tmp_path: Path) -> None:
    a, b = (written(tmp_path / f"{plan}.dcm", plan=plan) for plan in ("1.2.3", "1.2.4"))
    assert refusal(a, b) == f"expected one PLAN dose, found 2 of different plans: {a}, {b}; keep one"
    c = written(tmp_path / "c.dcm", plan="1.2.3")
    assert refusal(a, c) == f"expected one PLAN dose, found 2 of one plan: {a}, {c}; keep one"


@pytest.mark.parametrize("plans", [("1.2.3", "1.2.4"), ("", ""), ("1.2.3", "")])
def test_beams_that_do_not_refer_to_one_plan_are_not_summed(tmp_path: Path, plans: tuple[str, str]) -> None:
    a, b = (written(tmp_path / f"{i}.dcm", summation="BEAM", plan=plan) for i, plan in enumerate(plans))
    assert refusal(a, b) == f"BEAM doses can be summed if all refer to one plan, these do not: {a}, {b}"


def test_a_beam_is_not_counted_twice(tmp_path: Path) -> None:
    a = changed(tmp_path / "a.dcm", part(1, 1, 2), summation="BEAM", plan="1.2.3")
    b = changed(tmp_path / "b.dcm", part(1, 2), summation="BEAM", plan="1.2.3")
    assert refusal(a, b) == f"BEAM doses can be summed if none holds a part of another, these do: {a}, {b}"


def test_parts_of_another_kind_are_no_plan(tmp_path: Path) -> None:
    file = written(tmp_path / "d.dcm", summation="CONTROL_POINT")
    assert f"PLAN, MULTI_PLAN, FRACTION, BEAM; none of these is: {file};" in refusal(file)
    assert "none of these is: none;" in refusal()


def _signed(item: Dataset) -> None:
    item.PixelRepresentation = 1
    item.PixelData = (-np.ones(DOSE_GY.shape, np.int32)).tobytes()


def _half_the_pixels(item: Dataset) -> None:
    item.PixelData = item.PixelData[: len(item.PixelData) // 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (tag(DoseUnits="RELATIVE"), "DoseUnits must be GY, this dose is relative"),
        (tag(DoseType="ERROR"), "is an error estimate (DoseType ERROR), not a dose"),
        (tag(Modality="CT"), "must be a RTDOSE object"),
        (tag(DoseGridScaling="0"), "DoseGridScaling must be positive, found 0"),
        (tag(DoseGridScaling="1e60"), "DoseGridScaling leads beyond the range of numbers"),
        (tag(DoseSummationType=""), "the tag DoseSummationType is missing or empty"),
        (tag(GridFrameOffsetVector=["0", "3", "7"]), "must be evenly spaced, frame 2 is 3 mm from the one before"),
        (tag(GridFrameOffsetVector=["0", "3", "2"]), "must rise, or fall, from frame to frame"),
        (tag(GridFrameOffsetVector=["0", "3"]), "the tag GridFrameOffsetVector must hold 3 numbers, found 2"),
        (tag(GridFrameOffsetVector=["50", "53", "56"]), "with the z of ImagePositionPatient (100), found 50"),
        (lambda item: item.__delattr__("GridFrameOffsetVector"), "the tag GridFrameOffsetVector is missing or empty"),
        (tag(NumberOfFrames=10**9), "pixel data cannot be decoded (ValueError)"),
        (tag(Rows=65535, Columns=65535), "pixel data cannot be decoded (ValueError)"),
        (lambda item: item.__delattr__("PixelData"), "holds no pixel data"),
        (_half_the_pixels, "pixel data cannot be decoded (ValueError)"),
        (_signed, "dose must not be negative, lowest value is -1e-06 Gy"),
        (tag(PixelData=bytes(4 * DOSE_GY.size)), "the dose is 0 everywhere"),
    ],
)
def test_a_dose_that_cannot_be_used_is_one_clear_error(tmp_path: Path, change: Change, message: str) -> None:
    file = changed(tmp_path / "d.dcm", change)
    said = refusal(file)
    assert said.startswith(f"{file}: ")
    assert message in said


def test_pinnacles_dose_reads(realdata: Path) -> None:
    """A prescription of 60 Gy; stored maximum 16384 times the file's scaling of 0.00423."""
    dose = read_doses([realdata / "dicom_rt" / "pinnacle_prostate" / "rtdose.dcm"])
    assert dose.native_max_gy == pytest.approx(69.304, abs=0.001)
    assert dose.image.GetSize() == (183, 113, 50)
    assert dose.image.GetSpacing() == (2.5, 2.5, 2.5)
    assert dose.image.GetOrigin() == (-237.333, -33.397, -63.657)


def test_the_maximum_is_the_one_in_the_planning_systems_own_histogram(realdata: Path) -> None:
    """The DVH of the body, stored in per cent of the 14 Gy prescribed, ends at 104.862667 %."""
    dose = read_doses([realdata / "dicom_rt" / "dicompyler_breast_full" / "rtdose.dcm"])
    assert dose.native_max_gy == pytest.approx(1.04862666667 * 14, rel=1e-5)
