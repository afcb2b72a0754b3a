"""`doselo export-rtstruct`: which CT, which files, what is said, and what happens when something is wrong."""

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from click import unstyle
from dicom_files import Geometry, Patient, write_images
from typer.testing import CliRunner

from nnunet_doselo.cli import app
from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.hashing import sha256_of
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.images import write_array
from nnunet_doselo.dataset_conversion.cases import run as cohort_run
from nnunet_doselo.dataset_conversion.cases.ids import CaseIds
from nnunet_doselo.dataset_conversion.cases.run import Outcome
from nnunet_doselo.dataset_conversion.dicom_rt.contours.rasterise import rasterise
from nnunet_doselo.dataset_conversion.dicom_rt.contours.rtstruct import read_structure_set
from nnunet_doselo.dataset_conversion.dicom_rt.export import export as export_module
from nnunet_doselo.dataset_conversion.dicom_rt.export.export import Style, export_rtstructs
from nnunet_doselo.dataset_conversion.dicom_rt.export.exported_table import read_exported

SHAPE = (6, 10, 11)
UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
GRID = Grid(SHAPE[::-1], (1.0, 1.0, 3.0), (5.0, -20.0, 30.0), UPRIGHT)
DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "PTV": 1, "Tumour bed": 2},
    "file_ending": ".nii.gz",
    "dose_guidance": {"target_gy": {"Tumour bed": 60.0}, "oars": {}},
}
PEOPLE = {"GBM_001": Patient("SECRET^ANNA", "SECRET-1"), "GBM_002": Patient("SECRET^BERT", "SECRET-2")}


def labels_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, SHAPE).astype(np.uint8)


def write_ct(folder: Path, patient: Patient) -> str:
    """A CT on `GRID`; returns its SeriesInstanceUID."""
    geometry = Geometry(GRID.spacing_zyx, GRID.origin)  # type: ignore[arg-type]
    return str(write_images(folder, np.zeros(SHAPE), geometry, patient)[0].SeriesInstanceUID)


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """What nnUNetv2_predict leaves: label maps of two cases and dataset.json."""
    folder = tmp_path / "predictions"
    for seed, case in enumerate(PEOPLE):
        write_array(folder / f"{case}.nii.gz", labels_of(seed), GRID)
    for name in ("dataset.json", "plans.json"):
        (folder / name).write_text(json.dumps(DATASET))
    return folder


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Two patients' CTs below dicom/ and the key table of their conversion."""
    ids = CaseIds(tmp_path / "keys" / "GBM.csv", "GBM")
    for folder, patient in zip("ab", PEOPLE.values(), strict=True):
        ids.id_of(patient.patient_id, ct_series=write_ct(tmp_path / "dicom" / folder, patient), frame=patient.frame)
    ids.save()
    return ids.key_file


def export(tmp_path: Path, keys: Path | None = None, style: Style | None = None, **more: Any) -> list[Outcome]:
    folder = tmp_path / "predictions"
    return export_rtstructs(
        folder,
        tmp_path / "dicom",
        tmp_path / "out",
        ExtendedDataset(folder),
        keys=keys,
        style=style or Style(),
        **more,
    )


def statuses(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


def table(tmp_path: Path) -> dict[str, dict[str, str]]:
    return json.loads((tmp_path / "out" / "exported.json").read_text())


def test_each_case_is_drawn_on_its_own_patients_ct(tmp_path: Path, predictions: Path, keys: Path) -> None:
    assert statuses(export(tmp_path, keys)) == ["converted", "converted"]
    for seed, (case, patient) in enumerate(PEOPLE.items()):
        item = pydicom.dcmread(tmp_path / "out" / f"{case}.dcm")
        assert (item.PatientName, item.PatientID) == (patient.name, patient.patient_id)
        assert (item.StudyInstanceUID, item.FrameOfReferenceUID) == (patient.study, patient.frame)
        found = read_structure_set(tmp_path / "out" / f"{case}.dcm")
        assert [(roi.name, roi.interpreted_type) for roi in found.rois] == [("PTV", "PTV"), ("Tumour bed", "PTV")]
        for value, roi in enumerate(found.rois, start=1):
            assert roi.automatic
            mask = rasterise(roi.contours, GRID, fill_gaps=False).mask
            assert np.array_equal(mask, labels_of(seed) == value)


def test_the_table_tells_which_object_came_from_which_label_map(tmp_path: Path, predictions: Path, keys: Path) -> None:
    export(tmp_path, keys)
    entries = read_exported(tmp_path / "out")
    assert [*entries] == [*PEOPLE]
    for case, entry in entries.items():
        assert entry.sop_instance_uid == pydicom.dcmread(tmp_path / "out" / f"{case}.dcm").SOPInstanceUID
        assert entry.labels_sha256 == sha256_of(predictions / f"{case}.nii.gz")
    assert (tmp_path / "out" / "exported.json").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"exported.json", "GBM_001.dcm", "GBM_002.dcm"}


