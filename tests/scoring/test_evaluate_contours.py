"""Several sets of contours: planned alike, evaluated each, compared; with a planner that gives what was prescribed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
from predictors import sixty_times_target, stand_in
from stub_planner import BEAMS, ISOCENTRE_MM, StubPlanner

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import read_array, write_array
from nnunet_doselo.evaluation.comparison import Comparison
from nnunet_doselo.evaluation.evaluation_file import read_evaluation
from nnunet_doselo.scoring.compared_folders import EvaluationSettings, evaluate_contours, name_sets
from nnunet_doselo.scoring.dose_origins import ContourSet, DoseOrigin, FolderOrigin, OneSource, PlannerOrigin
from nnunet_doselo.scoring.predicted_doses import PredictedDoses

CASES = ["Phantom_000", "Phantom_001"]


@pytest.fixture
def dataset(tmp_path: Path) -> ExtendedDataset:
    return phantoms.write_extended_dataset(tmp_path / "Dataset001_Head", cases=0, test_cases=2)


@pytest.fixture
def sets(dataset: ExtendedDataset, tmp_path: Path) -> list[ContourSet]:
    """The true contours, and the same moved by one voxel."""
    for case in CASES:
        labels, grid = read_array(dataset.path("labels", case, "Ts"))
        write_array(tmp_path / "right" / f"{case}.nii.gz", labels, grid)
        write_array(tmp_path / "shifted" / f"{case}.nii.gz", np.roll(labels, 1, axis=2), grid)
    return name_sets([tmp_path / "right", tmp_path / "shifted"])


@pytest.fixture(autouse=True)
def quick_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the worst and the median case: they are drawn in earnest where every case is."""
    monkeypatch.setattr("nnunet_doselo.scoring.contour_folder.draw_case", lambda path, found: path.touch())


@pytest.fixture
def planner(monkeypatch: pytest.MonkeyPatch) -> StubPlanner:
    return StubPlanner().install(monkeypatch)


def run(
    dataset: ExtendedDataset, sets: Sequence[ContourSet], origin: DoseOrigin, output: Path, **more: Any
) -> Comparison:
    return evaluate_contours(dataset, sets, origin, output, settings=EvaluationSettings(), **more)


def planned(dataset: ExtendedDataset, output: Path, reference: Path | None = None) -> PlannerOrigin:
    return PlannerOrigin(dataset, output, "fluence", "Ts", 1, reference)


