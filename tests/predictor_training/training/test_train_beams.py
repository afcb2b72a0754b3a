"""A predictor whose dataset says where the beams are: its files say so too, and give it back whole."""

import dataclasses
import json
from pathlib import Path

import phantoms
import pytest
import torch
from predictors import random_inputs
from stub_planner import StubPlanner
from typer.testing import CliRunner

from nnunet_doselo.cli import app
from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.predictor.artifact import FILE_NAME, load_network, load_predictor, save_predictor
from nnunet_doselo.predictor.spatial_domain import SpatialDomain
from nnunet_doselo.predictor_training.training import train
from nnunet_doselo.predictor_training.training.plan import make_plan

GANTRY_DEG = (0.0, 90.0)
"""Not their own mirror image."""
OPTIONS = ["--epochs", "1", "--iterations", "2", "--batch-size", "2", "--width", "0.001", "--precision", "32-true"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nnU-Net's folders, with a dataset whose plans share two beams."""
    root = tmp_path_factory.mktemp("project")
    dataset = root / "raw" / "Dataset001_Head"
    phantoms.write_extended_dataset(dataset, cases=3, shape=(16, 40, 40))
    content = json.loads((dataset / "dataset.json").read_text())
    content["dose_guidance"]["gantry_deg"] = GANTRY_DEG
    (dataset / "dataset.json").write_text(json.dumps(content))
    return root


@pytest.fixture(autouse=True)
def environment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(project / name))
    monkeypatch.delenv("nnUNet_dose_predictor", raising=False)


def doselo(*arguments: str, fails: bool = False) -> str:
    result = CliRunner().invoke(app, [*arguments, "-np", "1"])
    assert result.exit_code == int(fails), result.output
    return " ".join(result.output.split())


@pytest.fixture
def predictor_file(project: Path, environment: None) -> Path:
    """Of a run that is trained once, and exported again by every other test."""
    run = project / "results" / "Dataset001_Head" / "DosePredictor__default"
    doselo("train-predictor", "1", *OPTIONS, *(["--resume"] if run.exists() else []))
    return project / "preprocessed" / "Dataset001_Head" / FILE_NAME


def without_angles(file: Path) -> None:
    """The card as cards were before they named the beams; the network sees them all the same."""
    network, card = load_network(file)
    save_predictor(network, dataclasses.replace(card, gantry_deg=()), file)


def test_the_weights_beside_it_give_the_same_dose(predictor_file: Path, project: Path) -> None:
    predictor, (network, card) = load_predictor(predictor_file), load_network(predictor_file)
    assert card == predictor.card
    assert card.gantry_deg == network.settings.gantry_deg == GANTRY_DEG
    assert card.augmentation == SpatialDomain(("z",), (0.0, 0.0, 0.0), (0.7, 1.4))
    inputs = random_inputs(2, 40, 40)
    torch.testing.assert_close(network(*inputs), predictor(*inputs), rtol=0, atol=1e-4)


@pytest.mark.parametrize("dim", [2, 3])
def test_the_card_rebuilds_the_network_that_was_planned(project: Path, tmp_path: Path, dim: int) -> None:
    dataset = ExtendedDataset(project / "raw" / "Dataset001_Head")
    settings = train.TrainingSettings(1, 1, 2, width=1e-3, precision="32-true", dim=dim, patch_voxels=16**3)
    plan = make_plan(dataset, settings)
    network, card = load_network(train.train(plan, tmp_path / "results", tmp_path, processes=0))
    assert network.settings == card.network_settings == plan.network
    unaware = make_plan(dataset, dataclasses.replace(settings, beams=False))
    assert unaware.network.gantry_deg == ()


@pytest.mark.parametrize("beams", ["--beams", "--no-beams"])
def test_beams_that_do_not_come_from_everywhere_are_not_turned_all_around(beams: str) -> None:
    """Nor where the network is not told of them: the doses are of these beams."""
    told = doselo("train-predictor", "1", "--augmentation", "whole", beams, "--dry-run", fails=True)
    assert "declares gantry_deg (0.0, 90.0); train with --augmentation beams" in told


def test_sensitivity_goes_onto_the_card_and_the_dose_stays(
    predictor_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StubPlanner().install(monkeypatch)
    inputs = random_inputs(1, 40, 40)
    dose_gy = load_predictor(predictor_file)(*inputs)
    assert "written into the card of" in doselo("sensitivity", "1")
    measured = load_predictor(predictor_file)
    assert measured.card.sensitivity is not None
    torch.testing.assert_close(measured(*inputs), dose_gy, rtol=0, atol=1e-4)


def test_beams_are_not_mirrored_and_if_they_are_not_named_nobody_knows(predictor_file: Path) -> None:
    predictor = load_predictor(predictor_file)
    assert predictor.domain == SpatialDomain(("z",), (0.0, 0.0, 0.0))
    with pytest.raises(DoseloError, match=r"beams at \(0\.0, 90\.0\) degrees .* predict without mirroring"):
        predictor.mirrored()
    without_angles(predictor_file)
    with pytest.raises(DoseloError, match=r"beams that its card does not name; .*train-predictor DATASET --resume"):
        load_predictor(predictor_file).mirrored()
    with pytest.raises(DoseloError, match=r"beams that its card does not name; .*train-predictor DATASET --resume"):
        _ = load_predictor(predictor_file).domain


def test_a_card_without_the_beams_is_told_before_anything_is_planned_and_mended_by_another_export(
    predictor_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner = StubPlanner().install(monkeypatch)
    weights = load_network(predictor_file)[0].state_dict()
    without_angles(predictor_file)
    told = doselo("sensitivity", "1", fails=True)
    assert "weights do not fit the network on their card" in told
    assert "`doselo train-predictor DATASET --resume` and the options of its training" in told
    assert planner.calls == []
    doselo("train-predictor", "1", *OPTIONS, "--resume")
    mended, card = load_network(predictor_file)
    assert card.gantry_deg == GANTRY_DEG
    assert all(torch.equal(value, weights[key]) for key, value in mended.state_dict().items())
