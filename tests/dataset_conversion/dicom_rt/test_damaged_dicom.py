"""Three hundred patients, each with one damaged file, between healthy ones: one conversion, a line for each of them."""

import itertools
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import dicom_files
import numpy as np
import pydicom
import pytest
from click import unstyle
from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import Tag
from pydicom.uid import PYDICOM_ROOT_UID
from typer.testing import CliRunner

from nnunet_doselo.cli import app

SHAPE, GEOMETRY = (3, 8, 8), dicom_files.Geometry((3.0, 2.0, 2.0))
DOSE = dicom_files.Geometry((3.0, 4.0, 4.0))
MAPPING = "targets: {GTV: {gy: 60, mandatory: true}}\norgans: {Brainstem: {}}\n"
CT, STRUCTURES, DOSES = "CT_0001.dcm", "rs.dcm", "rd.dcm"
HEALTHY = 3
LISTED = ("CT:", "structure set:", "dose:")
"""Lines that say what was found, not what is wrong."""
Damage = Callable[[Path], None]


@cache
def template() -> tuple[dict[str, bytes], tuple[bytes, ...]]:
    """A patient's files, and the UIDs in them."""
    with TemporaryDirectory() as folder:
        write_patient(Path(folder), dicom_files.Patient(patient_id="SECRET-000"))
        files = sorted(Path(folder).iterdir())
        found = {element.value for file in files for element in pydicom.dcmread(file).iterall() if element.VR == "UI"}
        own = tuple(str(uid).encode() for uid in found if str(uid).startswith(PYDICOM_ROOT_UID))
        return {file.name: file.read_bytes() for file in files}, own


def copy_patient(folder: Path, number: int) -> None:
    """The same patient as another person: id and UIDs are others."""
    folder.mkdir(parents=True)
    files, uids = template()
    for name, content in files.items():
        for uid in uids:
            content = content.replace(uid, uid[:-4] + b"%04d" % (number + 1))
        (folder / name).write_bytes(content.replace(b"SECRET-000", b"SECRET-%03d" % number))


def write_patient(folder: Path, patient: dicom_files.Patient, organ: str = "Brainstem") -> None:
    images = dicom_files.write_images(folder, np.full(SHAPE, 40.0), GEOMETRY, patient)
    square = [(1.5, 1.5), (5.5, 1.5), (5.5, 5.5), (1.5, 5.5)]
    drawn = [GEOMETRY.position([(x, y, z) for x, y in square]) for z in range(3)]
    rois = {"GTV": drawn, organ: drawn[:1]}
    structures = dicom_files.write_rtstruct(folder / STRUCTURES, rois, images, patient)
    dose_gy = np.full((3, 4, 4), 60.0)
    dicom_files.write_rtdose(folder / DOSES, dose_gy, DOSE, patient, structure_set=structures.SOPInstanceUID)


def cut(part: float) -> Damage:
    def damage(file: Path) -> None:
        content = file.read_bytes()
        file.write_bytes(content[: int(part * len(content))])

    return damage


def changed(path: str, value: object, vr: str | None = None) -> Damage:
    """`path`: keywords down to the tag, through the first item of each sequence. No value: without the tag."""

    def damage(file: Path) -> None:
        dataset = pydicom.dcmread(file)
        *sequences, keyword = path.split(".")
        item = dataset
        for sequence in sequences:
            item = item[sequence].value[0]
        with pydicom.config.disable_value_validation():
            _change(item, keyword, value, vr)
            dataset.save_as(file)

    return damage


def _change(item: Dataset, keyword: str, value: object, vr: str | None) -> None:
    if value is MISSING:
        del item[keyword]
    elif isinstance(value, bytes) and vr == "DS":  # as it is: pydicom writes no such thing by itself
        item[keyword] = RawDataElement(Tag(keyword), vr, len(value), value, 0, False, True)
    elif vr is None:
        item[keyword] = DataElement(Tag(keyword), item[keyword].VR, value)
    else:
        item[keyword] = DataElement(Tag(keyword), vr, value)


MISSING = object()
NUMBERS = {  # that nothing can do without, by file
    CT: ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"),
    STRUCTURES: ("ROIContourSequence.ContourSequence.ContourData",),
    DOSES: ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "GridFrameOffsetVector",
            "DoseGridScaling"),
}  # fmt: skip
COUNTS = {
    CT: ("Rows", "Columns", "BitsAllocated", "PixelRepresentation"),
    STRUCTURES: ("ROIContourSequence.ContourSequence.NumberOfContourPoints", "ROIContourSequence.ReferencedROINumber",
                 "StructureSetROISequence.ROINumber"),
    DOSES: ("Rows", "Columns", "BitsAllocated", "PixelRepresentation", "NumberOfFrames"),
}  # fmt: skip
INFERRED = ("NumberOfContourPoints", "NumberOfFrames")
"""What says them a second time is enough: the coordinates, the offsets of the frames."""
TEXTS = {
    CT: ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"),
    STRUCTURES: ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID",
                 "StructureSetROISequence.ROIName", "ROIContourSequence.ContourSequence.ContourGeometricType"),
    DOSES: ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "DoseUnits", "DoseSummationType"),
}  # fmt: skip
WRONG_NUMBERS = (b"nan ", b"inf ", b"-1e400", b"twelve", b"0x10", b"1\\" * 16 + b"1 ")


