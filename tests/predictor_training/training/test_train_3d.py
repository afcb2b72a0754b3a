"""A tiny predictor of volumes from phantoms to artifact, and what it predicts."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import phantoms
import pytest
import torch

from nnunet_doselo.dataset.patient import load_patient
from nnunet_doselo.predictor.artifact import FrozenPredictor, load_network, load_predictor
from nnunet_doselo.predictor.patient_dose import predict_patient
from nnunet_doselo.predictor_training.data.cache import CachedCase
from nnunet_doselo.predictor_training.data.samples import whole_volume
from nnunet_doselo.predictor_training.training import train
from nnunet_doselo.predictor_training.training.plan import TrainingPlan, make_plan
from nnunet_doselo.predictor_training.training.settings import TrainingSettings
from nnunet_doselo.scoring.predictor_accuracy import dose_error_gy

TINY = TrainingSettings(
    epochs=2, iterations_per_epoch=3, batch_size=2, width=1e-3, precision="32-true", dim=3, patch_voxels=16**3
)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> TrainingPlan:
    folder = tmp_path_factory.mktemp("raw") / "Dataset001_Head"
    dataset = phantoms.write_extended_dataset(folder, cases=3, shape=(15, 31, 29))
    return make_plan(dataset, dataclasses.replace(TINY, spacing_mm=(4.0, 3.0, 3.0)))


@pytest.fixture(scope="module")
def run(plan: TrainingPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run: `results`, `preprocessed`."""
    folder = tmp_path_factory.mktemp("run")
    train.train(plan, folder / "results", folder / "preprocessed", processes=0)
    return folder


@pytest.fixture(scope="module")
def predictor(run: Path) -> FrozenPredictor:
    return load_predictor(run / "preprocessed" / "dose_predictor_3d.ts")


def test_its_files_are_not_those_of_a_predictor_of_slices(run: Path) -> None:
    assert {p.name for p in (run / "preprocessed").iterdir()} == {
        "dose_predictor_3d.ts",
        "dose_predictor_3d.safetensors",
        "dose_predictor_volumes",
    }
    assert list((run / "results").glob("dose_predictor*")) == []


def test_the_card_says_that_it_is_3d_and_rebuilds_the_network(predictor: FrozenPredictor, plan: TrainingPlan) -> None:
    assert (predictor.card.axes, predictor.card.spacing_mm) == ("3d", (4.0, 3.0, 3.0))
    network, card = load_network(predictor.path)
    assert network.settings == plan.network
    assert isinstance(network.cascade.first_head, torch.nn.Conv3d)
    assert card == predictor.card


def test_a_patient_of_odd_size_and_other_spacing_is_predicted_on_its_own_grid(
    predictor: FrozenPredictor, plan: TrainingPlan
) -> None:
    patient = load_patient(plan.dataset, plan.validation[0])
    dose_gy = predict_patient(predictor, plan.dataset, patient)
    assert (dose_gy.shape, dose_gy.dtype) == ((15, 31, 29), np.float32)
    assert np.isfinite(dose_gy).all()
    figures = predictor.card.validation
    assert figures["mae_gy"] == pytest.approx(dose_error_gy(patient, dose_gy), rel=1e-5)


def test_the_exported_epoch_is_the_one_whose_whole_volumes_were_predicted_best(
    run: Path, predictor: FrozenPredictor, plan: TrainingPlan
) -> None:
    rows = list(csv.DictReader((run / "results" / "logs" / "metrics.csv").read_text().splitlines()))
    errors_gy = [float(row["val_mae_gy"]) for row in rows if row["val_mae_gy"]]
    assert len(errors_gy) == TINY.epochs
    volume = whole_volume(CachedCase(plan.validation[0], run / "preprocessed" / "dose_predictor_volumes"), plan.codes)
    assert volume["ct"].shape == (1, 1, 11, 31, 29)
    dose = predictor(volume["target"], volume["oars"], volume["ct"])
    error_gy = (dose - volume["dose"]).abs()[volume["counts"]].mean()
    assert min(errors_gy) == pytest.approx(float(error_gy), rel=1e-4)


def test_the_median_spacing_has_three_axes_and_the_plan_says_so(plan: TrainingPlan) -> None:
    median = make_plan(plan.dataset, TINY)
    assert median.spacing_mm == (3.0, 3.0, 3.0)
    said = median.describe()
    assert (said["axes"], said["spacing (z, y, x), mm"]) == ("3d", (3.0, 3.0, 3.0))
