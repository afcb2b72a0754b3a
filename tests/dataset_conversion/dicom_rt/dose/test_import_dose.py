"""A planning system's doses come home: matched by what they refer to or by a table, on the dataset's grid, recorded."""

import json
import re
from pathlib import Path

import dicom_files
import numpy as np
import phantoms
import pytest
from click import unstyle
from dicom_files import Geometry, Patient
from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import RTPlanStorage
from typer.testing import CliRunner

from nnunet_doselo.cli import app
from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.hashing import sha256_of
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import read_array
from nnunet_doselo.dataset.patient import load_patient
from nnunet_doselo.dataset_conversion.cases.run import Outcome
from nnunet_doselo.dataset_conversion.dicom_rt.dose.import_dose import import_doses
from nnunet_doselo.scoring.dose_sources import DoseFolder, PlannedDoses

CASES = ("Phantom_001", "Phantom_002")
STRUCTURE_SETS = {"Phantom_001": "1.2.3.1", "Phantom_002": "1.2.3.2"}
# 4 mm voxels over the whole head, whose voxels of 3 mm lie around the origin: 30 Gy, and 1 Gy more each cm to the left
GEOMETRY = Geometry(spacing_mm=(4.0, 4.0, 4.0), origin_mm=(-52.0, -52.0, -28.0))
DOSE_GY = np.broadcast_to(30 + (-52 + 4 * np.arange(27)) / 10, (15, 27, 27))


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExtendedDataset:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    return phantoms.write_extended_dataset(tmp_path / "raw" / "Dataset501_Head", cases=1, test_cases=2)


@pytest.fixture
def exported(tmp_path: Path, dataset: ExtendedDataset) -> Path:
    """What `doselo export-rtstruct` leaves, here of the dataset's own labels."""
    folder = tmp_path / "exported"
    folder.mkdir()
    table = {
        case: {
            "sop_instance_uid": STRUCTURE_SETS[case],
            "labels_sha256": sha256_of(dataset.path("labels", case, "Ts")),
        }
        for case in CASES
    }
    (folder / "exported.json").write_text(json.dumps(table))
    return folder


@pytest.fixture
def doses(tmp_path: Path) -> Path:
    """What the planning system sends: one dose that names its structure set, one whose plan does."""
    folder = tmp_path / "from_tps"
    write_dose(folder / "a" / "RD.first.dcm", structure_set=STRUCTURE_SETS["Phantom_001"])
    write_dose(folder / "b" / "RD.second.dcm", plan="1.2.9.2", scale=2)
    write_plan(folder / "b" / "RP.second.dcm", "1.2.9.2", STRUCTURE_SETS["Phantom_002"])
    (folder / "read me.txt").write_text("no DICOM")
    return folder


def write_dose(file: Path, scale: float = 1.0, **more: str) -> Path:
    dicom_files.write_rtdose(file, scale * DOSE_GY, GEOMETRY, Patient(), **more)  # type: ignore[arg-type]
    return file


def write_plan(file: Path, instance: str, structure_set: str) -> None:
    """The least of a plan: an object that refers to a structure set."""
    item = dicom_files.write_rtdose(file, DOSE_GY[:2, :2, :2], GEOMETRY, Patient(), structure_set=structure_set)
    item.Modality, item.SOPClassUID, item.SOPInstanceUID = "RTPLAN", RTPlanStorage, instance
    item.ReferencedStructureSetSequence = DicomSequence([Dataset()])
    item.ReferencedStructureSetSequence[0].ReferencedSOPInstanceUID = structure_set
    del item.PixelData
    dicom_files.save(item, file)


def expected_gy() -> np.ndarray:
    """At the centres of the head's voxels."""
    x_mm = phantoms.grid_for().origin[0] + 3 * np.arange(phantoms.SHAPE[2])
    return np.broadcast_to(30 + x_mm / 10, phantoms.SHAPE)


def test_doses_are_matched_by_structure_set_and_by_plan_and_lie_on_the_datasets_grid(
    dataset: ExtendedDataset, exported: Path, doses: Path, tmp_path: Path
) -> None:
    done, remarks = import_doses(doses, dataset, tmp_path / "out", exported=exported)
    assert done == [Outcome(case, "converted") for case in CASES]
    assert remarks == []
    for case, scale in zip(CASES, (1, 2), strict=True):
        dose_gy, grid = read_array(tmp_path / "out" / f"{case}.nii.gz")
        assert dose_gy.dtype == np.float32
        assert dose_gy == pytest.approx(scale * expected_gy(), rel=1e-5)
        assert grid.differences(phantoms.grid_for()) == []


