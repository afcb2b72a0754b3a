"""What lies in a folder is found by what the files say, whatever they are called."""

import shutil
from collections import Counter
from pathlib import Path

import dicom_files
import numpy as np
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset_conversion.dicom_rt.files.headers import LOCALISER, Header, scan

GEOMETRY = dicom_files.Geometry()
CT_CLASS = b"1.2.840.10008.5.1.4.1.1.2\0"
ALICE = dicom_files.Patient(patient_id="SECRET-A")
SQUARE = np.array([[1, 1, 0], [5, 1, 0], [5, 5, 0], [1, 5, 0]], float)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A CT of three slices, a structure set, a dose, a registration; `edit` of test_patients builds on it."""
    ct = dicom_files.write_images(tmp_path / "ct", np.zeros((3, 8, 8)), GEOMETRY, ALICE)
    rtss = dicom_files.write_rtstruct(tmp_path / "rtss.dcm", {"GTV": [SQUARE], "Chiasm": []}, ct, ALICE)
    dicom_files.write_rtdose(
        tmp_path / "rd.dcm", np.ones((3, 8, 8)), GEOMETRY, ALICE, plan="1.2.3", structure_set=rtss.SOPInstanceUID
    )
    dicom_files.write_registration(tmp_path / "reg.dcm", ALICE, "1.2.4", np.eye(4))
    return tmp_path


def header_of(source: Path, name: str) -> Header:
    return next(header for header in scan(source).headers if header.path.name == name)


def test_every_object_says_what_it_belongs_to(source: Path) -> None:
    headers = scan(source).headers
    assert Counter(header.kind for header in headers) == {"CT": 3, "RTSTRUCT": 1, "RTDOSE": 1, "REG": 1}
    assert {(header.patient_id, header.study) for header in headers} == {("SECRET-A", ALICE.study)}
    ct = [header for header in headers if header.kind == "CT"]
    rtss, dose, registration = (header_of(source, name) for name in ("rtss.dcm", "rd.dcm", "reg.dcm"))
    assert rtss.roi_names == ("GTV", "Chiasm")
    assert rtss.drawn_on == ((ct[0].series, frozenset(header.instance for header in ct)),)
    assert rtss.frames == {ALICE.frame}
    assert dose.plans == {"1.2.3"}
    assert dose.of_structures == {rtss.instance}
    assert (dose.summation, dose.is_absolute) == ("PLAN", True)
    assert registration.frames == {ALICE.frame, "1.2.4"}
    assert ct[0].date == "20200102101112"


def test_other_files_are_counted_and_directories_passed_over(source: Path) -> None:
    (source / "notes.txt").write_text("no DICOM")
    (source / "empty").touch()
    shutil.copy(source / "rtss.dcm", source / "DICOMDIR")
    item = dicom_files.write_images(source / "pet", np.zeros((1, 8, 8)), GEOMETRY, ALICE)[0]
    item.SOPClassUID = item.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.128"
    dicom_files.save(item, source / "pet" / "CT_0000.dcm")
    found = scan(source)
    assert found.other_files == 2
    assert found.other_objects == {"Positron Emission Tomography Image Storage": 1}
    assert len(found.headers) == 6


@pytest.mark.parametrize("uid", ["1.2.3.4.5", "no UID"])
def test_private_objects_are_counted_without_their_identifier(source: Path, uid: str) -> None:
    dicom_files.write_images(source / "own", np.zeros((1, 8, 8)), GEOMETRY, ALICE)
    file = source / "own" / "CT_0000.dcm"
    ending = b"\0" * (-len(uid) % 2)
    old, new = (b"UI" + len(text).to_bytes(2, "little") + text for text in (CT_CLASS, uid.encode() + ending))
    file.write_bytes(file.read_bytes().replace(old, new))
    assert scan(source).other_objects == {"private object": 1}


def test_copies_count_once_and_the_first_path_stays(source: Path) -> None:
    shutil.copytree(source / "ct", source / "again")
    found = scan(source)
    assert found.duplicates == 3
    assert {header.path.parent.name for header in found.headers if header.kind == "CT"} == {"again"}


def test_localisers_are_no_slices(source: Path) -> None:
    item = dicom_files.write_images(source / "scout", np.zeros((1, 8, 8)), GEOMETRY, ALICE)[0]
    item.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    dicom_files.save(item, source / "scout" / "CT_0000.dcm")
    assert [header.kind for header in scan(source).headers if header.path.parent.name == "scout"] == [LOCALISER]


def test_damaged_files_are_named_with_the_id_that_is_left(source: Path) -> None:
    whole = (source / "rd.dcm").read_bytes()
    (source / "cut.dcm").write_bytes(whole[: whole.index(b"SECRET-A") + 30])
    (source / "hardly.dcm").write_bytes(whole[:140])
    cut, hardly = scan(source).unreadable
    assert cut.path == source / "cut.dcm"
    assert cut.message.startswith(f"{source / 'cut.dcm'}: ")
    assert cut.patient_id == "SECRET-A"
    assert (hardly.path, hardly.patient_id) == (source / "hardly.dcm", "")


def test_a_file_that_is_called_dicom_and_is_not_is_damaged(source: Path) -> None:
    (source / "empty.DCM").touch()
    (source / "._rd.dcm").write_bytes(b"what macOS leaves on foreign disks")
    found = scan(source)
    assert [file.message for file in found.unreadable] == [f"{source / 'empty.DCM'}: is no DICOM file"]
    assert found.other_files == 1


def test_relative_doses_and_error_estimates_are_no_absolute_doses(tmp_path: Path) -> None:
    for name, tags in {"a": {"DoseUnits": "RELATIVE"}, "b": {"DoseType": "ERROR"}, "c": {}}.items():
        item = dicom_files.write_rtdose(tmp_path / f"{name}.dcm", np.ones((3, 8, 8)), GEOMETRY, ALICE)
        for keyword, value in tags.items():
            setattr(item, keyword, value)
        dicom_files.save(item, tmp_path / f"{name}.dcm")
    assert [header.is_absolute for header in scan(tmp_path).headers] == [False, False, True]


def test_many_files_are_read_in_order_by_several_processes(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnunet_doselo.dataset_conversion.dicom_rt.files import headers

    alone = scan(source)
    monkeypatch.setattr(headers, "FILES_A_CHUNK", 1)
    assert scan(source, processes=1) == alone


def test_the_source_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DoseloError, match="nowhere: is no folder; name the one that holds the DICOM files"):
        scan(tmp_path / "nowhere")
    assert scan(tmp_path).headers == ()
