"""What a folder of predicted contours costs, with a predictor that gives 60 Gy in the target and nothing outside."""

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
from predictors import SHA256, sixty_times_target, stand_in
from torch import Tensor

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.hashing import sha256_of
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import write_array
from nnunet_doselo.evaluation.evaluation_file import CaseResult
from nnunet_doselo.planning.plan_record import PlanRecord, record_path
from nnunet_doselo.scoring.contour_folder import evaluate_folder
from nnunet_doselo.scoring.dose_sources import DoseSource, PlannedDoses
from nnunet_doselo.scoring.predicted_doses import PredictedDoses

CASES = ["Phantom_001", "Phantom_002"]
PREDICTOR = stand_in(sixty_times_target)
WRITTEN = {"evaluation.json", "summary.json", "scores.csv", "structures.csv", "islands.csv", "goals.csv"}
PREDICTED = {"doses", "reference_doses"}


@pytest.fixture
def dataset(tmp_path: Path) -> ExtendedDataset:
    """Two test cases, each with a cube of 4 x 4 x 4 voxels of 3 mm."""
    dataset = phantoms.write_extended_dataset(tmp_path / "Dataset001_Head", cases=1, test_cases=2)
    for case in CASES:
        write(dataset.path("labels", case, "Ts"), cube())
    return dataset


