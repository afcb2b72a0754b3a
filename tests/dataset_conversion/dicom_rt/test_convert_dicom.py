"""From a folder of DICOM files to an extended dataset, through the command line.

The patients: a CT of 12 slices (3 mm) of 32 x 32 voxels (1 mm), air around a box of 40 HU. Their MR lies in another
frame of reference, shifted by `SHIFT_MM`; a registration object knows. Contours run between voxels, so that they
enclose whole numbers of them; the dose is a ramp along x on a grid of its own.
"""

import gzip
import json
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import dicom_files
import numpy as np
import pydicom
import pytest
from click import unstyle
from pydicom.uid import generate_uid
from typer.testing import CliRunner

from nnunet_doselo.cli import app
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import read_array

SHAPE, SPACING_MM = (12, 32, 32), (3.0, 1.0, 1.0)
CT = dicom_files.Geometry(SPACING_MM, (-16.0, -20.0, 30.0))
DOSE = dicom_files.Geometry((3.0, 2.0, 2.0), (-20.0, -24.0, 27.0))
SHIFT_MM = np.array([100.0, -50.0, 7.0])
STRUCTURES = """
targets: {GTV: {gy: 60, mandatory: true, synonyms: [Tumor]}}
organs:
  Brainstem: {synonyms: [Hirnstamm]}
  Eye: {paired: true, synonyms: [Auge]}
"""
WITH_MR = STRUCTURES + 'images: {T1c: ["t1.*km"]}\n'
BOXES = {  # index of the first voxel and number of voxels, (z, y, x)
    "Tumor": ((4, 12, 10), (4, 8, 6)),
    "Hirnstamm": ((3, 20, 14), (5, 4, 4)),
    "Auge li": ((8, 6, 20), (2, 3, 3)),
    "Auge re": ((8, 6, 8), (2, 3, 3)),
    "Haut [alt]": ((2, 5, 5), (8, 20, 20)),
}
SECRETS = ("SECRET", "19500101", "20200102", "101112")
DATASET = "Dataset701_Clinical"


def ct_hu() -> np.ndarray:
    voxels = np.full(SHAPE, -1000.0)
    voxels[1:-1, 4:28, 4:28] = 40
    voxels[5, 13, 12] = 700
    return voxels


def mr_signal() -> np.ndarray:
    z, y, x = np.indices(SHAPE)
    return 100.0 + 20 * z + 3 * y + x


def dose_gy() -> np.ndarray:
    """1 Gy/mm along x: 36 Gy at x = 0 mm, that is at voxel 16 of the CT."""
    x_mm = DOSE.position(np.indices((14, 20, 20))[::-1].transpose(1, 2, 3, 0))[..., 0]
    return np.clip(36.0 + x_mm, 0, None)


def box_contours(first: tuple[int, int, int], size: tuple[int, int, int]) -> list[np.ndarray]:
    (z, y, x), (nz, ny, nx) = first, size
    corners = [(x - 0.5, y - 0.5), (x + nx - 0.5, y - 0.5), (x + nx - 0.5, y + ny - 0.5), (x - 0.5, y + ny - 0.5)]
    return [CT.position([(*corner, k) for corner in corners]) for k in range(z, z + nz)]