def test_evaluation_takes_the_doses_and_says_where_they_come_from(
    dataset: ExtendedDataset, exported: Path, doses: Path, tmp_path: Path
) -> None:
    import_doses(doses, dataset, tmp_path / "out", exported=exported)
    source = PlannedDoses(dataset, tmp_path / "out")
    doses_of = source.prepare(CASES, dataset.folder / "labelsTs", tmp_path)
    assert source.provenance()["evaluated_dose"].startswith("a treatment planning system (RTDOSE, imported with")
    patient = load_patient(dataset, CASES[0], "Ts")
    evaluated_gy = doses_of.evaluated.read(patient, dataset.path("labels", CASES[0], "Ts"))
    assert evaluated_gy == pytest.approx(expected_gy(), rel=1e-5)


def test_evaluation_notices_another_label_map_than_the_exported_one(
    dataset: ExtendedDataset, exported: Path, doses: Path, tmp_path: Path
) -> None:
    import_doses(doses, dataset, tmp_path / "out", exported=exported)
    folder, patient = DoseFolder(tmp_path / "out", ".nii.gz"), load_patient(dataset, CASES[0], "Ts")
    with pytest.raises(DoseloError, match="was planned on a label map of SHA-256"):
        folder.read(patient, dataset.path("labels", CASES[1], "Ts"))


def test_the_record_holds_where_the_dose_comes_from_and_nothing_that_identifies(
    dataset: ExtendedDataset, exported: Path, doses: Path, tmp_path: Path
) -> None:
    import_doses(doses, dataset, tmp_path / "out", exported=exported)
    text = (tmp_path / "out" / "Phantom_001.json").read_text()
    record = json.loads(text)
    assert record["engine"] == "tps"
    assert record["prescription_gy"] == 60
    assert record["inputs"] == {
        "labels_sha256": sha256_of(dataset.path("labels", "Phantom_001", "Ts")),
        "rtdose_sha256": [sha256_of(doses / "a" / "RD.first.dcm")],
        "native_max_gy": pytest.approx(30 + 5.2),
    }
    assert "SECRET" not in text
    assert "1.2.3" not in text
    assert "RD." not in text


