"""The gate from contours to card, on a planner whose dose is the prescription and on predictors that are known."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
import torch
from predictors import card_of, random_network, sixty_times_target, stand_in
from stub_planner import BEAMS, ISOCENTRE_MM, StubPlanner
from torch import Tensor
from typer.testing import CliRunner

from nnunet_doselo.cli import app
from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.sensitivity import sensitivity_line
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import write_array
from nnunet_doselo.planning.contour_edits import FUNCTIONS
from nnunet_doselo.predictor.artifact import FILE_NAME, load_predictor, save_predictor
from nnunet_doselo.predictor.card import PredictorCard
from nnunet_doselo.predictor_training.data.cache import data_hash
from nnunet_doselo.predictor_training.sensitivity.edited_plans import SensitivitySettings
from nnunet_doselo.predictor_training.sensitivity.gate import measure
from nnunet_doselo.predictor_training.training.run_folder import (
    ARTIFACT_FILE,
    SETTINGS_FILE,
    held_out_patients,
    is_artifact_of,
    record_artifact,
)

CASES = ["Phantom_000", "Phantom_001", "Phantom_002"]
SHAPE = (16, 40, 40)
"""Large enough for an island 20 mm away from the target."""


@pytest.fixture
def dataset(tmp_path: Path) -> ExtendedDataset:
    return phantoms.write_extended_dataset(tmp_path / "raw" / "Dataset001_Head", cases=3, test_cases=1, shape=SHAPE)


@pytest.fixture(autouse=True)
def planner(monkeypatch: pytest.MonkeyPatch) -> StubPlanner:
    return StubPlanner().install(monkeypatch)


def measured(
    dataset: ExtendedDataset, dose: Callable[[Tensor, Tensor, Tensor], Tensor], cases: list[str] = CASES, **options: Any
) -> dict[str, Any]:
    output = dataset.folder.parent / "sensitivity"
    return measure(stand_in(dose), dataset, cases, output, SensitivitySettings(**options))


def half(target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
    return 30 * target


def deaf(target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
    """As good as any predictor for contours that are always right: it never looks at them."""
    return torch.full_like(target, 20.0)


def test_a_predictor_that_is_the_planner_answers_perfectly(dataset: ExtendedDataset) -> None:
    found = measured(dataset, sixty_times_target)
    assert (found["cases"], found["edits"], found["engine"], found["seed"]) == (3, 15, "fluence", 0)
    assert [found[name] for name in ("r", "slope", "voxel_r")] == pytest.approx([1, 1, 1])
    assert set(found["kinds"]) == set(FUNCTIONS)
    assert all(figures["edits"] == 3 for figures in found["kinds"].values())
    assert found["island"] == {"edits": 3, "planned_rise_gy": 60, "predicted_rise_gy": 60, "share_raised": 1}


def test_half_of_the_dose_is_half_of_the_slope(dataset: ExtendedDataset) -> None:
    found = measured(dataset, half)
    assert [found[name] for name in ("r", "slope", "voxel_r")] == pytest.approx([1, 0.5, 1])
    assert (found["island"]["predicted_rise_gy"], found["island"]["share_raised"]) == (30, 1)


def test_a_predictor_that_ignores_the_contour_is_insensitive(dataset: ExtendedDataset) -> None:
    found = measured(dataset, deaf)
    assert (found["r"], found["slope"], found["voxel_r"]) == (None, 0, 0)
    assert found["island"]["share_raised"] == 0
    assert sensitivity_line(found).startswith("WARNING")
    json.dumps(found, allow_nan=False)


def test_edits_are_planned_with_isocentre_and_beams_of_the_reference(
    dataset: ExtendedDataset, planner: StubPlanner
) -> None:
    measured(dataset, half, CASES[:1], engine="pydosert")
    assert [call["isocentre_mm"] for call in planner.calls] == [None] + 5 * [ISOCENTRE_MM]
    assert [call["beams"] for call in planner.calls] == [None] + 5 * [BEAMS]
    assert {call["engine"] for call in planner.calls} == {"pydosert"}


def test_what_was_planned_is_kept_and_other_seeds_plan_their_own(
    dataset: ExtendedDataset, planner: StubPlanner
) -> None:
    first = measured(dataset, half)
    assert len(planner.calls) == 3 * 6
    assert measured(dataset, half) == first
    assert len(planner.calls) == 3 * 6
    measured(dataset, half, CASES[:1], seed=1)
    assert len(planner.calls) == 3 * 6 + 5


def test_a_row_an_edit_and_a_picture(dataset: ExtendedDataset) -> None:
    figures = measured(dataset, half, edits=2)
    folder = dataset.folder.parent / "sensitivity"
    rows = list(csv.DictReader((folder / "sensitivity.csv").read_text().splitlines()))
    assert len(rows) == figures["edits"] == 3 * 10
    assert {row["case"] for row in rows} == set(CASES)
    for row in rows:
        assert float(row["predicted_change_gy"]) == pytest.approx(0.5 * float(row["planned_change_gy"]))
        assert json.loads(row["parameters"])
    assert all((row["island_planned_rise_gy"] != "nan") == (row["kind"] == "island") for row in rows)
    assert (folder / "sensitivity.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "sensitivity.json").read_text()).items() >= figures.items()
    assert (folder / "labels" / "edit_10" / "Phantom_002.nii.gz").exists()


def test_patients_without_a_target_are_left_out(dataset: ExtendedDataset) -> None:
    write_array(dataset.path("labels", CASES[1]), np.zeros(SHAPE, np.uint8), phantoms.grid_for(SHAPE))
    assert measured(dataset, half)["cases"] == 2
    with pytest.raises(DoseloError, match="needs patients with a target, found none among 1 cases"):
        measured(dataset, half, CASES[1:2])


def test_a_predictor_for_other_organs_is_refused_before_anything_is_planned(
    dataset: ExtendedDataset, planner: StubPlanner, tmp_path: Path
) -> None:
    other = stand_in(half, oars={"Brainstem": 1})
    with pytest.raises(DoseloError, match="was made for organs"):
        measure(other, dataset, CASES, tmp_path / "out", SensitivitySettings())
    assert planner.calls == []


@pytest.mark.parametrize("wrong", [SensitivitySettings(edits=0), SensitivitySettings(seed=-1)])
def test_settings_out_of_range_are_refused(
    dataset: ExtendedDataset, tmp_path: Path, wrong: SensitivitySettings
) -> None:
    with pytest.raises(DoseloError, match="at least 1 edit of each kind and a seed from 0"):
        measure(stand_in(half), dataset, CASES, tmp_path / "out", wrong)


@pytest.fixture
def run(dataset: ExtendedDataset, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was trained on one patient and validated on two, one of them with a variant, and its predictor."""
    root = dataset.folder.parent.parent
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(root / name))
    monkeypatch.delenv("nnUNet_dose_predictor", raising=False)
    run = root / "results" / dataset.folder.name / "DosePredictor__default"
    run.mkdir(parents=True)
    cases = {"training": CASES[:1], "validation": ["Phantom_001", "Phantom_002", "Phantom_002_v1"]}
    (run / "settings.json").write_text(json.dumps(cases))
    network = random_network()
    card = card_of(network, training_data_sha256=data_hash(dataset, CASES[:1]))
    record_artifact(run, save_predictor(network, card, root / "preprocessed" / dataset.folder.name / FILE_NAME))
    return run