def write_patient(folder: Path, number: int, *, boxes: dict = BOXES, with_dose: bool = True) -> dicom_files.Patient:
    """Files of names that say nothing, in one folder."""
    patient = dicom_files.Patient(patient_id=f"SECRET-{number}")
    ct = dicom_files.write_images(folder, ct_hu(), CT, patient)
    moved = dicom_files.Geometry(SPACING_MM, tuple(np.array(CT.origin_mm) - SHIFT_MM))
    frame = generate_uid()
    dicom_files.write_images(folder, mr_signal(), moved, patient, modality="MR", description="T1 tra KM", frame=frame)
    to_patient = np.eye(4)
    to_patient[:3, 3] = SHIFT_MM
    dicom_files.write_registration(folder / "x1", patient, frame, to_patient)
    rois = {name: box_contours(*box) for name, box in boxes.items()}
    rtss = dicom_files.write_rtstruct(folder / "x2", rois, ct, patient)
    if with_dose:
        dicom_files.write_rtdose(folder / "x3", dose_gy(), DOSE, patient, structure_set=rtss.SOPInstanceUID)
    return patient


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients and a text file."""
    source = tmp_path_factory.mktemp("exported")
    for number in (1, 2):
        write_patient(source / f"p{number}", number)
    (source / "readme.txt").write_text("no DICOM")
    return source


@pytest.fixture
def root(tmp_path: Path, exported: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nnU-Net's folder, the mapping and a copy of the patients below a temporary folder, where the commands run."""
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "nnUNet_raw"))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(exported, tmp_path / "source")
    (tmp_path / "names.yaml").write_text(STRUCTURES)
    return tmp_path


