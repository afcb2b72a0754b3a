"""Structure sets: what is read, what is skipped with a note, what is refused."""

from collections.abc import Callable
from pathlib import Path

import dicom_files
import numpy as np
import pydicom
import pytest
from dicom_files import Geometry, Patient
from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset_conversion.dicom_rt.contours.rtstruct import Roi, read_structure_set

TRIANGLE = np.array([(1.5, -2.25, 3.0), (10.0, -2.25, 3.0), (10.0, 8.125, 3.0)])
SQUARE = np.array([(-1.12345, 0, 6), (4, 0, 6), (4, 4, 6), (0, 4, 6)])


@pytest.fixture
def patient() -> Patient:
    return Patient()


@pytest.fixture
def images(tmp_path: Path, patient: Patient) -> list[Dataset]:
    return dicom_files.write_images(tmp_path / "ct", np.zeros((3, 4, 4)), Geometry(), patient)


@pytest.fixture
def file(tmp_path: Path, images: list[Dataset], patient: Patient) -> Path:
    """Two ROIs: a triangle, and a triangle and a square."""
    path = tmp_path / "rs.dcm"
    rois = {"PTV": [TRIANGLE], "Heart": [TRIANGLE, SQUARE]}
    dicom_files.write_rtstruct(path, rois, images, patient, types={"PTV": "PTV"})
    return path


def edited(file: Path, edit: Callable[[Dataset], None]) -> Path:
    """The file after `edit`, without pydicom's checks of what is written."""
    dataset = pydicom.dcmread(file)
    with pydicom.config.disable_value_validation():
        edit(dataset)
        dicom_files.save(dataset, file)
    return file


def roi_contours(dataset: Dataset, roi: int = 1) -> DicomSequence:
    return dataset.ROIContourSequence[roi].ContourSequence


def heart(file: Path) -> Roi:
    return read_structure_set(file).rois[1]


def test_regions_contours_and_references_are_read(file: Path, images: list[Dataset], patient: Patient) -> None:
    found = read_structure_set(file)
    assert [(roi.number, roi.name, roi.interpreted_type) for roi in found.rois] == [
        (1, "PTV", "PTV"),
        (2, "Heart", "ORGAN"),
    ]
    assert np.array_equal(found.rois[0].contours[0], TRIANGLE)
    assert [len(roi.contours) for roi in found.rois] == [1, 2]
    assert all(roi.notes == () and not roi.automatic for roi in found.rois)
    assert (found.frame, found.series) == (patient.frame, images[0].SeriesInstanceUID)
    assert found.images == {image.SOPInstanceUID for image in images}


def test_regions_without_image_references_are_read(file: Path) -> None:
    def without_references(dataset: Dataset) -> None:
        del dataset.ReferencedFrameOfReferenceSequence
        for contour in roi_contours(dataset):
            del contour.ContourImageSequence
        del roi_contours(dataset, 0)[0].ContourImageSequence

    found = read_structure_set(edited(file, without_references))
    assert (found.series, found.images) == (None, frozenset())
    assert found.frame
    assert len(found.rois[1].contours) == 2


@pytest.mark.parametrize("kind", ["POINT", "OPEN_PLANAR", "OPEN_NONPLANAR"])
def test_points_and_open_contours_are_skipped_with_a_note(file: Path, kind: str) -> None:
    roi = heart(edited(file, lambda d: setattr(roi_contours(d)[0], "ContourGeometricType", kind)))
    assert len(roi.contours) == 1
    assert roi.notes == (f"contours skipped: 1 of type {kind}",)


def test_xor_contours_are_closed_ones_and_copies_of_them_count(file: Path) -> None:
    def as_xor(dataset: Dataset) -> None:
        roi_contours(dataset).append(roi_contours(dataset)[0])
        for contour in roi_contours(dataset):
            contour.ContourGeometricType = "CLOSEDPLANAR_XOR"

    assert len(heart(edited(file, as_xor)).contours) == 3


def test_a_copy_of_a_contour_would_cancel_it_and_is_skipped(file: Path) -> None:
    roi = heart(edited(file, lambda d: roi_contours(d).append(roi_contours(d)[0])))
    assert len(roi.contours) == 2
    assert roi.notes == ("contours skipped: 1 stored twice",)


def test_two_points_are_no_contour(file: Path) -> None:
    def two_points(dataset: Dataset) -> None:
        contour = roi_contours(dataset)[0]
        contour.ContourData, contour.NumberOfContourPoints = contour.ContourData[:6], 2

    assert heart(edited(file, two_points)).notes == ("contours skipped: 1 of fewer than 3 points",)


def test_an_empty_region_is_kept_with_a_note(file: Path) -> None:
    def without_contours(dataset: Dataset) -> None:
        del dataset.ROIContourSequence[1].ContourSequence
        del dataset.ROIContourSequence[0]

    rois = read_structure_set(edited(file, without_contours)).rois
    assert [(roi.contours, roi.notes) for roi in rois] == [((), ("has no closed contour: empty",))] * 2


