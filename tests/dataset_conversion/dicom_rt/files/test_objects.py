"""One DICOM file: whatever is wrong with it ends in one clear error that quotes nothing of it."""

import random
import warnings
from pathlib import Path

import dicom_files
import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset_conversion.dicom_rt.files.objects import (
    integer,
    is_dicom,
    numbers,
    optional,
    read_dataset,
    required,
)

SECRETS = ("SECRET", "19500101", "20200102", "101112")


@pytest.fixture
def slice_file(tmp_path: Path) -> Path:
    dicom_files.write_images(tmp_path, np.zeros((1, 8, 8)), dicom_files.Geometry(), dicom_files.Patient())
    return tmp_path / "CT_0000.dcm"


@pytest.fixture
def structure_file(tmp_path: Path) -> Path:
    geometry, patient = dicom_files.Geometry(), dicom_files.Patient()
    images = dicom_files.write_images(tmp_path / "ct", np.zeros((3, 8, 8)), geometry, patient)
    square = np.array([[1.25, 1, 3], [5, 1, 3], [5, 5, 3], [1, 5, 3]])
    dicom_files.write_rtstruct(tmp_path / "rtss.dcm", {"GTV": [square]}, images, patient)
    return tmp_path / "rtss.dcm"


def edited(file: Path, **elements: object) -> Path:
    item = pydicom.dcmread(file)
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        for keyword, value in elements.items():
            if value is None:
                del item[keyword]
            else:
                setattr(item, keyword, value)
        item.save_as(file)
    return file


def retyped(file: Path, tag: bytes, old: bytes, new: bytes) -> Path:
    """The file with another VR written for a tag (little endian bytes)."""
    content = file.read_bytes()
    assert content.count(tag + old) == 1
    file.write_bytes(content.replace(tag + old, tag + new))
    return file


def test_a_file_is_read_with_and_without_pixels(slice_file: Path) -> None:
    assert "PixelData" not in read_dataset(slice_file)
    assert len(read_dataset(slice_file, pixels=True).PixelData) == 8 * 8 * 2
    assert {e.keyword for e in read_dataset(slice_file, only=["Rows"])} == {"Rows", "SOPClassUID"}


def test_a_file_without_preamble_is_read(slice_file: Path) -> None:
    whole = slice_file.read_bytes()
    meta = 12 + pydicom.dcmread(slice_file).file_meta.FileMetaInformationGroupLength
    for start in (132, 132 + meta):
        slice_file.write_bytes(whole[start:])
        assert is_dicom(slice_file)
        assert read_dataset(slice_file).Modality == "CT"


@pytest.mark.parametrize("content", [b"", b"\x08\x00", b"not DICOM" * 100, b"PK\x03\x04" * 100])
def test_other_files_are_no_dicom(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "other"
    file.write_bytes(content)
    assert not is_dicom(file)
    with pytest.raises(DoseloError, match="other: is no DICOM file"):
        read_dataset(file)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DoseloError, match=r"nothing\.dcm: does not exist"):
        read_dataset(tmp_path / "nothing.dcm")
    assert not is_dicom(tmp_path)


def test_an_object_without_class_is_refused(slice_file: Path) -> None:
    edited(slice_file, SOPClassUID=None)
    with pytest.raises(DoseloError, match=r"CT_0000\.dcm: the tag SOPClassUID is missing"):
        read_dataset(slice_file)


def test_a_file_cut_short_in_its_pixels_or_contours_is_refused(slice_file: Path, structure_file: Path) -> None:
    for file in (slice_file, structure_file):
        file.write_bytes(file.read_bytes()[:-40])
        with pytest.raises(DoseloError, match=r"is cut short|is damaged"):
            read_dataset(file, pixels=True)


def test_mandatory_tags_are_named_when_missing_or_empty(slice_file: Path) -> None:
    assert required(read_dataset(slice_file), "Rows", slice_file) == 8
    for value in (None, ""):
        dataset = read_dataset(edited(slice_file, Modality=value) if value == "" else slice_file)
        if value is None:
            del dataset["Modality"]
        with pytest.raises(DoseloError, match=r"CT_0000\.dcm: the tag Modality is missing or empty"):
            required(dataset, "Modality", slice_file)
        assert optional(dataset, "Modality", slice_file, "OT") == "OT"


def test_empty_sequences_count_as_missing() -> None:
    dataset = Dataset()
    dataset.ROIContourSequence = []
    with pytest.raises(DoseloError, match="ROIContourSequence is missing or empty"):
        required(dataset, "ROIContourSequence", Path("rtss.dcm"))
    assert optional(dataset, "ROIContourSequence", Path("rtss.dcm"), []) == []


def test_numbers_are_float64_and_counted(slice_file: Path) -> None:
    dataset = read_dataset(slice_file)
    assert numbers(dataset, "PixelSpacing", slice_file, 2).tolist() == [1.0, 1.0]
    assert numbers(dataset, "Rows", slice_file).tolist() == [8.0]
    assert numbers(dataset, "Rows", slice_file).dtype == np.float64
    with pytest.raises(DoseloError, match=r"the tag PixelSpacing must hold 3 numbers, found 2"):
        numbers(dataset, "PixelSpacing", slice_file, 3)


