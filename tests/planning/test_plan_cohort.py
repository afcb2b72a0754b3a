"""Doses for a folder of label maps: what is written, what is planned alike, what is skipped and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
from stub_planner import BEAMS, EMPTY, ISOCENTRE_MM, StubPlanner

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.hashing import sha256_of
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import read_array, write_array
from nnunet_doselo.planning.cohort_plans import PlannedCase, plan_cohort
from nnunet_doselo.planning.plan_record import read_record

CASES = ["Phantom_001", "Phantom_002"]


@pytest.fixture
def dataset(tmp_path: Path) -> ExtendedDataset:
    return phantoms.write_extended_dataset(tmp_path / "Dataset001_Head", cases=1, test_cases=2)


@pytest.fixture
def planner(monkeypatch: pytest.MonkeyPatch) -> StubPlanner:
    return StubPlanner().install(monkeypatch)


def predictions(dataset: ExtendedDataset, *labels: np.ndarray) -> Path:
    folder = dataset.folder.parent / "predictions"
    for case, predicted in zip(CASES, labels, strict=True):
        write_array(folder / f"{case}.nii.gz", predicted.astype(np.uint8), phantoms.grid_for())
    (folder / "dataset.json").write_text("{}")  # nnU-Net leaves such files beside its predictions
    return folder


def planned(dataset: ExtendedDataset, name: str = "reference", **options: Any) -> list[PlannedCase]:
    return plan_cohort(dataset, dataset.folder.parent / name, **options)


def test_the_datasets_own_labels_get_doses_and_records(
    dataset: ExtendedDataset, planner: StubPlanner, tmp_path: Path
) -> None:
    done = planned(dataset)
    assert [(one.case, one.new, one.record.remarks) for one in done] == [(case, True, []) for case in CASES]
    labels, grid = read_array(dataset.path("labels", "Phantom_001", "Ts"))
    dose_gy, dose_grid = read_array(tmp_path / "reference" / "Phantom_001.nii.gz")
    assert dose_gy.dtype == np.float32
    assert not dose_grid.differences(grid)
    np.testing.assert_array_equal(dose_gy, 60 * (labels == 1))
    record = json.loads((tmp_path / "reference" / "Phantom_001.json").read_text())
    assert record["engine"] == "fluence"
    assert (record["isocentre_mm"], record["gantry_deg"], record["bixel_mm"]) == ([*ISOCENTRE_MM], [0, 90, 225], 4.5)
    assert (record["prescription_gy"], record["iterations"], record["converged"], record["notes"]) == (60, 7, True, [])
    assert record["inputs"]["labels_sha256"] == sha256_of(dataset.path("labels", "Phantom_001", "Ts"))
    assert {"nnunet-doselo", "scipy", "python"} <= record["versions"].keys()


def test_the_planner_gets_what_the_dataset_says(dataset: ExtendedDataset, planner: StubPlanner) -> None:
    planned(dataset, split="Tr", engine="pydosert")
    (call,) = planner.calls
    assert call["spacing_mm"] == phantoms.SPACING_MM
    assert (call["engine"], call["allow_empty"]) == ("pydosert", True)
    assert call["isocentre_mm"] is call["beams"] is None


def test_predictions_are_planned_like_their_references(
    dataset: ExtendedDataset, planner: StubPlanner, tmp_path: Path
) -> None:
    planned(dataset)
    moved = predictions(dataset, phantoms.target(5), phantoms.target(6))
    planned(dataset, "predicted", labels=moved, like=tmp_path / "reference")
    assert [(call["isocentre_mm"], call["beams"]) for call in planner.calls[2:]] == [(ISOCENTRE_MM, BEAMS)] * 2
    record = read_record(tmp_path / "predicted", "Phantom_002")
    assert record is not None
    assert (record.isocentre_mm, record.beams) == (ISOCENTRE_MM, BEAMS)


def test_an_empty_prediction_has_a_dose_of_zero_and_a_remark(
    dataset: ExtendedDataset, planner: StubPlanner, tmp_path: Path
) -> None:
    target = phantoms.target(1)
    _, empty = planned(dataset, "predicted", labels=predictions(dataset, target, 0 * target))
    assert empty.record.remarks == [EMPTY]
    assert read_array(tmp_path / "predicted" / "Phantom_002.nii.gz")[0].max() == 0


def test_a_plan_that_did_not_converge_has_a_remark(dataset: ExtendedDataset, planner: StubPlanner) -> None:
    planner.converged = False
    assert planned(dataset)[0].record.remarks == ["stopped after 7 iterations without having converged"]


def test_what_is_planned_already_is_not_planned_again(dataset: ExtendedDataset, planner: StubPlanner) -> None:
    first, again = planned(dataset), planned(dataset)
    assert [one.new for one in again] == [False, False]
    assert [one.record for one in again] == [one.record for one in first]
    assert len(planner.calls) == 2


@pytest.mark.parametrize("change", ["labels", "ct", "oars", "dose", "engine", "like"])
def test_whatever_changes_a_dose_makes_it_be_planned_again(
    dataset: ExtendedDataset, planner: StubPlanner, tmp_path: Path, change: str
) -> None:
    planned(dataset)
    options: dict[str, Any] = {}
    if change == "dose":
        (tmp_path / "reference" / "Phantom_001.nii.gz").unlink()
    elif change == "engine":
        options["engine"] = "pydosert"
    elif change == "like":
        options["like"] = tmp_path / "reference"
    else:
        file = dataset.path(change, "Phantom_001", "Ts")
        array, grid = read_array(file)
        array[0, 0, 0] += 1
        write_array(file, array, grid)
    everything = change in ("engine", "like")
    assert [one.new for one in planned(dataset, **options)] == [True, everything]


def test_a_run_that_broke_off_goes_on_where_it_was(
    dataset: ExtendedDataset, planner: StubPlanner, tmp_path: Path
) -> None:
    planner.fails_at = 2
    with pytest.raises(DoseloError, match="case Phantom_002: RuntimeError: no fluence"):
        planned(dataset)
    assert sorted(file.name for file in (tmp_path / "reference").iterdir()) == [
        "Phantom_001.json",
        "Phantom_001.nii.gz",
    ]
    planner.fails_at = 0
    assert [one.new for one in planned(dataset)] == [False, True]


def test_an_old_record_does_not_vouch_for_a_plan_that_broke_off(
    dataset: ExtendedDataset, planner: StubPlanner, tmp_path: Path
) -> None:
    planned(dataset)
    planner.fails_at = 3
    with pytest.raises(DoseloError):
        planned(dataset, engine="pydosert")
    assert read_record(tmp_path / "reference", "Phantom_001") is None


def test_a_reference_without_a_record_is_one_clear_error(
    dataset: ExtendedDataset, planner: StubPlanner, tmp_path: Path
) -> None:
    planned(dataset)
    (tmp_path / "reference" / "Phantom_002.json").unlink()
    with pytest.raises(DoseloError, match=r"reference: expected a record .* of 2 cases, missing \['Phantom_002'\];"):
        planned(dataset, "predicted", like=tmp_path / "reference")
    assert not (tmp_path / "predicted").exists()


def test_a_reference_of_another_engine_is_refused(
    dataset: ExtendedDataset, planner: StubPlanner, tmp_path: Path
) -> None:
    planned(dataset, engine="pydosert")
    with pytest.raises(DoseloError, match="was planned with engine pydosert; pass the same with --engine"):
        planned(dataset, "predicted", like=tmp_path / "reference")


def test_a_file_that_is_no_record_is_named(dataset: ExtendedDataset, planner: StubPlanner, tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "Phantom_001.json").write_text('{"engine": "fluence"}')
    with pytest.raises(DoseloError, match=r"Phantom_001\.json: is no record of `doselo plan`"):
        planned(dataset)


def test_labels_on_another_grid_are_refused(dataset: ExtendedDataset, planner: StubPlanner, tmp_path: Path) -> None:
    labels = phantoms.target(1).astype(np.uint8)
    write_array(tmp_path / "moved" / "Phantom_001.nii.gz", labels, phantoms.grid_for(spacing_mm=(3.0, 3.0, 2.5)))
    with pytest.raises(DoseloError, match=r"Phantom_001\.nii\.gz: must lie on the grid of the case's CT: spacing"):
        planned(dataset, labels=tmp_path / "moved")


@pytest.mark.parametrize(("name", "found"), [("Phantom_000", r"\['Phantom_000'\]"), (None, "none")])
def test_label_maps_of_another_split_are_refused(
    dataset: ExtendedDataset, planner: StubPlanner, tmp_path: Path, name: str | None, found: str
) -> None:
    if name:
        write_array(tmp_path / "other" / f"{name}.nii.gz", phantoms.target(0).astype(np.uint8), phantoms.grid_for())
    with pytest.raises(DoseloError, match=rf"like ctTs \(for example Phantom_001\.nii\.gz\), found {found}"):
        planned(dataset, labels=tmp_path / "other")


def test_an_unknown_engine_is_refused(dataset: ExtendedDataset) -> None:
    with pytest.raises(DoseloError, match="engine must be one of fluence, pydosert, found matrad"):
        planned(dataset, engine="matrad")