def test_equal_names_are_both_kept_with_a_note(file: Path) -> None:
    rois = read_structure_set(edited(file, lambda d: setattr(d.StructureSetROISequence[0], "ROIName", "Heart"))).rois
    assert [(roi.number, roi.name, roi.notes) for roi in rois] == [
        (1, "Heart", ("2 regions have this name",)),
        (2, "Heart", ("2 regions have this name",)),
    ]


def test_missing_name_and_missing_type_are_empty(file: Path) -> None:
    def unnamed(dataset: Dataset) -> None:
        del dataset.StructureSetROISequence[1].ROIName
        del dataset.RTROIObservationsSequence

    roi = heart(edited(file, unnamed))
    assert (roi.name, roi.interpreted_type, roi.notes) == ("", "", ("has no name",))


def test_contours_of_an_algorithm_are_known_as_such(file: Path) -> None:
    def automatic(dataset: Dataset) -> None:
        dataset.StructureSetROISequence[1].ROIGenerationAlgorithm = "AUTOMATIC"

    assert [roi.automatic for roi in read_structure_set(edited(file, automatic)).rois] == [False, True]


def test_several_series_are_no_series(file: Path) -> None:
    def second_series(dataset: Dataset) -> None:
        study = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
        study.RTReferencedSeriesSequence.append(Dataset())
        study.RTReferencedSeriesSequence[1].SeriesInstanceUID = "1.2.3"

    assert read_structure_set(edited(file, second_series)).series is None


def set_of(where: Callable[[Dataset], Dataset], **values: object) -> Callable[[Dataset], None]:
    """An edit that sets tags, or deletes them (None)."""

    def edit(dataset: Dataset) -> None:
        for keyword, value in values.items():
            if value is None:
                delattr(where(dataset), keyword)
            else:
                setattr(where(dataset), keyword, value)

    return edit


def second_contour(dataset: Dataset) -> Dataset:
    return roi_contours(dataset)[1]


BROKEN = {
    "far away": (set_of(second_contour, ContourData=[*SQUARE.ravel()[:-1], 1e300]), "more than 100 m away"),
    "eleven numbers": (set_of(second_contour, ContourData=[*SQUARE.ravel()[:-1]]), "found 11 numbers"),
    "no coordinates": (set_of(second_contour, ContourData=None), "ContourData is missing"),
    "no geometric type": (set_of(second_contour, ContourGeometricType=None), "ContourGeometricType is missing"),
    "points lost": (set_of(second_contour, NumberOfContourPoints=5), "says 5, but ContourData holds 4"),
    "huge count": (set_of(second_contour, NumberOfContourPoints=2**31 - 1), "NumberOfContourPoints"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_contour_is_named_by_region_and_number(file: Path, broken: str) -> None:
    edit, message = BROKEN[broken]
    with pytest.raises(DoseloError, match=message) as raised:
        read_structure_set(edited(file, edit))
    assert str(raised.value).startswith(str(file))
    assert str(raised.value).endswith("(contour number 2), ROI number 2")


@pytest.mark.parametrize("text", ["NaN", "inf", "1.0.0", "a"])
def test_coordinates_that_are_no_numbers_are_named(file: Path, text: str) -> None:
    content = file.read_bytes()
    assert b"-1.12345" in content
    file.write_bytes(content.replace(b"-1.12345", text.ljust(8).encode()))
    with pytest.raises(DoseloError, match=r"the tag ContourData must hold .* \(contour number 2\), ROI number 2"):
        read_structure_set(file)


REFUSED = {
    "another object": (set_of(lambda d: d, Modality="RTPLAN"), "must be an RTSTRUCT"),
    "no modality": (set_of(lambda d: d, Modality=None), "must be an RTSTRUCT"),
    "no regions": (set_of(lambda d: d, StructureSetROISequence=None), "StructureSetROISequence is missing"),
    "no number": (set_of(lambda d: d.StructureSetROISequence[0], ROINumber=None), "ROINumber is missing"),
    "same number": (set_of(lambda d: d.StructureSetROISequence[0], ROINumber=2), "must be unique, found 2 twice"),
    "wrong reference": (
        set_of(lambda d: d.ROIContourSequence[0], ReferencedROINumber=7),
        "ROIContourSequence refers to ROI number 7",
    ),
    "two frames": (
        set_of(lambda d: d.StructureSetROISequence[0], ReferencedFrameOfReferenceUID="1.2.3"),
        "one frame of reference, found 2",
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_other_objects_and_ambiguous_ones_are_refused(file: Path, reason: str) -> None:
    edit, message = REFUSED[reason]
    with pytest.raises(DoseloError, match=message) as raised:
        read_structure_set(edited(file, edit))
    assert "SECRET" not in str(raised.value)
    assert "1.2.3" not in str(raised.value)