@pytest.fixture(autouse=True)
def quick_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the worst and the median case: they are drawn in earnest where every case is."""
    monkeypatch.setattr("nnunet_doselo.scoring.contour_folder.draw_case", lambda path, found: path.touch())


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    return tmp_path / "predictions"


def cube(shift: int = 0) -> np.ndarray:
    labels = np.zeros(phantoms.SHAPE, np.uint8)
    labels[6:10, 12:16, 12 + shift : 16 + shift] = 1
    return labels


def write(path: Path, labels: np.ndarray, **grid: Any) -> None:
    write_array(path, labels, phantoms.grid_for(labels.shape, **grid))


def predict(folder: Path, *labels: np.ndarray) -> None:
    for case, predicted in zip(CASES, labels, strict=False):
        write(folder / f"{case}.nii.gz", predicted)


def scored(dataset: ExtendedDataset, predictions: Path, source: DoseSource | None = None) -> Sequence[CaseResult]:
    source = source or PredictedDoses(dataset, PREDICTOR)
    return evaluate_folder(dataset, predictions, source, predictions.parent / "out").cases


def summary(predictions: Path) -> dict[str, Any]:
    return json.loads((predictions.parent / "out" / "summary.json").read_text())


def test_identical_contours_cost_nothing(dataset: ExtendedDataset, predictions: Path) -> None:
    predict(predictions, cube(), cube())
    rows = scored(dataset, predictions)
    assert [row.case for row in rows] == CASES
    for row in rows:
        assert row.score("union_rmae") == row.score("rmae") == 0
        assert row.score("dose_score_gy") == row.score("target_fp_beyond_20mm_cc") == 0
        assert row.score("target_hd95_mm") == row.score("GTV_hd95_mm") == 0
        assert row.score("target_dice") == row.score("GTV_dice") == 1


def test_a_shift_by_one_voxel_by_hand(dataset: ExtendedDataset, predictions: Path) -> None:
    """48 of 64 voxels are common, 16 lose 60 Gy and 16 others get it, which is ten times the threshold."""
    predict(predictions, cube(shift=1))
    (row,) = scored(dataset, predictions)
    assert row.score("rmae") == pytest.approx(16 / 64)
    assert row.score("union_rmae") == pytest.approx((16 * 1 + 16 * 10) / 80)
    assert row.score("dose_score_gy") == pytest.approx(32 * 60 / phantoms.head().sum())
    assert row.score("target_dice") == pytest.approx(0.75)
    assert row.score("target_hd95_mm") == pytest.approx(3)
    assert row.score("target_fp_beyond_20mm_cc") == 0


def test_dose_predicted_outside_the_body_does_not_count(dataset: ExtendedDataset, predictions: Path) -> None:
    """The shifted cube of above, whose last column of voxels now also brings 100 Gy to the air at x = 0."""

    def leaking(target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
        dose = 60 * target
        dose[..., 0] = 100 * target[..., 16]
        return dose

    predict(predictions, cube(shift=1))
    (row,) = scored(dataset, predictions, PredictedDoses(dataset, stand_in(leaking)))
    body = phantoms.head()
    planned_gy = phantoms.dose_for(phantoms.target(1))
    assert row.score("dose_score_gy") == pytest.approx(32 * 60 / body.sum())
    expected = np.abs(60 * cube(shift=1) - planned_gy).sum() / body.sum()
    assert row.score("dose_score_vs_planned_gy") == pytest.approx(expected)


def test_a_far_island_is_counted_in_cc(dataset: ExtendedDataset, predictions: Path) -> None:
    island = cube()
    island[8, 26, 14:16] = 1  # 11 voxels of 3 mm away, two of 27 mm3
    predict(predictions, island)
    (row,) = scored(dataset, predictions)
    assert row.score("target_fp_beyond_20mm_cc") == pytest.approx(0.054)


def test_the_predictors_own_error_stands_beside(dataset: ExtendedDataset, predictions: Path) -> None:
    """Planned: 50 Gy in the reference cube. The predictor says 60 there, for a prediction elsewhere nothing."""
    for case in CASES:
        write(dataset.path("dose", case, "Ts"), (50 * cube()).astype(np.float32))
    predict(predictions, cube(), 0 * cube())
    right, empty = scored(dataset, predictions)
    body = phantoms.head().sum()
    assert right.score("predictor_error_gy") == pytest.approx(64 * 10 / body)
    assert right.score("dose_score_vs_planned_gy") == pytest.approx(64 * 10 / body)
    assert empty.score("dose_score_vs_planned_gy") == pytest.approx(64 * 50 / body)
    assert empty.score("predictor_error_gy") == pytest.approx(64 * 10 / body)


def test_without_planned_doses_there_is_no_such_column(dataset: ExtendedDataset, predictions: Path) -> None:
    for case in CASES:
        dataset.path("dose", case, "Ts").unlink()
    predict(predictions, cube())
    (row,) = scored(dataset, predictions)
    assert not [name for name in row.scores if "planned" in name or "predictor" in name]


def test_an_empty_prediction_has_no_distance_and_is_named(dataset: ExtendedDataset, predictions: Path) -> None:
    predict(predictions, cube(), 0 * cube())
    _, empty = scored(dataset, predictions)
    assert np.isnan(empty.score("target_hd95_mm"))
    assert (empty.score("target_dice"), empty.score("union_rmae"), empty.score("rmae")) == (0, 1, 1)
    hd95 = summary(predictions)["metrics"]["target_hd95_mm"]
    assert hd95["not_finite"] == ["Phantom_002"]
    assert (hd95["mean"], hd95["finite_cases"]) == (0, 1)


def test_of_an_empty_reference_all_that_was_drawn_is_wrong(dataset: ExtendedDataset, predictions: Path) -> None:
    write(dataset.path("labels", "Phantom_001", "Ts"), 0 * cube())
    predict(predictions, cube())
    (row,) = scored(dataset, predictions)
    assert np.isnan(row.score("rmae"))
    assert row.score("union_rmae") == pytest.approx(10)
    assert row.score("dose_score_gy") == pytest.approx(64 * 60 / phantoms.head().sum())
    assert {file.name for file in (predictions.parent / "out").iterdir()} == WRITTEN | PREDICTED | {
        "worst.png",
        "median.png",
    }


def test_without_any_dose_there_are_no_pictures(dataset: ExtendedDataset, predictions: Path) -> None:
    write(dataset.path("labels", "Phantom_001", "Ts"), 0 * cube())
    predict(predictions, 0 * cube())
    (row,) = scored(dataset, predictions)
    assert np.isnan(row.score("union_rmae"))
    assert {file.name for file in (predictions.parent / "out").iterdir()} == WRITTEN | PREDICTED


def test_table_summary_and_pictures_say_where_they_come_from(dataset: ExtendedDataset, predictions: Path) -> None:
    predict(predictions, cube(shift=1))
    scored(dataset, predictions)
    out = predictions.parent / "out"
    assert {file.name for file in out.iterdir()} == WRITTEN | PREDICTED | {"worst.png", "median.png"}
    (row,) = csv.DictReader((out / "scores.csv").read_text().splitlines())
    assert (row["case"], float(row["union_rmae"]), float(row["rmae"])) == ("Phantom_001", 2.2, 0.25)
    said = summary(predictions)["provenance"]
    assert said["dose_predictor"]["sha256"] == SHA256
    assert said["dose_predictor"]["mae_gy"] == 1.5
    assert (said["rmae_threshold_of_rx"], said["prescription_gy"]) == (0.1, 60)
    assert said["cases"] == "1 of 2 in the split"
    assert {"nnunet-doselo", "torch", "surface-distance"} <= said["versions"].keys()
    assert "no treatment planning system" in said["evaluated_dose"]


def test_training_cases_can_be_scored_too(dataset: ExtendedDataset, tmp_path: Path) -> None:
    source = PredictedDoses(dataset, PREDICTOR, split="Tr")
    (row,) = evaluate_folder(dataset, dataset.folder / "labelsTr", source, tmp_path / "out", split="Tr").cases
    assert (row.case, row.score("target_dice")) == ("Phantom_000", 1)


def test_cases_can_be_named(dataset: ExtendedDataset, predictions: Path) -> None:
    predict(predictions, cube(), cube())
    source, out = PredictedDoses(dataset, PREDICTOR), predictions.parent / "out"
    found = evaluate_folder(dataset, predictions, source, out, cases=CASES[1:], name="fold 0")
    assert ([row.case for row in found.cases], found.name) == (CASES[1:], "fold 0")
    assert found.provenance["cases"] == "1 of 2 in the split"
    with pytest.raises(DoseloError, match="a prediction of 2 cases of labelsTs, missing 1: Phantom_009"):
        evaluate_folder(dataset, predictions, source, out, cases=["Phantom_001", "Phantom_009"])


def test_a_region_is_scored_as_the_union_of_its_labels(dataset: ExtendedDataset, predictions: Path) -> None:
    content = json.loads((dataset.folder / "dataset.json").read_text())
    content["labels"] = {"background": 0, "GTV": [1, 2], "core": [2]}
    (dataset.folder / "dataset.json").write_text(json.dumps(content))
    other_label = cube() * 2
    predict(predictions, other_label)
    (row,) = scored(ExtendedDataset(dataset.folder), predictions)
    assert (row.score("rmae"), row.score("GTV_dice"), row.score("target_hd95_mm")) == (0, 1, 0)


def test_a_prediction_on_another_grid_is_refused(dataset: ExtendedDataset, predictions: Path) -> None:
    write(predictions / "Phantom_001.nii.gz", cube(), spacing_mm=(3.0, 3.0, 2.5))
    with pytest.raises(
        DoseloError, match=r"Phantom_001\.nii\.gz: must lie on the grid .*: spacing \(2\.5, 3\.0, 3\.0\)"
    ):
        scored(dataset, predictions)
    assert not (predictions.parent / "out").exists()


@pytest.mark.parametrize("name", [None, "Phantom_000.nii.gz"])
def test_without_a_prediction_for_the_split_the_error_shows_names(
    dataset: ExtendedDataset, predictions: Path, name: str | None
) -> None:
    if name:
        write(predictions / name, cube())
    found = r"\['Phantom_000'\]" if name else "none"
    with pytest.raises(DoseloError, match=rf"named like labelsTs \(for example Phantom_001\.nii\.gz\), found {found}"):
        scored(dataset, predictions)


def test_a_predictor_for_other_organs_is_refused(dataset: ExtendedDataset, predictions: Path) -> None:
    predict(predictions, cube())
    other = stand_in(sixty_times_target, oars={"SpinalCord": 1})
    with pytest.raises(DoseloError, match=r"stand_in\.ts: was made for organs .*SpinalCord"):
        scored(dataset, predictions, PredictedDoses(dataset, other))


def doses_in(folder: Path, *doses_gy: np.ndarray) -> Path:
    for case, dose_gy in zip(CASES, doses_gy, strict=False):
        write(folder / f"{case}.nii.gz", dose_gy.astype(np.float32))
    return folder


def record(folder: Path, case: str, labels: Path, **changes: Any) -> None:
    content = {
        "engine": "fluence",
        "isocentre_mm": (0.0, 0.0, 0.0),
        "gantry_deg": (0.0, 180.0),
        "bixel_mm": 3.0,
        "prescription_gy": 60.0,
        "iterations": 5,
        "converged": True,
        "notes": (),
        "inputs": {"labels_sha256": sha256_of(labels)},
        "versions": {},
    }
    PlanRecord(**{**content, **changes}).write(record_path(folder, case))


@pytest.fixture
def planned(dataset: ExtendedDataset, predictions: Path, tmp_path: Path) -> Path:
    """References planned to 50 Gy. Predicted: the first case shifted by a voxel, the second empty; doses of 50 Gy."""
    for case in CASES:
        write(dataset.path("dose", case, "Ts"), (50 * cube()).astype(np.float32))
    predict(predictions, cube(shift=1), 0 * cube())
    return doses_in(tmp_path / "planned", 50 * cube(shift=1), 0 * cube())


def test_planned_doses_are_compared_with_the_datasets_by_hand(
    dataset: ExtendedDataset, predictions: Path, planned: Path
) -> None:
    """16 of 64 voxels lose 50 Gy and 16 others get it; the empty contour loses all."""
    shifted, empty = scored(dataset, predictions, PlannedDoses(dataset, planned))
    body = phantoms.head().sum()
    assert shifted.score("rmae") == pytest.approx(16 / 64)
    assert shifted.score("dose_score_gy") == pytest.approx(32 * 50 / body)
    assert (empty.score("union_rmae"), empty.score("rmae"), empty.score("target_dice")) == (1, 1, 0)
    assert empty.score("dose_score_gy") == pytest.approx(64 * 50 / body)
    assert np.isnan(empty.score("target_hd95_mm"))
    assert not [name for name in shifted.scores if "predictor" in name or "planned" in name]


def test_reference_doses_can_be_others_than_the_datasets(
    dataset: ExtendedDataset, predictions: Path, planned: Path, tmp_path: Path
) -> None:
    references = doses_in(tmp_path / "references", 40 * cube(), 40 * cube())
    source = PlannedDoses(dataset, planned, references)
    shifted, _ = scored(dataset, predictions, source)
    assert shifted.score("rmae") == pytest.approx((48 * 10 / 40 + 16) / 64)
    assert shifted.score("union_rmae") == pytest.approx((48 * 10 / 40 + 16 + 16 * 50 / 6) / 80)
    assert summary(predictions)["provenance"]["reference_dose"].endswith(f"; {references}")


def test_the_summary_says_who_planned_the_doses(dataset: ExtendedDataset, predictions: Path, planned: Path) -> None:
    for case, notes in zip(CASES, ((), ("the target is empty",)), strict=True):
        record(planned, case, predictions / f"{case}.nii.gz", notes=notes)
    scored(dataset, predictions, PlannedDoses(dataset, planned))
    said = summary(predictions)["provenance"]
    assert said["evaluated_dose"].startswith("the built-in planner (engine fluence: ")
    assert said["evaluated_dose"].endswith(f"not a deliverable plan); {planned}")
    assert said["reference_dose"] == f"the dataset's own; {dataset.folder / 'doseTs'}"
    assert said["planner_remarks"] == {"Phantom_002": ["the target is empty"]}


def test_doses_without_records_are_said_to_have_none(
    dataset: ExtendedDataset, predictions: Path, planned: Path
) -> None:
    record(planned, "Phantom_001", predictions / "Phantom_001.nii.gz", engine="OurTPS 3.1")
    scored(dataset, predictions, PlannedDoses(dataset, planned))
    said = summary(predictions)["provenance"]["evaluated_dose"]
    assert said == f"OurTPS 3.1, files without a record of who planned them; {planned}"


def test_a_dose_planned_on_another_contour_is_refused(
    dataset: ExtendedDataset, predictions: Path, planned: Path
) -> None:
    record(planned, "Phantom_001", dataset.path("labels", "Phantom_001", "Ts"))
    with pytest.raises(DoseloError, match=r"Phantom_001\.nii\.gz: was planned on a label map of SHA-256 \w{12}…, but"):
        scored(dataset, predictions, PlannedDoses(dataset, planned))


def test_a_missing_dose_is_named_before_anything_is_scored(
    dataset: ExtendedDataset, predictions: Path, planned: Path
) -> None:
    (planned / "Phantom_002.nii.gz").unlink()
    with pytest.raises(DoseloError, match=r"evaluated doses of 2 cases, missing 1, for example Phantom_002\.nii\.gz"):
        scored(dataset, predictions, PlannedDoses(dataset, planned))
    assert not (predictions.parent / "out").exists()


def test_a_missing_reference_dose_is_named(dataset: ExtendedDataset, predictions: Path, planned: Path) -> None:
    dataset.path("dose", "Phantom_001", "Ts").unlink()
    with pytest.raises(DoseloError, match=r"doseTs: expected the reference doses of 2 cases, missing 1, for example"):
        scored(dataset, predictions, PlannedDoses(dataset, planned))


def test_a_dose_on_another_grid_is_refused(dataset: ExtendedDataset, predictions: Path, planned: Path) -> None:
    write(planned / "Phantom_001.nii.gz", cube().astype(np.float32), spacing_mm=(3.0, 3.0, 2.5))
    with pytest.raises(DoseloError, match=r"planned/Phantom_001\.nii\.gz: must lie on the grid"):
        scored(dataset, predictions, PlannedDoses(dataset, planned))


def test_every_case_is_drawn_on_request(dataset: ExtendedDataset, predictions: Path, planned: Path) -> None:
    out = predictions.parent / "out"
    evaluate_folder(dataset, predictions, PlannedDoses(dataset, planned), out, all_pictures=True)
    first, second = ((out / "pictures" / f"{case}.png").read_bytes() for case in CASES)
    # the empty contour loses all dose, 1; what the shifted one adds beside counts 50 / 6, which makes it 1.9
    assert ((out / "worst.png").read_bytes(), (out / "median.png").read_bytes()) == (first, second)


def test_planned_doses_need_neither_torch_nor_nnunet() -> None:
    code = (
        "import sys, nnunet_doselo.scoring.contour_folder; sys.exit(', '.join({'torch', 'nnunetv2'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr.strip()) == ("", "")