def test_numbers_are_the_same_from_bytes_and_from_values(structure_file: Path) -> None:
    contour = read_dataset(structure_file).ROIContourSequence[0].ContourSequence[0]
    from_bytes = numbers(contour, "ContourData", structure_file, 12)
    assert from_bytes.reshape(4, 3)[0].tolist() == [1.25, 1.0, 3.0]
    assert [float(value) for value in contour.ContourData] == from_bytes.tolist()
    assert numbers(contour, "ContourData", structure_file).tolist() == from_bytes.tolist()


@pytest.mark.parametrize("text", ["1\\nan", "1\\inf", "1\\1e999"])
def test_numbers_must_be_finite(slice_file: Path, text: str) -> None:
    edited(slice_file, SliceThickness="1")
    retyped_values = slice_file.read_bytes().replace(b"DS\x02\x00" + b"1 ", b"DS\x08\x00" + text.encode().ljust(8))
    slice_file.write_bytes(retyped_values)
    with pytest.raises(DoseloError, match=r"CT_0000\.dcm: the tag SliceThickness must hold finite numbers"):
        numbers(read_dataset(slice_file), "SliceThickness", slice_file)


@pytest.mark.parametrize("text", ["SECRET", "1\\\\2", "0x10"])
def test_numbers_must_be_numbers_and_are_not_quoted(slice_file: Path, text: str) -> None:
    written = slice_file.read_bytes().replace(b"DS\x02\x00" + b"3 ", b"DS\x08\x00" + text.encode().ljust(8))
    slice_file.write_bytes(written)
    with pytest.raises(DoseloError, match="SliceThickness must hold numbers, found something else") as error:
        numbers(read_dataset(slice_file), "SliceThickness", slice_file)
    assert "SECRET" not in str(error.value)


def test_whole_numbers_have_bounds() -> None:
    dataset, file = Dataset(), Path("dose.dcm")
    dataset.NumberOfFrames = 12
    dataset.Rows = 0
    dataset.SliceThickness = "2.5"
    assert integer(dataset, "NumberOfFrames", file) == 12
    with pytest.raises(DoseloError, match=r"dose\.dcm: the tag Rows must be a whole number of at least 1, found 0"):
        integer(dataset, "Rows", file, at_least=1)
    with pytest.raises(DoseloError, match=r"must be a whole number of at least 0, found 2\.5"):
        integer(dataset, "SliceThickness", file)


def test_a_wrong_type_is_refused_when_the_value_is_asked_for(slice_file: Path, structure_file: Path) -> None:
    retyped(slice_file, b"\x28\x00\x10\x00", b"US", b"LO")
    with pytest.raises(DoseloError, match=r"CT_0000\.dcm: the tag Rows must be of type US"):
        required(read_dataset(slice_file), "Rows", slice_file)
    retyped(slice_file, b"\x20\x00\x0e\x00", b"UI", b"FD")
    with pytest.raises(DoseloError, match=r"CT_0000\.dcm: .*the tag SeriesInstanceUID|must be of type UI"):
        required(read_dataset(slice_file), "SeriesInstanceUID", slice_file)
    retyped(structure_file, b"\x06\x30\x20\x00", b"SQ", b"UT")
    with pytest.raises(DoseloError, match=r"rtss\.dcm: the tag StructureSetROISequence must be of type SQ"):
        required(read_dataset(structure_file), "StructureSetROISequence", structure_file)


def test_a_name_with_a_backslash_is_one_text() -> None:
    dataset = Dataset()
    dataset.ROIName = "left\\right"
    dataset.ImageType = "ORIGINAL\\PRIMARY"
    assert optional(dataset, "ROIName", Path("rtss.dcm")) == "left\\right"
    assert list(optional(dataset, "ImageType", Path("rtss.dcm"))) == ["ORIGINAL", "PRIMARY"]


def test_pydicoms_warnings_are_not_heard_and_not_needed(slice_file: Path) -> None:
    edited(slice_file, PatientID="SECRET" * 20, StudyInstanceUID="SECRET-UID", StudyDate="SECRETDATE")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = read_dataset(slice_file)
        for keyword in ("PatientID", "StudyInstanceUID", "StudyDate"):
            assert required(dataset, keyword, slice_file).startswith("SECRET")


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Cut short, or with bytes of its headers overwritten."""
    if chance.random() < 0.4:
        return content[: chance.randrange(len(content))]
    changed = bytearray(content)
    for _ in range(chance.choice((1, 4, 30))):
        changed[chance.randrange(128, len(changed))] = chance.choice((0, 0xFF, chance.randrange(256)))
    return bytes(changed)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_give_values_or_one_clear_error(structure_file: Path, slice_file: Path, seed: int) -> None:
    """Whatever bytes are damaged: every tag is read, or refused with an error that names the file and no value."""
    chance = random.Random(seed)
    originals = {file: file.read_bytes() for file in (structure_file, slice_file)}
    for _ in range(60):
        for file, content in originals.items():
            file.write_bytes(damaged(content, chance))
            said = error_of(file)
            assert not said or str(file) in said
            assert not any(secret in said for secret in SECRETS)


def error_of(file: Path) -> str:
    try:
        read_everything(read_dataset(file, pixels=True), file)
    except DoseloError as error:
        return str(error)
    return ""


def read_everything(dataset: Dataset, file: Path) -> None:
    for keyword in filter(None, map(pydicom.datadict.keyword_for_tag, dataset.keys())):
        value = optional(dataset, keyword, file)
        for item in value if isinstance(value, pydicom.Sequence) else ():
            read_everything(item, file)
        if pydicom.datadict.dictionary_VR(keyword) in ("DS", "US") and value is not None:
            numbers(dataset, keyword, file)
