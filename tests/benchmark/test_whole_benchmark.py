"""A benchmark of trainings that are finished already, in this process: what is taken over, and what is written."""

import json
import shutil
from pathlib import Path

import pytest
from finished_trainings import BCE, DATASET, DEFAULT, DOSELO, finish, go, make_project, model, play_scores, read
from predictors import card_of, random_network
from stub_planner import ISOCENTRE_MM, StubPlanner

from nnunet_doselo.benchmark.benchmark_run import Run
from nnunet_doselo.common.hashing import sha256_of
from nnunet_doselo.predictor.artifact import FILE_NAME, save_predictor


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_project(tmp_path, monkeypatch)
    StubPlanner().install(monkeypatch)
    play_scores(monkeypatch)
    return tmp_path


def test_finished_trainings_are_scored_and_compared(root: Path) -> None:
    finish(root, DEFAULT, BCE)
    outcome = go(root)
    assert (outcome.failed, outcome.waiting, outcome.compared) == ([], [], (DEFAULT, BCE))
    out = root / "out"
    comparison = read(root, "comparison.json")
    assert comparison["contours"] == {
        trainer: {f"fold {fold}": str(out / "evaluations" / trainer / f"fold_{fold}") for fold in (0, 1)}
        for trainer in (DEFAULT, BCE)
    }
    assert (comparison["baseline"], comparison["noise_floor"]) == (DEFAULT, str(out / "noise_floor"))
    assert comparison["titles"] == {DEFAULT: "nnU-Net", BCE: "BCE"}
    folder = out / "evaluations" / BCE / "fold_1"
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["cases"] == ["Phantom_001", "Phantom_002"]
    assert (evaluation["contours"], evaluation["split"]) == (str(folder / "predictions"), "Tr")
    record = json.loads((folder / "plans" / "Phantom_001.json").read_text())
    assert record["inputs"]["isocentre_mm"] == list(ISOCENTRE_MM), "that of the true contour's plan"


def test_a_guided_training_brings_its_curves_and_its_predictors_card(root: Path) -> None:
    network = random_network()
    predictor = save_predictor(network, card_of(network), root / "preprocessed" / DATASET / FILE_NAME)
    finish(root, DEFAULT)
    finish(root, DOSELO, predictor=sha256_of(predictor))
    assert go(root, DEFAULT, DOSELO).compared == (DEFAULT, DOSELO)
    assert read(root, f"evaluations/{DOSELO}/fold_0/curves.json") == {
        "epochs": 2,
        "train_loss": [0.5, 0.5],
        "val_loss": [None, None],
        "ema_dice": [0.1, 0.1],
        "train_dose_term": [0.01, 0.01],
    }
    card = read(root, "predictor_card.json")
    assert (card["sha256"], card["axes"]) == (sha256_of(predictor), "axial 2d")
    assert any("one dose predictor for 2 guided trainings" in said for said in read(root, "manifest.json")["same"])