def numeric_damages() -> Iterator[tuple[str, str, Damage]]:
    for file, paths in NUMBERS.items():
        for path in paths:
            yield file, f"{path} missing", changed(path, MISSING)
            yield file, f"{path} empty", changed(path, None)
            yield file, f"{path} of another type", changed(path, b"\0\1\2\3\4\5\6\7", "OB")
            yield file, f"{path} a sequence", changed(path, [Dataset()], "SQ")
            for text in WRONG_NUMBERS:
                yield file, f"{path} {text!r}", changed(path, text, "DS")


def counting_damages() -> Iterator[tuple[str, str, Damage]]:
    for file, paths in COUNTS.items():
        for path in paths:
            if not path.endswith(INFERRED):
                yield file, f"{path} missing", changed(path, MISSING)
                yield file, f"{path} empty", changed(path, None)
            yield file, f"{path} of another type", changed(path, "several", "LO")
            yield file, f"{path} a sequence", changed(path, [Dataset()], "SQ")
            huge = 65535 if path in ("Rows", "Columns", "BitsAllocated", "PixelRepresentation") else 10**9
            yield file, f"{path} huge", changed(path, huge)


def textual_damages() -> Iterator[tuple[str, str, Damage]]:
    for file, paths in TEXTS.items():
        for path in paths:
            yield file, f"{path} missing", changed(path, MISSING)
            yield file, f"{path} a sequence", changed(path, [Dataset()], "SQ")


def other_damages() -> Iterator[tuple[str, str, Damage]]:
    for file, tenth in itertools.product((CT, STRUCTURES, DOSES), range(1, 40)):
        yield file, f"cut at {tenth}/40", cut(tenth / 40)
    for file in (CT, STRUCTURES, DOSES):
        yield file, "emptied", cut(0)
    yield CT, "pixels missing", changed("PixelData", MISSING)
    yield DOSES, "pixels missing", changed("PixelData", MISSING)
    yield CT, "pixels of half a slice", changed("PixelData", b"\0" * 64)
    yield DOSES, "doses of half the frames", changed("PixelData", b"\0" * 96)
    yield DOSES, "relative", changed("DoseUnits", "RELATIVE")


DAMAGES = [*numeric_damages(), *counting_damages(), *textual_damages(), *other_damages()]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "nnUNet_raw"))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.yaml").write_text(MAPPING)
    for number in range(HEALTHY):
        copy_patient(tmp_path / "source" / f"healthy{number}", 900 + number)
    return tmp_path


def convert(status: int) -> list[str]:
    """What the command prints, in lines."""
    command = ["convert", "dicom", "source", "701", "--mapping", "names.yaml", "--spacing", "0", "--no-crop"]
    result = CliRunner().invoke(app, [*command, "--need-dose", "-np", "1"])
    assert result.exit_code == status, result.output
    assert isinstance(result.exception, SystemExit) or result.exception is None
    assert "SECRET" not in result.output
    return unstyle(result.output).splitlines()


def cases(root: Path) -> dict[str, list[str]]:
    """By kind of file, the patients that the dataset holds."""
    folder = root / "nnUNet_raw" / "Dataset701_Clinical"
    return {
        kind: sorted(file.name for file in (folder / kind).iterdir())
        for kind in ("imagesTr", "labelsTr", "ctTr", "oarsTr", "doseTr", "conversion_records")
    }


def test_each_damaged_patient_is_one_line_and_the_others_are_converted(root: Path) -> None:
    assert len(DAMAGES) >= 300
    for number, (file, _, damage) in enumerate(DAMAGES):
        copy_patient(root / "source" / f"p{number:03d}", number)
        damage(root / "source" / f"p{number:03d}" / file)
    lines = convert(1)
    assert not any("not foreseen" in line or "Traceback" in line for line in lines)
    for number, (file, what, _) in enumerate(DAMAGES):
        named = f"p{number:03d}/{file}"
        said = {
            line[line.index(named) :].strip() for line in lines if named in line and not line.strip().startswith(LISTED)
        }
        assert len(said) == 1, (named, what, said)
    assert {kind: len(files) for kind, files in cases(root).items()} == dict.fromkeys(cases(root), HEALTHY)


ODD_TEXTS = (
    "../../escaped",
    "/etc/passwd",
    "a\\..\\b",
    "C:\\x",
    "~root",
    "$(touch escaped)",
    "x;rm -rf y",
    "%2e%2e%2f",
)


def test_texts_of_the_files_lead_nowhere(root: Path) -> None:
    """Names that are paths: the patients are converted, and nothing lies outside of the dataset and its key table."""
    before = {path.name for path in root.iterdir()}
    for number, text in enumerate(ODD_TEXTS):
        odd = dicom_files.Patient(name=text, patient_id=f"{text}{number}")
        write_patient(root / "source" / f"odd{number}", odd, organ=text)
    lines = convert(0)
    assert any("../../escaped" in line for line in lines)  # unmapped names are told: the mapping is the user's to mend
    assert {path.name for path in root.iterdir()} - before == {"nnUNet_raw", "doselo_keys"}
    assert [path.name for path in (root / "nnUNet_raw").iterdir()] == ["Dataset701_Clinical"]
    expected = [f"Clinical_{number:03d}.nii.gz" for number in range(1, HEALTHY + len(ODD_TEXTS) + 1)]
    assert cases(root)["labelsTr"] == expected
