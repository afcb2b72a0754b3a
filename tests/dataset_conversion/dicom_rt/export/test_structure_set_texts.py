"""Texts and identifiers on their way from a CT to a structure set: kept, left empty, or refused."""

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import Geometry, Patient, save, write_images
from pydicom import Dataset

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset_conversion.dicom_rt.export import new_objects
from nnunet_doselo.dataset_conversion.dicom_rt.export.structure_set import NewRoi, decimals, structure_set
from nnunet_doselo.dataset_conversion.dicom_rt.files.slice_stack import CtStack, read_stack

ROI = NewRoi("GTV", "GTV", (255, 0, 0), ((0, np.zeros((4, 3))),))


def ct_in(folder: Path) -> list[Dataset]:
    return write_images(folder, np.zeros((4, 3, 3)), Geometry(), Patient())


def stack_in(folder: Path) -> CtStack:
    return read_stack(sorted(folder.glob("*.dcm")))


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """pydicom raises where a value breaks the standard."""
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.RAISE)


@pytest.mark.parametrize(
    ("charset", "name", "roi", "expected"),
    [
        (None, "Mueller^Anna", "GTV", None),
        ("ISO_IR 100", "Müller^Änna", "GTV", "ISO_IR 100"),
        ("ISO_IR 100", "Müller^Änna", "Größe", "ISO_IR 192"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎", "GTV", ["", "ISO 2022 IR 87"]),
    ],
)
def test_names_of_patients_and_structures_survive(
    tmp_path: Path, strict: None, charset: str | list[str] | None, name: str, roi: str, expected: str | list[str] | None
) -> None:
    for index, one in enumerate(ct_in(tmp_path)):
        if charset:
            one.SpecificCharacterSet = charset
        one.PatientName = name
        save(one, tmp_path / f"CT_{index:04d}.dcm")
    stack = stack_in(tmp_path)
    square = NewRoi(roi, "GTV", (255, 0, 0), ((0, np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0]])),))
    new_objects.save(structure_set([square], stack, "doselo"), tmp_path / "rtstruct.dcm")
    item = pydicom.dcmread(tmp_path / "rtstruct.dcm")
    assert item.get("SpecificCharacterSet") == expected
    assert str(item.PatientName) == name
    assert item.StructureSetROISequence[0].ROIName == roi


def change(folder: Path, tags: dict[str, object], slices: slice = slice(None)) -> CtStack:
    """A CT whose tags say something else; None takes the tag out. Written past pydicom's checks."""
    for file, one in list(zip(sorted(folder.iterdir()), ct_in(folder), strict=False))[slices]:
        for keyword, value in tags.items():
            if value is None:
                del one[keyword]
            else:
                kind = pydicom.datadict.dictionary_VR(keyword)
                one[keyword] = pydicom.DataElement(keyword, kind, value, already_converted=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            save(one, file)
    return stack_in(folder)


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("FrameOfReferenceUID", None, "FrameOfReferenceUID is missing"),
        ("FrameOfReferenceUID", "1.2.SECRET", "FrameOfReferenceUID breaks the DICOM standard"),
        ("StudyInstanceUID", None, "StudyInstanceUID is missing"),
        ("SeriesInstanceUID", "SECRET", "SeriesInstanceUID breaks the DICOM standard"),
        ("PatientID", "SECRET" * 11, "PatientID breaks the DICOM standard"),
        ("SpecificCharacterSet", "secret", "SpecificCharacterSet breaks the DICOM standard"),
    ],
)
def test_a_ct_that_planning_systems_could_not_match_is_refused(
    tmp_path: Path, keyword: str, value: str | None, message: str
) -> None:
    ct_in(tmp_path)
    stack = change(tmp_path, {keyword: value})
    with pytest.raises(DoseloError, match=message) as raised:
        structure_set([ROI], stack, "doselo")
    assert "CT_0000.dcm" in str(raised.value)
    assert "SECRET" not in str(raised.value)


def test_one_slice_with_a_bad_uid_is_named(tmp_path: Path) -> None:
    ct_in(tmp_path)
    stack = change(tmp_path, {"SOPInstanceUID": "SECRET"}, slice(3, 4))
    with pytest.raises(DoseloError, match=r"CT_0003\.dcm: the tag SOPInstanceUID breaks"):
        structure_set([ROI], stack, "doselo")


def test_what_is_missing_or_breaks_the_standard_elsewhere_is_left_empty(tmp_path: Path, strict: None) -> None:
    ct_in(tmp_path)
    tags = {"PatientBirthDate": "unknown", "AccessionNumber": "longer than sixteen characters", "PatientName": None}
    item = structure_set([ROI], change(tmp_path, tags), "doselo")
    assert [item[keyword].is_empty for keyword in tags] == [True, True, True]
    assert item.PatientID == Patient().patient_id


def test_a_name_that_its_character_set_cannot_hold_is_refused(tmp_path: Path) -> None:
    ct_in(tmp_path / "ct")
    stack = change(tmp_path / "ct", {"SpecificCharacterSet": "ISO_IR 999"})
    with pytest.raises(DoseloError, match="do not fit its SpecificCharacterSet"):
        new_objects.save(structure_set([ROI], stack, "doselo"), tmp_path / "rtstruct.dcm")


@pytest.mark.parametrize("name", ["", "a\\b", " GTV", "G\nTV", "G" * 65])
def test_names_that_dicom_cannot_hold_are_refused(tmp_path: Path, name: str) -> None:
    ct_in(tmp_path)
    roi = NewRoi(name, ROI.interpreted_type, ROI.colour, ROI.contours)
    with pytest.raises(DoseloError, match="a label name must have 1 to 64 printable characters"):
        structure_set([roi], stack_in(tmp_path), "doselo")


def test_coordinates_are_decimal_strings_of_a_tenth_of_a_micrometre() -> None:
    assert decimals(np.array([[-0.00001, 1.5, -249.51171875]])) == "0.0000\\1.5000\\-249.5117"
    assert len(decimals(np.array([[-999999.0, 0, 0]])).partition("\\")[0]) <= 16
    for too_far in (1e6, np.inf, np.nan):
        with pytest.raises(DoseloError, match="a kilometre off its origin"):
            decimals(np.array([[0, 0, too_far]]))