def test_scores_and_tests_are_those_of_doselo_evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is played but the planner: contours moved by two voxels cost dose, the true ones none."""
    make_project(tmp_path, monkeypatch)
    StubPlanner().install(monkeypatch)
    finish(tmp_path, DEFAULT, folds=(0,), shift=2)
    finish(tmp_path, BCE, folds=(0,))
    assert go(tmp_path, folds=(0,)).compared == (DEFAULT, BCE)
    comparison = read(tmp_path, "comparison.json")
    assert comparison["values"]["target_dice"][BCE] == {"Phantom_000": 1.0}
    costs = comparison["values"]["union_rmae"]
    assert costs[DEFAULT]["Phantom_000"] > costs[BCE]["Phantom_000"] == 0
    assert comparison["noise_floor"]["union_rmae"] == {"mean": 0.0, "max": 0.0, "cases": 1}
    assert comparison["contours"][1]["evaluations"] == {"fold 0": f"evaluations/{BCE}/fold_0"}


def test_the_manifest_says_what_was_done_and_what_was_the_same(root: Path) -> None:
    finish(root, DEFAULT, BCE)
    go(root)
    manifest = read(root, "manifest.json")
    expected = {"format": "doselo-benchmark/1", "command": "doselo benchmark 31", "dataset": DATASET, "split": "Tr"}
    expected |= {"folds": [0, 1], "trainers": [DEFAULT, BCE], "seeds": [0]}
    assert {name: manifest[name] for name in expected} == expected
    assert manifest["hours"]["training"] == {DEFAULT: 4.0, BCE: 4.0}, "two folds of two hours"
    assert manifest["hours"]["all"] == pytest.approx(8, abs=0.1)
    assert "a GPU" in manifest["hardware"]
    assert manifest["synthetic"] is False, "dataset.json does not say so"
    assert {(training["epochs"], training["iterations"]) for training in manifest["trainings"]} == {(2, 3)}
    assert manifest["nnunets_length"] == {"epochs": 1000, "iterations": 250}
    assert {job["status"] for job in manifest["jobs"]} == {"done"}
    # 3 true contours planned twice and evaluated; 2 trainers x (2 folds x 4 jobs + 3 plans); the comparison
    assert len(manifest["jobs"]) == 3 * 2 + 1 + 2 * (2 * 4 + 3) + 1
    assert "2 epochs of 3 iterations in every training" in manifest["same"]
    assert "seed 0 at the start of 4 of 4 trainings" in manifest["same"]
    (remark,) = manifest["remarks"]
    assert remark.startswith("not begun by this benchmark, so its data are known from nnU-Net's copies of plans and")
    assert read(root, "comparison.json")["remarks"] == [remark]


def test_the_same_command_does_nothing_again(root: Path) -> None:
    finish(root, DEFAULT, BCE)
    go(root)
    before, created = times(root), read(root, "manifest.json")["created"]
    assert go(root).compared == (DEFAULT, BCE)
    assert times(root) == before
    assert read(root, "manifest.json")["created"] == created


def test_a_trainer_more_leaves_the_others_alone(root: Path) -> None:
    finish(root, DEFAULT, BCE, "nnUNetTrainerX")
    go(root)
    before = times(root)
    assert go(root, DEFAULT, BCE, "nnUNetTrainerX").compared == (DEFAULT, BCE, "nnUNetTrainerX")
    after = times(root)
    assert {file.name for file in before if after[file] != before[file]} == {"comparison.json"}


def times(root: Path) -> dict[Path, int]:
    """When the files of jobs were last changed."""
    files = (file for file in (root / "out").rglob("*") if file.is_file() and file.name != "manifest.json")
    return {file: file.stat().st_mtime_ns for file in files}


def test_what_is_missing_is_trained_from_the_seed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(root, DEFAULT)
    commands = []

    def play(run: Run, job: str, command: list[str]) -> None:
        commands.append(command[2:])
        finish(root, BCE, folds=(int(command[6]),))

    monkeypatch.setattr(Run, "command", play)
    assert go(root, device="cpu").compared == (DEFAULT, BCE)
    always = ["nnunet_doselo.benchmark.seeded_training", "0", DATASET, "2d_small"]
    which = ["-tr", BCE, "-p", "nnUNetPlans", "-device", "cpu"]
    assert commands == [[*always, str(fold), *which] for fold in (0, 1)]
    assert (model(root, BCE) / "fold_1" / "doselo_inputs.json").exists()


def test_what_was_begun_is_continued(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(root, DEFAULT)
    finish(root, BCE, folds=(0,))
    commands = []

    def play(run: Run, job: str, command: list[str]) -> None:
        commands.append(command)
        finish(root, BCE, folds=(1,))

    begun = model(root, BCE) / "fold_1" / "checkpoint_latest.pth"
    begun.parent.mkdir(parents=True)
    begun.touch()
    monkeypatch.setattr(Run, "command", play)
    assert go(root).compared == (DEFAULT, BCE)
    ((*_, last),) = commands
    assert last == "--c"
    assert not (begun.parent / "doselo_inputs.json").exists(), "nobody knows what it was begun with"


def test_a_validation_that_was_cut_short_is_made_up_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(root, DEFAULT, BCE)
    validation = model(root, BCE) / "fold_1" / "validation"
    moved = validation.rename(root / "elsewhere")
    commands = []

    def play(run: Run, job: str, command: list[str]) -> None:
        commands.append(command)
        moved.rename(validation)

    monkeypatch.setattr(Run, "command", play)
    assert go(root).compared == (DEFAULT, BCE)
    ((program, *arguments),) = commands
    assert Path(program).name == "nnUNetv2_train"
    assert arguments[:4] == [DATASET, "2d_small", "1", "--val"]


def test_test_cases_are_predicted_by_every_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path, monkeypatch, test_cases=2)
    StubPlanner().install(monkeypatch)
    play_scores(monkeypatch)
    finish(tmp_path, DEFAULT, BCE)
    commands = []

    def play(run: Run, job: str, command: list[str]) -> None:
        commands.append((job, command))
        output = Path(command[command.index("-o") + 1])
        shutil.copytree(tmp_path / "raw" / DATASET / "labelsTs", output)

    monkeypatch.setattr(Run, "command", play)
    assert go(tmp_path).compared == (DEFAULT, BCE)
    assert [job for job, _ in commands] == [f"prediction-{name}-fold_{k}" for k in (0, 1) for name in (DEFAULT, BCE)]
    (program, *arguments) = commands[3][1]
    assert Path(program).name == "nnUNetv2_predict"
    assert arguments[arguments.index("-f") + 1] == "1"
    assert read(tmp_path, f"evaluations/{BCE}/fold_0/evaluation.json")["cases"] == ["Phantom_003", "Phantom_004"]


def test_a_training_that_came_to_nothing_leaves_no_note(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(root, DEFAULT)

    def fail(run: Run, job: str, command: list[str]) -> None:
        raise MemoryError

    monkeypatch.setattr(Run, "command", fail)
    outcome = go(root)
    assert [record.name for record in outcome.failed] == [f"training-{BCE}-fold_{fold}" for fold in (0, 1)]
    assert len(outcome.waiting) == 2 * 3 + 3
    assert outcome.compared == (DEFAULT,)
    assert not model(root, BCE).exists()
    assert f"left out of the comparison, because not all of their runs are there: {BCE}" in outcome.remarks
    jobs = {job["name"]: job for job in read(root, "manifest.json")["jobs"]}
    assert jobs[f"training-{BCE}-fold_0"]["status"] == "failed"
    assert "MemoryError" in jobs[f"training-{BCE}-fold_0"]["error"]
    assert jobs[f"evaluation-{BCE}-fold_0"]["status"] == "waiting"


def test_without_the_baseline_there_is_no_comparison(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(root, BCE)
    monkeypatch.setattr(Run, "command", lambda *_: None)
    outcome = go(root)
    assert outcome.compared == ()
    assert not (root / "out" / "comparison.json").exists()
    assert f"no comparison: the baseline {DEFAULT} is among them" in outcome.remarks