def test_a_table_matches_files_whatever_they_refer_to(dataset: ExtendedDataset, doses: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("\ufefffile,case\r\nb/RD.second.dcm,Phantom_001\r\n", encoding="utf-8")
    done, _ = import_doses(doses, dataset, tmp_path / "out", table=table)
    assert done == [Outcome("Phantom_001", "converted")]
    assert read_array(tmp_path / "out" / "Phantom_001.nii.gz")[0] == pytest.approx(2 * expected_gy(), rel=1e-5)
    # the label map is not known: any is taken
    folder, patient = DoseFolder(tmp_path / "out", ".nii.gz"), load_patient(dataset, CASES[0], "Ts")
    assert folder.read(patient, dataset.path("labels", CASES[1], "Ts")).max() > 0


def test_beams_of_a_case_are_summed_and_noted(dataset: ExtendedDataset, doses: Path, tmp_path: Path) -> None:
    for i in (1, 2):
        write_dose(doses / f"beam{i}.dcm", summation="BEAM", plan="1.2.9.7")
    table = tmp_path / "table.csv"
    table.write_text("file,case\nbeam1.dcm,Phantom_001\nbeam2.dcm,Phantom_001\n")
    (case,), _ = import_doses(doses, dataset, tmp_path / "out", table=table)
    assert case.notes == ("dose is the sum of 2 BEAM doses; whether these are all is not known",)
    assert json.loads((tmp_path / "out" / "Phantom_001.json").read_text())["notes"] == list(case.notes)
    assert read_array(tmp_path / "out" / "Phantom_001.nii.gz")[0] == pytest.approx(2 * expected_gy(), rel=1e-5)


def test_each_case_and_each_file_that_does_not_fit_is_one_line_and_the_others_go_on(
    dataset: ExtendedDataset, exported: Path, doses: Path, tmp_path: Path
) -> None:
    (doses / "b" / "RP.second.dcm").unlink()
    stray = write_dose(doses / "c.dcm", structure_set="1.2.3.99")
    damaged = doses / "d.dcm"
    damaged.write_bytes(stray.read_bytes()[:600])
    done, remarks = import_doses(doses, dataset, tmp_path / "out", exported=exported)
    assert done == [
        Outcome("Phantom_001", "converted"),
        Outcome("Phantom_002", "failed", "no dose in the folder was calculated on its structure set"),
    ]
    second = doses / "b" / "RD.second.dcm"
    assert remarks[0].startswith(f"{damaged}: ")
    assert remarks[1:] == [
        f"{second}: fits no case, its RTPLAN is not in the folder (export it too); name its case with --table",
        f"{stray}: fits no case, it was not calculated on an exported structure set; name its case with --table",
    ]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["Phantom_001.json", "Phantom_001.nii.gz"]


def test_two_doses_of_a_case_are_not_guessed_between_and_what_was_there_stays(
    dataset: ExtendedDataset, exported: Path, doses: Path, tmp_path: Path
) -> None:
    import_doses(doses, dataset, tmp_path / "out", exported=exported)
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    write_dose(doses / "e.dcm", structure_set=STRUCTURE_SETS["Phantom_001"], plan="1.2.9.8")
    (first, _), _ = import_doses(doses, dataset, tmp_path / "out", exported=exported)
    assert first.message.startswith("expected one PLAN dose, found 2 of different plans: ")
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before


def test_a_dose_elsewhere_in_space_is_refused(dataset: ExtendedDataset, doses: Path, tmp_path: Path) -> None:
    far = Geometry(GEOMETRY.spacing_mm, (500.0, 0.0, 0.0))
    dicom_files.write_rtdose(doses / "far.dcm", DOSE_GY, far, Patient())
    table = tmp_path / "table.csv"
    table.write_text("file,case\nfar.dcm,Phantom_001\n")
    (case,), _ = import_doses(doses, dataset, tmp_path / "out", table=table)
    assert case.message == (f"{doses / 'far.dcm'}: lies outside of the case's images; is it the dose of this patient?")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have the columns file,case"),
        ("file;case\na/RD.first.dcm;Phantom_001\n", "must have the columns file,case"),
        ("file,case\na/RD.first.dcm,\n", "must have the columns file,case"),
        ("file,case\nnowhere.dcm,Phantom_001\n", "names nowhere.dcm, which is no file in "),
        ("file,case\na/RD.first.dcm,Phantom_001\na/RD.first.dcm,Phantom_002\n", "names a file twice"),
        ("file,case\na/RD.first.dcm,../Phantom_001\n", "has no case ../Phantom_001 in ctTs"),
        ("file,case\na/RD.first.dcm,Phantom_000\n", "has no case Phantom_000 in ctTs; is the dataset right"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_before_anything_is_written(
    dataset: ExtendedDataset, doses: Path, tmp_path: Path, text: str, message: str
) -> None:
    table = tmp_path / "table.csv"
    table.write_text(text)
    with pytest.raises(DoseloError) as error:
        import_doses(doses, dataset, tmp_path / "out", table=table)
    assert message in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "exported.json: is no table of exported structure sets"),
        ("[]", "exported.json: is no table of exported structure sets"),
        ("{}", "has no exported.json; --exported names the output folder of `doselo export-rtstruct`"),
        ('{"Phantom_001": {"sop_instance_uid": "1.2"}}', "exported.json: the entry of Phantom_001 is damaged"),
        (
            json.dumps({case: {"sop_instance_uid": "1", "labels_sha256": ""} for case in CASES}),
            "exported.json: two cases have the same structure set",
        ),
    ],
)
def test_a_damaged_table_of_exports_is_one_clear_error(
    dataset: ExtendedDataset, doses: Path, tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "exported.json").write_text(content)
    with pytest.raises(DoseloError, match=re.escape(message)):
        import_doses(doses, dataset, tmp_path / "out", exported=tmp_path)


def test_it_has_to_be_said_how_doses_are_matched(dataset: ExtendedDataset, doses: Path, tmp_path: Path) -> None:
    with pytest.raises(DoseloError, match=r"matched to cases by --exported FOLDER .* or by --table FILE"):
        import_doses(doses, dataset, tmp_path / "out")
    with pytest.raises(DoseloError, match=r"has no exported\.json"):
        import_doses(doses, dataset, tmp_path / "out", exported=tmp_path)
    with pytest.raises(DoseloError, match="must be a folder of RTDOSE files"):
        import_doses(tmp_path / "nowhere", dataset, tmp_path / "out", exported=tmp_path)


def test_the_command_prints_the_next_one_or_fails(
    dataset: ExtendedDataset, exported: Path, doses: Path, tmp_path: Path
) -> None:
    command = ["import-dose", str(doses), "501", "-o", str(tmp_path / "out"), "--exported", str(exported), "-np", "1"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert unstyle(result.stdout).splitlines() == [
        f"next: doselo evaluate PREDICTIONS 501 --split Ts --dose-from {tmp_path / 'out'}",
    ]
    (doses / "a" / "RD.first.dcm").unlink()
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "Phantom_001: no dose in the folder was calculated on its structure set" in unstyle(result.stderr)
    assert "1 converted, 0 there already, 1 failed" in unstyle(result.stderr)