def test_all_contours_are_planned_like_the_reference_and_once(
    dataset: ExtendedDataset, sets: list[ContourSet], planner: StubPlanner, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = run(dataset, sets, planned(dataset, out), out)
    # the references choose isocentre and beams; both sets and the second plans of the references take them over
    given = [(call["isocentre_mm"], call["beams"]) for call in planner.calls]
    assert given == [(None, None)] * 2 + [(ISOCENTRE_MM, BEAMS)] * 6
    assert {path.name for path in out.iterdir()} == {
        *("reference", "right", "shifted", "noise_floor", "comparison.json", "comparison.csv")
    }
    assert found.table.values["union_rmae"]["right"] == dict.fromkeys(CASES, 0)
    assert all(value > 0 for value in found.table.values["union_rmae"]["shifted"].values())
    assert found.noise_floor is not None
    assert (found.noise_floor["union_rmae"].max, found.noise_floor["union_rmae"].cases) == (0, 2)
    assert found.dose["kind"] == "open planner"
    run(dataset, sets, planned(dataset, out), out)
    assert len(planner.calls) == 8


def test_an_interrupted_run_plans_only_what_is_left(
    dataset: ExtendedDataset, sets: list[ContourSet], planner: StubPlanner, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    planner.fails_at = 4
    with pytest.raises(DoseloError, match="case Phantom_001: RuntimeError: no fluence"):
        run(dataset, sets, planned(dataset, out), out)
    planner.fails_at = 0
    run(dataset, sets, planned(dataset, out), out)
    assert len(planner.calls) == 4 + 5


def test_plans_of_the_references_that_are_there_are_taken(
    dataset: ExtendedDataset, sets: list[ContourSet], planner: StubPlanner, tmp_path: Path
) -> None:
    run(dataset, sets[:1], planned(dataset, tmp_path / "out"), tmp_path / "out")
    before = len(planner.calls)
    other = planned(dataset, tmp_path / "other", reference=tmp_path / "out" / "reference")
    found = run(dataset, sets[1:], other, tmp_path / "other")
    assert len(planner.calls) == before + 4
    assert not (tmp_path / "other" / "reference").exists()
    assert str(tmp_path / "out" / "reference") in found.provenance["reference_dose"]


def test_folders_of_doses_go_with_the_contours_of_their_place(
    dataset: ExtendedDataset, sets: list[ContourSet], tmp_path: Path
) -> None:
    """The dataset's own dose for the first, half of it for the second."""
    for case in CASES:
        dose_gy, grid = read_array(dataset.path("dose", case, "Ts"))
        write_array(tmp_path / "doses" / f"{case}.nii.gz", dose_gy, grid)
        write_array(tmp_path / "half" / f"{case}.nii.gz", dose_gy / 2, grid)
    origin = FolderOrigin(dataset, {"right": tmp_path / "doses", "shifted": tmp_path / "half"}, None, "Ts")
    found = run(dataset, sets, origin, tmp_path / "out", baseline="shifted")
    assert found.baseline == "shifted"
    assert found.noise_floor is None
    assert found.table.values["union_rmae"] == {
        "right": dict.fromkeys(CASES, 0),
        "shifted": dict.fromkeys(CASES, pytest.approx(0.5)),
    }
    (right,) = found.table.tests["union_rmae"].values()
    assert (right.better, right.worse, right.mean_difference) == (2, 0, pytest.approx(-0.5))
    assert found.structures.values["GTV_dmean_gy"]["right"] == dict.fromkeys(CASES, 0)


def test_predicted_doses_are_kept_and_references_predicted_once(
    dataset: ExtendedDataset, sets: list[ContourSet], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    source = PredictedDoses(dataset, stand_in(sixty_times_target), references=out / "reference_doses")
    found = run(dataset, sets, OneSource(source), out)
    assert found.dose["kind"] == "predicted"
    files = read_evaluation(out / "shifted").cases[0].files
    assert files["reference_dose"] == str(out / "reference_doses" / "Phantom_000.nii.gz")
    assert files["evaluated_dose"] == str(out / "shifted" / "doses" / "Phantom_000.nii.gz")
    labels, _ = read_array(Path(files["evaluated_labels"]))
    assert np.array_equal(read_array(Path(files["evaluated_dose"]))[0], 60.0 * labels)
    written = {path.stat().st_mtime_ns for path in (out / "reference_doses").iterdir()}
    assert max(written) < (out / "shifted" / "doses" / "Phantom_000.nii.gz").stat().st_mtime_ns


def test_contours_of_other_cases_are_refused_or_left_out(
    dataset: ExtendedDataset, sets: list[ContourSet], planner: StubPlanner, tmp_path: Path
) -> None:
    (tmp_path / "shifted" / "Phantom_001.nii.gz").unlink()
    out = tmp_path / "out"
    with pytest.raises(DoseloError, match=r"must have the same cases .*; missing are in shifted Phantom_001; predict"):
        run(dataset, sets, planned(dataset, out), out)
    assert planner.calls == []
    found = run(dataset, sets, planned(dataset, out), out, common_cases=True)
    assert found.order == ["Phantom_000"]
    assert found.remarks[0] == "left out, because not all contours have them: in shifted Phantom_001"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["one"], "one for each of 2 folders, found one"),
        (["one", "one"], "must have different names, .* found one, one; give all of them with --name"),
        (["one", "a/b"], "found 'a/b'"),
        (["one", ".."], r"found '\.\.'"),
        (["one", "reference"], "none of reference, noise_floor, reference_doses, found 'reference'"),
    ],
)
def test_names_have_to_name_folders(names: list[str], message: str) -> None:
    with pytest.raises(DoseloError, match=message):
        name_sets([Path("a"), Path("b")], names)


def test_folders_of_the_same_name_have_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(DoseloError, match="found validation, validation; give all of them with --name"):
        name_sets([tmp_path / "a" / "validation", tmp_path / "b" / "validation"])


def test_an_unknown_baseline_is_refused_before_anything_is_planned(
    dataset: ExtendedDataset, sets: list[ContourSet], planner: StubPlanner, tmp_path: Path
) -> None:
    with pytest.raises(DoseloError, match="the baseline must be one of right, shifted, found left"):
        run(dataset, sets, planned(dataset, tmp_path), tmp_path, baseline="left")
    assert planner.calls == []


def test_an_evaluation_says_what_it_needs_to(
    dataset: ExtendedDataset, sets: list[ContourSet], planner: StubPlanner, tmp_path: Path
) -> None:
    run(dataset, sets[:1], planned(dataset, tmp_path / "out"), tmp_path / "out")
    content = json.loads((tmp_path / "out" / "right" / "evaluation.json").read_text())
    assert content["dataset"] == {
        "name": "Dataset001_Head",
        "split": "Ts",
        "prescription_gy": 60.0,
        "target_gy": {"GTV": 60.0},
        "oars": phantoms.OARS,
        "target_labels": {"GTV": [1]},
    }
    assert content["provenance"]["gamma"].startswith("global 3 %/2 mm")
    assert "GTV: D95 >= 57 Gy" in content["provenance"]["goals"]["goals"]
    (first, _) = content["cases"]
    assert Path(first["files"]["reference_dose"]) == tmp_path / "out" / "reference" / "Phantom_000.nii.gz"
    assert [Path(image).exists() for image in first["files"]["images"]] == [True]
    assert set(first["structures"]) == {"GTV", *phantoms.OARS}
    assert first["structures"]["GTV"]["reference"]["dmean_gy"] == pytest.approx(60)
