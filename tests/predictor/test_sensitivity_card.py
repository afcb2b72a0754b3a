"""A measured sensitivity goes into both files of an artifact; nothing else about it changes."""

from pathlib import Path

import pytest
import torch
from predictors import card_of, random_inputs, random_network

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.predictor.artifact import add_sensitivity, load_network, load_predictor, save_predictor

FIGURES = {"r": 0.9, "slope": None, "kinds": {"shift": {"edits": 3}}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    network = random_network()
    return save_predictor(network, card_of(network), tmp_path / "dose_predictor.ts")


def test_weights_and_doses_stay_and_card_and_hash_change(path: Path) -> None:
    before, (weights, _) = load_predictor(path), load_network(path)
    assert add_sensitivity(path, FIGURES) == path
    after, (network, card) = load_predictor(path), load_network(path)
    assert after.card == card == card_of(weights, sensitivity=FIGURES)
    assert after.sha256 != before.sha256
    assert all(torch.equal(value, weights.state_dict()[key]) for key, value in network.state_dict().items())
    assert torch.equal(after(*random_inputs(2, 16, 24)), before(*random_inputs(2, 16, 24)))


def test_a_new_measurement_replaces_the_old_one(path: Path) -> None:
    add_sensitivity(path, FIGURES)
    add_sensitivity(path, {"r": 0.5})
    assert load_predictor(path).card.sensitivity == {"r": 0.5}


def test_weights_of_another_predictor_are_not_taken(path: Path, tmp_path: Path) -> None:
    network = random_network(1)
    other = save_predictor(network, card_of(network, validation={"cases": 9}), tmp_path / "other" / path.name)
    other.with_suffix(".safetensors").replace(path.with_suffix(".safetensors"))
    before = load_predictor(path).sha256
    with pytest.raises(DoseloError, match=r"dose_predictor\.safetensors: its card must be that of dose_predictor\.ts"):
        add_sensitivity(path, FIGURES)
    assert load_predictor(path).sha256 == before


def test_without_the_weights_nothing_is_written(path: Path) -> None:
    path.with_suffix(".safetensors").unlink()
    with pytest.raises(DoseloError, match="no readable weights"):
        add_sensitivity(path, FIGURES)
    assert load_predictor(path).card.sensitivity is None
