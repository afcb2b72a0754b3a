"""Real patients through the commands that a user types, from published files to scores; one process a step."""

import importlib.util
import json
import os
import shutil
import venv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nnunet_project import environment, run, shrink_plans

from nnunet_doselo.dataset.images import read_array

TRAINING, VALIDATION = 6, 2
SPACING_MM = "6"
NAME = "Dataset502_OpenKBP"
MODEL = "{}_2epochs_4iterations__nnUNetPlans__2d_small"
TRAINERS = ("nnUNetTrainerDOSELO", "nnUNetTrainerBCE")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, realdata: Path, repository: Path) -> Path:
    """OpenKBP's CSV layout converted, checked, planned; the predictor and both trainers trained."""
    root = tmp_path_factory.mktemp("openkbp")
    for folder in ("raw", "preprocessed", "results"):
        (root / folder).mkdir()
    _unpack(repository, realdata / "openkbp", root / "csv")
    variables = environment(root)
    run(["doselo", "convert", "openkbp", str(root / "csv"), "502", "--spacing", SPACING_MM], variables)
    run(["doselo", "verify", "502"], variables)
    run(["nnUNetv2_plan_and_preprocess", "-d", "502", "-c", "2d", "-np", "1", "-npfp", "1"], variables)
    shrink_plans(root / "preprocessed" / NAME / "nnUNetPlans.json", batch_size=4, features=(4, 8, 16, 32, 32, 32, 32))
    # two cases held out, so that the final validation is short
    _one_split(root)
    predictor = ["--width", "0.25", "--epochs", "2", "--iterations", "30", "--batch-size", "8"]
    run(["doselo", "train-predictor", "502", *predictor], variables)
    for trainer in TRAINERS:
        run(_train(trainer), variables)
    return root


def _train(trainer: str, *more: str) -> list[str]:
    name = f"{trainer}_2epochs_4iterations"
    return ["nnUNetv2_train", "502", "2d_small", "0", "-tr", name, "-device", "cpu", *more]


def _unpack(repository: Path, compact: Path, destination: Path) -> None:
    spec = importlib.util.spec_from_file_location("openkbp_compact", repository / "benchmarks" / "openkbp_compact.py")
    assert spec is not None
    assert spec.loader is not None
    adapter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(adapter)
    adapter.main(compact, destination, patients=TRAINING, validation=VALIDATION)


def _one_split(root: Path) -> None:
    cases = sorted(p.name[:-7] for p in (root / "raw" / NAME / "labelsTr").glob("*.nii.gz"))
    file = root / "preprocessed" / NAME / "splits_final.json"
    file.write_text(json.dumps([{"train": cases[:-1], "val": cases[-1:]}]))


def model_folder(root: Path, trainer: str) -> Path:
    return root / "results" / NAME / MODEL.format(trainer)


def predict_arguments(root: Path, output: Path, trainer: str) -> list[str]:
    """nnUNetv2_predict on unseen patients, from images only."""
    images = root / "raw" / NAME / "imagesTs"
    what = ["-i", str(images), "-o", str(output), "-d", "502", "-c", "2d_small", "-f", "0", "-tr", trainer]
    return [*what, "-device", "cpu", "--disable_tta", "-npp", "1", "-nps", "1"]


@pytest.fixture(scope="module")
def predictions(project: Path) -> Path:
    output = project / "predictions"
    arguments = predict_arguments(project, output, "nnUNetTrainerDOSELO_2epochs_4iterations")
    run(["nnUNetv2_predict", *arguments], environment(project))
    return output


def test_axes_and_units_survive_the_conversion(project: Path) -> None:
    cases = sorted((project / "raw" / NAME / "doseTr").glob("*.nii.gz"))
    assert len(cases) == TRAINING
    for file in cases:
        dose_gy, grid = read_array(file)
        labels, _ = read_array(file.parents[1] / "labelsTr" / file.name)
        assert grid.spacing == (6.0, 6.0, 6.0)
        # ICRU 50: between 95 and 107 % of what was prescribed
        assert 0.95 * 70 <= np.median(dose_gy[labels == 3]) <= 1.07 * 70


@pytest.mark.parametrize("trainer", TRAINERS)
def test_training_ends_with_nnunets_own_files(project: Path, trainer: str) -> None:
    fold = model_folder(project, trainer) / "fold_0"
    assert {"checkpoint_final.pth", "checkpoint_best.pth", "progress.png", "validation"} <= set(os.listdir(fold))
    assert (fold / "validation" / "summary.json").exists()


