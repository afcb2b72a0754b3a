"""The trainers inside nnU-Net: same weights without the dose term, other weights with it, clear refusals."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunet_project import DATASET, five_steps, inside, make_project, make_trainer, write_predictor
from phantoms import training_slices

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.predictor.artifact import FILE_NAME, load_predictor


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("project")
    make_project(root)
    with inside(root):
        yield root


@pytest.fixture
def dataset_json(project: Path):
    """The dataset.json that nnU-Net reads at training; put back afterwards."""
    file = project / "preprocessed" / DATASET / "dataset.json"
    before = file.read_text()
    yield file
    file.write_text(before)


def weights(trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.network.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_lambda_0_is_bit_identical_to_bce_of_the_same_augmentation(project: Path) -> None:
    plain, guided = make_trainer("nnUNetTrainerBCE_domain"), make_trainer("nnUNetTrainerDOSELO_lambda0")
    assert five_steps(plain) == five_steps(guided)
    assert same(weights(plain), weights(guided))
    assert float(guided.loss.terms["dose"]) > 0


def test_the_dose_term_moves_the_weights(project: Path) -> None:
    plain, guided = make_trainer("nnUNetTrainerBCE_domain"), make_trainer("nnUNetTrainerDOSELO")
    five_steps(plain)
    five_steps(guided)
    assert not same(weights(plain), weights(guided))


def test_predictor_does_not_move_in_five_steps(project: Path) -> None:
    trainer = make_trainer("nnUNetTrainerDOSELO")
    trainer.on_train_start()
    predictor = trainer.loss.dose_loss.predictor
    before = predictor(*training_slices())
    five_steps(trainer)
    assert torch.equal(trainer.loss.dose_loss.predictor(*training_slices()), before)
    assert not any(p.requires_grad for p in predictor.module.parameters())


def test_dice_and_ce_keep_nnunets_own_loss(project: Path) -> None:
    stock, guided = make_trainer("nnUNetTrainer_domain"), make_trainer("nnUNetTrainerDOSELO_DiceCE_lambda0")
    assert five_steps(stock) == five_steps(guided)


def test_the_default_trainer_of_another_length_is_the_default_trainer(project: Path) -> None:
    stock, short = make_trainer("nnUNetTrainer"), make_trainer("nnUNetTrainer_3epochs_10iterations")
    assert (short.num_epochs, short.num_iterations_per_epoch, short.num_val_iterations_per_epoch) == (3, 10, 2)
    stock.num_epochs = 3  # the learning rate follows it
    assert five_steps(stock) == five_steps(short)
    assert same(weights(stock), weights(short))


def test_channels_follow_label_values_whatever_the_files_order(project: Path) -> None:
    trainer = make_trainer("nnUNetTrainerBCE")
    trainer.dataset_json = {
        "labels": {"background": 0, "PTV70": 2, "PTV56": 1},
        "dose_guidance": {"target_gy": {"PTV70": 70.0, "PTV56": 56.0}},
    }
    assert trainer._heads().fractions == (0.8, 1.0)


def test_every_epoch_logs_both_terms_and_gray(project: Path) -> None:
    trainer = make_trainer("nnUNetTrainerDOSELO_2epochs_2iterations")
    trainer.run_training()
    logged = trainer.logger.local_logger.my_fantastic_logging
    for phase, losses in (("train", "train_losses"), ("val", "val_losses")):
        voxel, dose, gray = (np.array(logged[f"{phase}_{n}"]) for n in ("voxel_loss", "dose_term", "dose_rms_gy"))
        assert len(voxel) == 2
        np.testing.assert_allclose(voxel + dose, logged[losses], rtol=1e-5)
        np.testing.assert_allclose(gray, 60 * np.sqrt(dose), rtol=1e-6)
    text = Path(trainer.log_file).read_text()
    assert "train: voxel loss" in text
    assert "Gy)" in text
    assert load_predictor(project / "preprocessed" / DATASET / FILE_NAME).sha256 in text


@pytest.mark.parametrize(
    ("sensitivity", "words"),
    [
        (None, "Sensitivity to contour edits: not measured, run `doselo sensitivity`"),
        ({"r": 0.926, "edits": 50}, "Sensitivity to contour edits: r = 0.93"),
        (
            {"r": 0.41, "edits": 50, "kinds": {"shift": {"voxel_r": 0.6}, "island": {"voxel_r": 0.1}}},
            "WARNING: the dose predictor is insensitive to wrong contours: r = 0.41",
        ),
    ],
)
def test_the_log_says_whether_the_predictor_answers_to_wrong_contours(
    project: Path, tmp_path: Path, monkeypatch, sensitivity: dict | None, words: str
) -> None:
    predictor = write_predictor(tmp_path / "measured.ts", sensitivity=sensitivity)
    monkeypatch.setenv("nnUNet_dose_predictor", str(predictor))
    trainer = make_trainer("nnUNetTrainerDOSELO")
    trainer._attach_dose_loss()
    text = Path(trainer.log_file).read_text()
    assert words in text
    assert ("WARNING" in text) == words.startswith("WARNING")


def test_resuming_with_another_predictor_is_refused(project: Path, tmp_path: Path, monkeypatch) -> None:
    make_trainer("nnUNetTrainerDOSELO_1epochs_2iterations").run_training()
    resumed = make_trainer("nnUNetTrainerDOSELO_1epochs_2iterations")
    resumed.load_checkpoint(str(Path(resumed.output_folder) / "checkpoint_final.pth"))
    other = write_predictor(tmp_path / "other.ts", validation={"mae_gy": 2.0})
    monkeypatch.setenv("nnUNet_dose_predictor", str(other))
    with pytest.raises(DoseloError, match="this run was started with the predictor"):
        resumed.on_train_start()


def refusal(name: str = "nnUNetTrainerDOSELO", configuration: str = "2d_small") -> str:
    """The one error before training starts."""
    trainer = make_trainer(name, configuration)
    with pytest.raises(DoseloError) as error:
        trainer.on_train_start()
    assert trainer.dataloader_train is None
    return str(error.value)


def test_missing_predictor(project: Path, monkeypatch) -> None:
    monkeypatch.setenv("nnUNet_dose_predictor", str(project / "nowhere.ts"))
    message = refusal()
    assert "nowhere.ts" in message
    assert "doselo train-predictor" in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"oars": {"Brainstem": 1, "Lens_L": 2, "Eye_L": 3}}, "organs {'Brainstem': 1, 'Lens_L': 2"),
        ({"target_gy": {"GTV": 54.0}}, "prescribed doses {'GTV': 54.0}"),
        ({"format_version": 99}, "format 99, this version reads format 1; export it again with `doselo"),
        ({"spacing_mm": (3.0, 3.0, 3.0)}, "has 2 voxel spacings, found (3.0, 3.0, 3.0); export it again with `doselo"),
        (
            {"axes": "3d", "spacing_mm": (3.0, 3.0, 3.0)},
            "needs a predictor of axes axial 2d; train one with `doselo train-predictor DATASET --dim 2`",
        ),
    ],
)
def test_predictor_made_for_something_else(
    project: Path, tmp_path: Path, monkeypatch, changes: dict, words: str
) -> None:
    monkeypatch.setenv("nnUNet_dose_predictor", str(write_predictor(tmp_path / "other.ts", **changes)))
    assert words in refusal()


def test_dataset_without_dose_guidance(project: Path, dataset_json: Path) -> None:
    content = json.loads(dataset_json.read_text())
    del content["dose_guidance"]
    dataset_json.write_text(json.dumps(content))
    assert "dose_guidance" in refusal()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"transpose_forward": [1, 0, 2]}, "slices must be axial, but nnU-Net cuts coronal ones"),
        ({"previous_stage": "2d"}, "second stage of a cascade"),
    ],
)
def test_plans_that_cannot_be_guided(project: Path, change: dict, words: str) -> None:
    file = project / "preprocessed" / DATASET / "nnUNetPlans.json"
    before = file.read_text()
    plans = json.loads(before)
    where = plans if "transpose_forward" in change else plans["configurations"]["2d_small"]
    where.update(change)
    file.write_text(json.dumps(plans))
    try:
        assert words in refusal()
    finally:
        file.write_text(before)


def test_checkpoint_names_the_predictor_and_loads_without_it(project: Path, monkeypatch) -> None:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    trainer = make_trainer("nnUNetTrainerDOSELO_1epochs_2iterations")
    shutil.rmtree(trainer.output_folder_base)
    trainer = make_trainer("nnUNetTrainerDOSELO_1epochs_2iterations")
    trainer.run_training()
    checkpoint = torch.load(Path(trainer.output_folder) / "checkpoint_final.pth", weights_only=False)
    assert len(checkpoint["init_args"]["dose_predictor_sha256"]) == 64
    monkeypatch.setenv("nnUNet_dose_predictor", str(project / "nowhere.ts"))
    predictor = nnUNetPredictor(device=torch.device("cpu"))
    predictor.initialize_from_trained_model_folder(trainer.output_folder_base, (0,), "checkpoint_final.pth")
    assert same(predictor.network.state_dict(), weights(trainer))


def test_unknown_suffix_lists_the_known(project: Path) -> None:
    with pytest.raises(DoseloError, match=r"unknown suffix lambada; known are lambdaX"):
        make_trainer("nnUNetTrainerDOSELO_lambada")