@pytest.fixture(scope="module")
def converted(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Both patients with their MR, converted once; tests look at it and change nothing."""
    root = tmp_path_factory.mktemp("converted")
    shutil.copytree(exported, root / "source")
    (root / "names.yaml").write_text(WITH_MR)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("nnUNet_raw", str(root / "nnUNet_raw"))
        patched.chdir(root)
        convert()
        yield root


def convert(*more: str, status: int = 0) -> str:
    """All that the command prints; voxels stay the CT's own unless another spacing is asked for."""
    grid = () if "--spacing" in more else ("--spacing", "0", "--no-crop")
    command = ["convert", "dicom", "source", "701", "--mapping", "names.yaml", "-np", "1", *grid, *more]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == status, result.output
    assert not any(secret in result.output for secret in SECRETS)
    return unstyle(result.output)


def files_below(folder: Path) -> dict[str, tuple[int, int]]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def voxels_of(root: Path, kind: str, case: str = "Clinical_001", split: str = "Tr") -> np.ndarray:
    dataset = ExtendedDataset(root / "nnUNet_raw" / DATASET)
    file = dataset.image_paths(case, split)[0] if kind == "images" else dataset.path(kind, case, split)
    return read_array(file)[0]


def record_of(root: Path, case: str = "Clinical_001") -> dict:
    return json.loads((root / "nnUNet_raw" / DATASET / "conversion_records" / f"{case}.json").read_text())


def box_mask(name: str) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    first, size = BOXES[name]
    mask[tuple(slice(start, start + n) for start, n in zip(first, size, strict=True))] = True
    return mask


def test_every_voxel_is_where_it_belongs(converted: Path) -> None:
    assert np.array_equal(voxels_of(converted, "ct"), ct_hu())
    assert np.array_equal(voxels_of(converted, "labels"), box_mask("Tumor"))
    organs = box_mask("Hirnstamm") * 1 + box_mask("Auge li") * 2 + box_mask("Auge re") * 3
    assert np.array_equal(voxels_of(converted, "oars"), organs)
    x_mm = np.arange(32) - 16.0
    assert np.abs(voxels_of(converted, "dose") - (36 + x_mm)).max() < 1e-3
    assert np.abs(voxels_of(converted, "images") - mr_signal()).max() < 1e-2


def test_the_dataset_is_declared_and_verified(converted: Path) -> None:
    dataset = ExtendedDataset(converted / "nnUNet_raw" / DATASET)
    assert dataset.cases() == ["Clinical_001", "Clinical_002"]
    assert dataset.dataset_json["channel_names"] == {"0": "T1c"}
    assert dataset.dataset_json["labels"] == {"background": 0, "GTV": 1}
    assert dataset.guidance.to_json() == {
        "target_gy": {"GTV": 60.0},
        "oars": {"Brainstem": 1, "Eye_L": 2, "Eye_R": 3},
    }
    result = CliRunner().invoke(app, ["verify", "701", "-np", "1"])
    assert (result.exit_code, "no findings" in result.output) == (0, True)


def test_the_record_tells_what_was_done(converted: Path) -> None:
    record = record_of(converted)
    assert record["native_dose_max_gy"] == pytest.approx(36 + 18, abs=1e-3)
    assert record["volumes_cc"]["GTV"]["contoured"] == pytest.approx(4 * 8 * 6 * 3 / 1000)
    assert "object" in record["alignment"]["T1c"]["how"]
    assert record["source_ct"] == {"size": [32, 32, 12], "spacing_mm": [1.0, 1.0, 3.0]}
    picture = converted / "nnUNet_raw" / DATASET / "conversion_records" / "Clinical_001_T1c.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_images_in_the_frame_of_the_ct_stay_where_they_are(root: Path) -> None:
    folder = root / "source" / "p1"
    for file in folder.glob("MR_*"):
        item = pydicom.dcmread(file)
        item.FrameOfReferenceUID = pydicom.dcmread(folder / "CT_0000.dcm").FrameOfReferenceUID
        item.ImagePositionPatient = (np.array(item.ImagePositionPatient, float) + SHIFT_MM).tolist()
        dicom_files.save(item, file)
    (root / "names.yaml").write_text(WITH_MR)
    shutil.rmtree(root / "source" / "p2")
    assert "T1c: 12 slices in p1 (same frame)" in convert()
    assert np.abs(voxels_of(root, "images") - mr_signal()).max() < 1e-2
    assert "frame" in record_of(root)["alignment"]["T1c"]["how"]


def test_voxels_of_one_millimetre_are_cut_to_the_body(root: Path) -> None:
    """The body is 30 x 24 x 24 mm, with 5 mm around it but for the ends of the CT, which are nearer."""
    convert("--spacing", "1")
    assert voxels_of(root, "ct").shape == (36, 32, 32)
    assert voxels_of(root, "labels").sum() == pytest.approx(4 * 8 * 6 * 3, rel=0.01)


def test_without_images_in_the_mapping_the_network_sees_the_ct(root: Path) -> None:
    convert()
    assert np.array_equal(voxels_of(root, "images"), ct_hu())
    assert ExtendedDataset(root / "nnUNet_raw" / DATASET).dataset_json["channel_names"] == {"0": "CT"}


def test_a_second_run_does_nothing_and_a_new_patient_is_added(root: Path) -> None:
    convert()
    before = files_below(root / "nnUNet_raw" / DATASET)
    assert "2 there already" in convert()
    again = files_below(root / "nnUNet_raw" / DATASET)
    assert {name for name in again if name.endswith(".gz") and again[name] != before[name]} == set()
    write_patient(root / "source" / "another", 3)
    output = convert()
    assert "1 converted, 2 there already" in output
    assert (root / "nnUNet_raw" / DATASET / "labelsTr" / "Clinical_003.nii.gz").exists()
    assert ExtendedDataset(root / "nnUNet_raw" / DATASET).dataset_json["numTraining"] == 3


def test_a_dry_run_lists_everything_and_writes_nothing(root: Path) -> None:
    (root / "names.yaml").write_text(WITH_MR)
    before = files_below(root)
    output = convert("--dry-run")
    assert files_below(root) == before
    for said in (
        "Clinical_001 (training)\n  CT: 12 slices in p1\n  structure set: p1/x2\n  dose: p1/x3\n",
        "T1c: 12 slices in p1 (registration object)",
        "1 files that are not DICOM",
        "Haut [alt]",
    ):
        assert said in output


def test_several_candidates_are_chosen_among_and_the_reason_is_told(root: Path) -> None:
    item = pydicom.dcmread(root / "source" / "p1" / "x2")
    item.SOPInstanceUID = item.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    item.ApprovalStatus = "APPROVED"
    item.StructureSetROISequence[0].ROIName = "GTV"
    dicom_files.save(item, root / "source" / "p1" / "x4")
    output = convert()
    assert "chosen, structure set: p1/x4 of 2 (approved)" in output
    assert "it was planned on another structure set" in output
    notes = "\n".join(record_of(root)["notes"])
    assert "structure set: one file of 2 (approved)" in notes
    assert str(root) not in notes


def break_dose(source: Path) -> str:
    """Cut short in its voxels, which the search does not read."""
    file = source / "p3" / "x3"
    file.write_bytes(file.read_bytes()[:-1000])
    return "p3/x3: is cut short"


def break_slice(source: Path) -> str:
    file = source / "p3" / "CT_0011.dcm"
    file.write_bytes(file.read_bytes()[:700])
    return "p3/CT_0011.dcm: "


def lose_last_slice(source: Path) -> str:
    (source / "p3" / "CT_0011.dcm").unlink()
    return "p3/x2: was drawn on 12 images, of which 1 are not here"


def lose_middle_slice(source: Path) -> str:
    item = pydicom.dcmread(source / "p3" / "x2")
    del (
        item.ReferencedFrameOfReferenceSequence[0]
        .RTReferencedStudySequence[0]
        .RTReferencedSeriesSequence[0]["ContourImageSequence"]
    )
    dicom_files.save(item, source / "p3" / "x2")
    (source / "p3" / "CT_0005.dcm").unlink()
    return "missing"


def rename_target(source: Path) -> str:
    item = pydicom.dcmread(source / "p3" / "x2")
    item.StructureSetROISequence[0].ROIName = "../../Tumorr"
    dicom_files.save(item, source / "p3" / "x2")
    return "mandatory structure GTV is missing (is it '../../Tumorr'?"


def empty_target(source: Path) -> str:
    item = pydicom.dcmread(source / "p3" / "x2")
    del item.ROIContourSequence[0]["ContourSequence"]
    dicom_files.save(item, source / "p3" / "x2")
    return "p3/x2: mandatory structure GTV has no closed contour"


def move_frame(source: Path) -> str:
    item = pydicom.dcmread(source / "p3" / "x2")
    for roi in item.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = "1.2.3"
    dicom_files.save(item, source / "p3" / "x2")
    return "p3/x2: its contours must lie in the CT's frame of reference"


def lose_mr(source: Path) -> str:
    (source.parent / "names.yaml").write_text(WITH_MR)
    for file in (source / "p3").glob("MR_*"):
        file.unlink()
    return "no MR series for the image T1c"


def unlink_mr(source: Path) -> str:
    """Without the registration object the boxes have to be registered, and show nothing in common."""
    (source.parent / "names.yaml").write_text(WITH_MR)
    (source / "p3" / "x1").unlink()
    return "T1c, p3: registration failed"


@pytest.mark.parametrize(
    "broken",
    [
        break_dose,
        break_slice,
        lose_last_slice,
        lose_middle_slice,
        rename_target,
        empty_target,
        move_frame,
        lose_mr,
        unlink_mr,
    ],
)
def test_a_broken_patient_is_one_line_and_the_others_are_converted(root: Path, broken: Callable[[Path], str]) -> None:
    shutil.rmtree(root / "source" / "p2")
    write_patient(root / "source" / "p3", 3)
    told = broken(root / "source")
    output = convert(status=1)
    failures = [line for line in output.splitlines() if line.split()[:2] == ["Clinical_002", "failed"]]
    assert len(failures) == 1
    assert told in failures[0]
    assert "Traceback" not in output
    assert "1 converted, 0 there already, 1 failed" in output
    assert (root / "nnUNet_raw" / DATASET / "labelsTr" / "Clinical_001.nii.gz").exists()
    assert not list((root / "nnUNet_raw").rglob("*Clinical_002*"))


def test_patients_without_ct_or_structure_set_are_skipped_with_the_reason(root: Path) -> None:
    (root / "source" / "p2" / "x2").unlink()
    output = convert()
    assert "skipped, the patient in p2: no structure set" in output
    assert "1 converted" in output


def test_a_damaged_file_of_nobody_is_named_and_counts_as_failure(root: Path) -> None:
    (root / "source" / "lost").mkdir()
    (root / "source" / "lost" / "file").write_bytes((root / "source" / "p1" / "x2").read_bytes()[:140])
    assert "of no known patient: lost/file: " in convert(status=1)


def test_a_patient_without_dose_is_converted_unless_doses_are_needed(root: Path) -> None:
    (root / "source" / "p2" / "x3").unlink()
    assert "no dose was planned on this CT (0 others are there)" in convert("--need-dose", status=1)
    assert not (root / "nnUNet_raw" / DATASET / "labelsTr" / "Clinical_002.nii.gz").exists()
    convert()
    assert voxels_of(root, "labels", "Clinical_002").any()
    assert not (root / "nnUNet_raw" / DATASET / "doseTr" / "Clinical_002.nii.gz").exists()


def test_test_patients_go_where_they_belong_and_stay_there(root: Path) -> None:
    (root / "test.txt").write_text("SECRET-2\n\n")
    convert("--test-ids", "test.txt")
    dataset = ExtendedDataset(root / "nnUNet_raw" / DATASET)
    assert (dataset.cases(), dataset.cases("labels", "Ts")) == (["Clinical_001"], ["Clinical_002"])
    assert "2 there already" in convert()
    (root / "test.txt").write_text("SECRET-1")
    assert "Clinical_001 was converted to labelsTr and now belongs to labelsTs" in convert(
        "--test-ids", "test.txt", status=1
    )
    assert "2 there already" in convert()


@pytest.mark.parametrize(
    ("content", "message"),
    [("SECRET-9\n", "1 of 1 are not"), ("", "must hold the test patients"), (None, "cannot be read")],
)
def test_a_wrong_list_of_test_patients_is_refused(root: Path, content: str | None, message: str) -> None:
    if content is not None:
        (root / "test.txt").write_text(content)
    assert message in convert("--test-ids", "test.txt", status=1)
    assert not (root / "nnUNet_raw").exists()


def test_a_folder_without_dicom_is_refused(root: Path) -> None:
    shutil.rmtree(root / "source")
    assert "source: is no folder" in convert(status=1)
    (root / "source").mkdir()
    (root / "source" / "a.txt").touch()
    assert "only 1 other files and 0 other DICOM objects" in convert(status=1)


def test_nothing_that_identifies_a_patient_leaves_the_source(converted: Path) -> None:
    check_privacy(converted)


def test_hashed_ids_tell_no_more(root: Path) -> None:
    convert("--ids", "hash")
    check_privacy(root)
    first, second = ExtendedDataset(root / "nnUNet_raw" / DATASET).cases()
    assert first.startswith("Clinical_")
    assert (len(first), len(second)) == (len("Clinical_") + 10,) * 2


def check_privacy(root: Path) -> None:
    """Neither names of files, nor what is in them, but for the key table, which its owner alone can read."""
    secrets = {text.encode() for text in SECRETS} | identifiers(root / "source")
    written = [path for path in root.rglob("*") if path.is_file() and not path.is_relative_to(root / "source")]
    table = root / "doselo_keys" / f"{DATASET}.csv"
    assert "SECRET-1" in table.read_text()
    assert stat.S_IMODE(table.stat().st_mode) == 0o600
    written.remove(table)
    for path in written:
        raw = path.read_bytes()
        content = gzip.decompress(raw) if path.suffix == ".gz" else raw
        assert not [secret for secret in secrets if secret in content or secret in str(path.relative_to(root)).encode()]


def identifiers(source: Path) -> set[bytes]:
    """All UIDs of the patients' own objects."""
    uids = set()
    for file in (path for path in source.rglob("*") if path.is_file() and path.suffix != ".txt"):
        item = pydicom.dcmread(file, stop_before_pixels=True)
        uids |= {item.StudyInstanceUID, item.SeriesInstanceUID, item.SOPInstanceUID, item.FrameOfReferenceUID}
    return {str(uid).encode() for uid in uids}