def test_it_can_run_in_other_processes(
    tmp_path: Path, predictions: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that would travel to them goes through pickle."""

    def travelling(work: Any, items: Any, **more: Any) -> list[Outcome]:
        work, items = pickle.loads(pickle.dumps((work, items)))
        return cohort_run.run_patients(work, items, **more)

    monkeypatch.setattr(export_module, "run_patients", travelling)
    assert statuses(export(tmp_path, keys)) == ["converted", "converted"]
    assert [*table(tmp_path)] == [*PEOPLE]


def test_what_is_current_stays_because_the_planning_system_may_have_it(
    tmp_path: Path, predictions: Path, keys: Path
) -> None:
    export(tmp_path, keys)
    before = table(tmp_path)
    write_array(predictions / "GBM_002.nii.gz", labels_of(7), GRID)
    assert statuses(export(tmp_path, keys)) == ["there already", "converted"]
    assert table(tmp_path)["GBM_001"] == before["GBM_001"]
    assert table(tmp_path)["GBM_002"]["sop_instance_uid"] != before["GBM_002"]["sop_instance_uid"]
    assert statuses(export(tmp_path, keys, Style(holes="nested"))) == ["converted", "converted"]
    assert statuses(export(tmp_path, keys, Style(holes="nested"), overwrite=True)) == ["converted", "converted"]


def test_an_object_that_the_table_does_not_know_is_written_anew(tmp_path: Path, predictions: Path, keys: Path) -> None:
    """A run was broken between an object and the table."""
    export(tmp_path, keys)
    (tmp_path / "out" / "GBM_001.dcm").write_bytes((tmp_path / "out" / "GBM_002.dcm").read_bytes())
    (tmp_path / "out" / "GBM_002.dcm").write_bytes(b"damaged")
    assert statuses(export(tmp_path, keys)) == ["converted", "converted"]
    assert statuses(export(tmp_path, keys)) == ["there already", "there already"]


def test_one_case_and_one_ct_need_no_key_table(tmp_path: Path, predictions: Path) -> None:
    write_ct(tmp_path / "dicom", PEOPLE["GBM_002"])
    assert statuses(export(tmp_path, case="GBM_002")) == ["converted"]
    (predictions / "GBM_001.nii.gz").unlink()
    assert export(tmp_path) == [Outcome("GBM_002", "there already")]


def test_several_cases_need_one(tmp_path: Path, predictions: Path) -> None:
    with pytest.raises(DoseloError, match=r"has 2 cases; .* pass it with --keys, or export one case with --case"):
        export(tmp_path)


def test_several_cts_are_listed_by_path(tmp_path: Path, predictions: Path) -> None:
    for folder in "ab":
        write_ct(tmp_path / "dicom" / folder, PEOPLE["GBM_001"])
    (failed,) = export(tmp_path, case="GBM_001")
    assert failed.status == "failed"
    listed = "a/CT_0000.dcm (6 files); b/CT_0000.dcm (6 files)"
    assert f"2 CT series could be meant, --ct must leave one: {listed}" in failed.message


def test_a_converted_nifti_patient_is_found_by_the_id(tmp_path: Path, predictions: Path) -> None:
    for folder, patient in zip("ab", PEOPLE.values(), strict=True):
        write_ct(tmp_path / "dicom" / folder, patient)
    ids = CaseIds(tmp_path / "keys.csv", "GBM")
    for patient in PEOPLE.values():
        ids.id_of(patient.patient_id)
    ids.save()
    assert statuses(export(tmp_path, ids.key_file)) == ["converted", "converted"]
    assert pydicom.dcmread(tmp_path / "out" / "GBM_002.dcm").PatientID == "SECRET-2"


def fail_one(tmp_path: Path, keys: Path) -> str:
    """The message of GBM_001; GBM_002 must have come through."""
    failed, other = export(tmp_path, keys)
    assert (failed.case, failed.status, other.status) == ("GBM_001", "failed", "converted")
    assert [*table(tmp_path)] == ["GBM_002"]
    assert not list((tmp_path / "out").glob("*GBM_001*"))
    assert "SECRET" not in failed.message
    assert PEOPLE["GBM_001"].frame not in failed.message
    return failed.message


def test_a_case_without_its_ct_fails_alone(tmp_path: Path, predictions: Path, keys: Path) -> None:
    for file in (tmp_path / "dicom" / "a").iterdir():
        file.unlink()
    assert "its planning CT is not among the 1 CT series below" in fail_one(tmp_path, keys)


def test_a_case_that_the_table_lacks_fails_alone(tmp_path: Path, predictions: Path, keys: Path) -> None:
    keys.write_text(keys.read_text().replace("GBM_001", "GBM_009"))
    assert "is not in the key table, which has 2 cases" in fail_one(tmp_path, keys)


def test_a_missing_slice_is_named(tmp_path: Path, predictions: Path, keys: Path) -> None:
    (tmp_path / "dicom" / "a" / "CT_0001.dcm").unlink()
    assert "missing" in (message := fail_one(tmp_path, keys))
    assert "CT_0000.dcm" in message


def test_a_missing_last_slice_is_noticed_by_the_label_map(tmp_path: Path, predictions: Path, keys: Path) -> None:
    (tmp_path / "dicom" / "a" / "CT_0005.dcm").unlink()
    assert "reaches 1.5 mm beyond the CT" in fail_one(tmp_path, keys)


def test_a_damaged_slice_is_named(tmp_path: Path, predictions: Path, keys: Path) -> None:
    file = tmp_path / "dicom" / "a" / "CT_0003.dcm"
    file.write_bytes(file.read_bytes()[:700])
    assert "CT_0003.dcm" in fail_one(tmp_path, keys)


def test_a_damaged_label_map_is_named(tmp_path: Path, predictions: Path, keys: Path) -> None:
    file = predictions / "GBM_001.nii.gz"
    file.write_bytes(file.read_bytes()[:200])
    assert "GBM_001.nii.gz" in fail_one(tmp_path, keys)


def test_an_empty_label_map_is_an_error_and_an_empty_label_a_note(
    tmp_path: Path, predictions: Path, keys: Path
) -> None:
    write_array(predictions / "GBM_001.nii.gz", np.zeros(SHAPE, np.uint8), GRID)
    assert "the label map is empty" in fail_one(tmp_path, keys)
    write_array(predictions / "GBM_001.nii.gz", (labels_of(0) == 1).astype(np.uint8), GRID)
    assert export(tmp_path, keys)[0].notes == ("Tumour bed: empty, left out",)


def test_inputs_that_cannot_be_used_stop_at_once(tmp_path: Path, predictions: Path, keys: Path) -> None:
    with pytest.raises(DoseloError, match=r"has no GBM_003\.nii\.gz; there are 2 label maps"):
        export(tmp_path, keys, case="GBM_003")
    with pytest.raises(DoseloError, match="the key table cannot be read"):
        export(tmp_path, tmp_path / "none.csv")
    with pytest.raises(DoseloError, match="a label of a structure set must have 1 to 16"):
        Style(label="seventeen letters")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "exported.json").write_text("[]")
    with pytest.raises(DoseloError, match="is no table of exported structure sets"):
        export(tmp_path, keys)
    for file in (tmp_path / "dicom").rglob("*.dcm"):
        file.unlink()
    with pytest.raises(DoseloError, match="no CT series found"):
        export(tmp_path, keys)
    for file in predictions.glob("*.gz"):
        file.unlink()
    with pytest.raises(DoseloError, match=r"expected label maps CASE\.nii\.gz, found none"):
        export(tmp_path, keys)


def doselo(*arguments: str | Path, status: int = 0) -> str:
    """All that `doselo export-rtstruct` prints."""
    result = CliRunner().invoke(app, ["export-rtstruct", *map(str, arguments), "-np", "1"])
    assert result.exit_code == status, result.output
    return " ".join(unstyle(result.output).split())


def test_the_command_tells_what_became_of_each_case(tmp_path: Path, predictions: Path, keys: Path) -> None:
    arguments = [predictions, "--ct", tmp_path / "dicom", "--keys", keys, "-o", tmp_path / "out"]
    said = doselo(*arguments, "--label", "DOSELO 1", "--holes", "nested")
    assert "2 converted, 0 there already, 0 failed" in said
    assert "import-dose" in said
    assert pydicom.dcmread(tmp_path / "out" / "GBM_001.dcm").StructureSetLabel == "DOSELO 1"
    (tmp_path / "dicom" / "b" / "CT_0001.dcm").unlink()
    said = doselo(*arguments, "--overwrite", status=1)
    assert "1 converted, 0 there already, 1 failed" in said
    assert "GBM_002" in said
    assert "SECRET" not in said


def test_the_command_finds_labels_and_keys_by_the_dataset(
    tmp_path: Path, predictions: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    (predictions / "dataset.json").unlink()
    arguments = [predictions, "--ct", tmp_path / "dicom", "-o", tmp_path / "out"]
    assert "no dataset.json with the labels' names; pass --dataset" in doselo(*arguments, status=1)
    dataset = tmp_path / "raw" / "Dataset501_GBM"
    dataset.mkdir(parents=True)
    (dataset / "dataset.json").write_text(json.dumps(DATASET))
    assert "pass it with --keys" in doselo(*arguments, "--dataset", "501", status=1)
    (tmp_path / "doselo_keys").mkdir()
    keys.rename(tmp_path / "doselo_keys" / "Dataset501_GBM.csv")
    assert "2 converted" in doselo(*arguments, "--dataset", "501")