def artifact(run: Path) -> Path:
    return Path(json.loads((run / "artifact.json").read_text())["path"])


def test_patients_that_were_held_out_come_once(run: Path, dataset: ExtendedDataset) -> None:
    assert held_out_patients(run, dataset, load_predictor(artifact(run))) == CASES[1:]


def test_a_record_of_the_run_that_was_cut_short_is_one_clear_error(run: Path, dataset: ExtendedDataset) -> None:
    predictor = load_predictor(artifact(run))
    assert is_artifact_of(run, predictor)
    for name in (ARTIFACT_FILE, SETTINGS_FILE):
        (run / name).write_bytes((run / name).read_bytes()[:20])
    with pytest.raises(DoseloError, match=r"artifact\.json: not valid JSON .*; remove it and run `doselo train-pred"):
        is_artifact_of(run, predictor)
    with pytest.raises(DoseloError, match=r"settings\.json: not valid JSON"):
        held_out_patients(run, dataset, predictor)


def test_who_was_held_out_must_be_known(run: Path, dataset: ExtendedDataset) -> None:
    other: PredictorCard = card_of(random_network())
    with pytest.raises(
        DoseloError, match=r"stand_in\.ts: was not trained on the cases of .*settings\.json as they are"
    ):
        held_out_patients(run, dataset, stand_in(half, training_data_sha256=other.training_data_sha256))
    with pytest.raises(DoseloError, match=r"settings\.json: says which cases .* --run, or take the test cases"):
        held_out_patients(run.with_name("DosePredictor__other"), dataset, load_predictor(artifact(run)))


def doselo(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["sensitivity", "1", "-np", "1", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_writes_the_figures_into_the_card(run: Path) -> None:
    text = doselo()
    assert "voxel by voxel r" in text
    assert "written into the card of" in text
    predictor = load_predictor(artifact(run))
    assert predictor.card.sensitivity is not None
    assert (predictor.card.sensitivity["cases"], predictor.card.sensitivity["edits"]) == (2, 10)
    assert json.loads((run / "artifact.json").read_text())["sha256"] == predictor.sha256
    assert (run / "sensitivity" / "sensitivity.png").exists()


def test_a_dry_run_leaves_the_card(run: Path, tmp_path: Path) -> None:
    text = doselo("--dry-run", "--split", "Ts", "--cases", "1", "-o", str(tmp_path / "out"))
    assert "written into the card" not in text
    assert load_predictor(artifact(run)).card.sensitivity is None
    rows = list(csv.DictReader((tmp_path / "out" / "sensitivity.csv").read_text().splitlines()))
    assert {row["case"] for row in rows} == {"Phantom_003"}