def test_log_tells_both_terms_apart_in_gray(project: Path) -> None:
    (log,) = (model_folder(project, "nnUNetTrainerDOSELO") / "fold_0").glob("training_log_*.txt")
    lines = [line for line in log.read_text().splitlines() if "voxel loss" in line]
    assert len(lines) == 4  # two epochs, training and validation
    assert all("dose term" in line and line.rstrip().endswith("Gy)") for line in lines)


def test_validation_and_resuming_work_on_a_finished_model(project: Path) -> None:
    summary = model_folder(project, "nnUNetTrainerDOSELO") / "fold_0" / "validation" / "summary.json"
    before = json.loads(summary.read_text())["foreground_mean"]
    summary.unlink()
    run(_train("nnUNetTrainerDOSELO", "--val"), environment(project))
    assert json.loads(summary.read_text())["foreground_mean"] == before
    run(_train("nnUNetTrainerDOSELO", "--c"), environment(project))


def test_unseen_patients_are_predicted_from_images_only(project: Path, predictions: Path) -> None:
    truths = sorted((project / "raw" / NAME / "labelsTs").glob("*.nii.gz"))
    assert len(truths) == VALIDATION
    for truth in truths:
        labels, grid = read_array(predictions / truth.name)
        assert not grid.differences(read_array(truth)[1])
        assert set(np.unique(labels)) <= {0, 1, 2, 3}


def test_stock_install_predicts_the_same_voxels(project: Path, predictions: Path, tmp_path: Path) -> None:
    exported, again = tmp_path / "results", tmp_path / "predictions"
    model = model_folder(project, "nnUNetTrainerDOSELO")
    run(["doselo", "export-stock", str(model), str(exported)], environment(project))
    python = environment_without_this_package(tmp_path / "stock")
    variables = {**environment(project), "nnUNet_results": str(exported)}
    del variables["nnUNet_extTrainer"]
    assert run([python, "-c", "import nnunet_doselo"], variables, fails=True).endswith(
        "No module named 'nnunet_doselo'"
    )
    entry = "from nnunetv2.inference.predict_from_raw_data import predict_entry_point as predict; predict()"
    run([python, "-c", entry, *predict_arguments(project, again, "nnUNetTrainer")], variables)
    for file in sorted(predictions.glob("*.nii.gz")):
        np.testing.assert_array_equal(read_array(again / file.name)[0], read_array(file)[0])


def environment_without_this_package(folder: Path) -> str:
    """A second virtual environment that shares every installed distribution but this one; its interpreter."""
    venv.create(folder, with_pip=False)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    for entry in Path(np.__file__).parents[1].iterdir():
        if "nnunet_doselo" not in entry.name and entry.suffix != ".pth":
            (site_packages / entry.name).symlink_to(entry)
    return str(folder / "bin" / "python")


def test_evaluation_scores_dose_and_overlap(project: Path, predictions: Path, tmp_path: Path) -> None:
    asked = ["--name", "predicted", "-o", str(tmp_path)]
    run(["doselo", "evaluate", str(predictions), "502", *asked], environment(project))
    folder = tmp_path / "predicted"
    scores = pd.read_csv(folder / "scores.csv", index_col="case")
    assert len(scores) == VALIDATION
    assert {"union_rmae", "rmae", "dose_score_gy", "predictor_error_gy", "target_dice", "target_hd95_mm"} <= set(
        scores.columns
    )
    assert (scores["dose_score_gy"] > 0).all()
    summary = json.loads((folder / "summary.json").read_text())
    assert len(json.dumps(summary).split('"sha256": "')[1].split('"')[0]) == 64
    assert (folder / "worst.png").stat().st_size > 10_000


def test_a_perfect_prediction_costs_no_dose(project: Path, tmp_path: Path) -> None:
    perfect = tmp_path / "perfect"
    shutil.copytree(project / "raw" / NAME / "labelsTs", perfect)
    run(["doselo", "evaluate", str(perfect), "502", "-o", str(tmp_path / "out")], environment(project))
    scores = pd.read_csv(tmp_path / "out" / "perfect" / "scores.csv")
    assert scores["union_rmae"].tolist() == [0.0] * VALIDATION
    assert scores["target_dice"].tolist() == [1.0] * VALIDATION


def test_missing_predictor_is_one_clear_error_before_training(project: Path) -> None:
    variables = {**environment(project), "nnUNet_dose_predictor": str(project / "nowhere.ts")}
    output = run(_train("nnUNetTrainerDOSELO_lambda10"), variables, fails=True)
    assert "DoseloError: no dose predictor" in output.splitlines()[-1]
    assert "nowhere.ts" in output.splitlines()[-1]
