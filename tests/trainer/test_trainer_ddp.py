"""nnU-Net's `-num_gpus 2` with dose guidance, the real hooks: two processes do what one does with both halves."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from known_dose import deep_supervision_weights, save_known_dose
from nnunet_project import environment, write_predictor
from phantoms import TINY_NETWORK
from planned_datasets import make_planned
from two_processes import in_two_processes
from two_trainers import (
    ERRORS_GY,
    GUIDED,
    IGNORE,
    PLAIN,
    STEPS,
    Guided,
    make_trainer,
    on_the_cpu,
    start,
    take_steps,
    train_together,
)

from nnunet_doselo.common.nnunet_environment import BEST_DOSE_CHECKPOINT
from nnunet_doselo.predictor.artifact import FILE_NAME
from nnunet_doselo.predictor.network import DosePredictor
from nnunet_doselo.trainer.log import SMOOTHED

Gradients = dict[str, torch.Tensor]
PRECISE, SINGLE = 1e-10, 1e-5
"""Relative to the largest gradient. nnU-Net sums its Dice in 32 bit, some thousand voxels: 1e-6 is lost there."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two planned datasets; their predictor's dose is known, but that in the first one's own folder is a network."""
    folder = tmp_path_factory.mktemp("ddp")
    for name in ("raw", "preprocessed", "results"):
        (folder / name).mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(folder).items():
            patch.setenv(name, value)
        preprocessed = [make_planned(folder, planned) for planned in (PLAIN, IGNORE)]
        patch.setattr("nnunet_project.trained_predictor", untrained)
        write_predictor(preprocessed[0] / FILE_NAME)
        file = save_known_dose(folder / "known.ts", PLAIN.guidance, PLAIN.spacing_mm[1:])
        patch.setenv("nnUNet_dose_predictor", str(file))
        patch.setenv("nnUNet_n_proc_DA", "0")  # batches are loaded in this process
        yield folder


def untrained() -> DosePredictor:
    return DosePredictor(TINY_NETWORK).eval().requires_grad_(False)


def coarsest_kept(outputs: int) -> tuple[float, ...]:
    """nnU-Net's weights of deep supervision for several processes without compiler."""
    weights = np.array([*deep_supervision_weights(outputs)[:-1] / deep_supervision_weights(outputs)[0], 1e-6])
    return tuple(weights / weights.sum())


def alone(guided: Guided, file: Path) -> list[dict[str, Any]]:
    """One process on joint batches, which are left in `file` with the weights before; then without the dose term."""
    with on_the_cpu():
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002 (nnU-Net's loader uses the global generator)
        trainer = start(make_trainer(guided.planned, guided.trainer))
        state = {name: value.clone() for name, value in trainer.network.state_dict().items()}
        batches = [joined(trainer) for _ in range(STEPS)]
        torch.save({"state": state, "batches": batches}, file)
        scales = trainer.loss.voxel_loss
        scales.weight_factors = coarsest_kept(len(scales.weight_factors))
        steps = take_steps(trainer, batches)
        start(trainer, state).loss.weight = 0.0
        return [*steps, *take_steps(trainer, batches[:1])]


def joined(trainer: Any) -> dict[str, Any]:
    """Two of the loader's batches as one, in 64 bit."""
    a, b = (next(trainer.dataloader_train) for _ in range(2))
    target = [torch.cat(pair) for pair in zip(a["target"], b["target"], strict=True)]
    return {"data": torch.cat([a["data"], b["data"]]).double(), "target": target}


@pytest.fixture(scope="module")
def one(root: Path) -> dict[str, list[dict[str, Any]]]:
    return {name: alone(guided, root / f"{name}.pt") for name, guided in GUIDED.items()}


@pytest.fixture(scope="module")
def two(root: Path, one: dict) -> list[dict[str, Any]]:
    """What each of two processes found; the context of their first training is not there when they start."""
    (context,) = (root / "preprocessed" / PLAIN.name).glob("*_context")
    shutil.rmtree(context)
    in_two_processes(train_together, root)
    return [torch.load(root / f"{rank}.pt", weights_only=False) for rank in range(2)]


def difference(ours: Gradients, theirs: Gradients) -> float:
    """Largest one of any parameter, relative to the largest gradient."""
    assert ours.keys() == theirs.keys()
    largest = max(float(x.abs().max()) for x in theirs.values())
    return max(float((ours[name] - x).abs().max()) for name, x in theirs.items()) / largest


@pytest.mark.parametrize("name", ["bce", "dice"])
@pytest.mark.parametrize("step", range(STEPS))
def test_gradients_are_those_of_one_process_with_both_halves(one: dict, two: list, name: str, step: int) -> None:
    """Instance norm knows no other images, and halves of one size have the mean of the whole; the second step is taken
    from the weights that the first one made."""
    tolerance = PRECISE if GUIDED[name].precise else SINGLE
    for found in two:
        assert difference(found[name]["steps"][step]["gradients"], one[name][step]["gradients"]) < tolerance
    for term in ("dose",) if name == "dice" else ("dose", "voxel"):  # nnU-Net's Dice is no mean over images
        halves = [float(found[name]["steps"][step][term]) for found in two]
        assert np.mean(halves) == pytest.approx(float(one[name][step][term]), rel=tolerance)
        assert abs(halves[0] - halves[1]) > 100 * tolerance


def test_the_comparison_can_fail(one: dict, two: list) -> None:
    """Unshared gradients are found out, and so is a dose term that is missing."""
    expected = one["bce"][0]["gradients"]
    for found in two:
        assert difference(found["own gradients"][0]["gradients"], expected) > 1e-3
    assert difference(one["bce"][-1]["gradients"], expected) > 1e-3


def test_with_an_ignore_label_each_process_counts_its_own_voxels(one: dict, two: list) -> None:
    """As nnU-Net's cross-entropy does; the dose term, too."""
    halves = [found["ignore"]["steps"][0] for found in two]
    whole = one["ignore"][0]
    for term in ("voxel", "dose"):
        mean = np.mean([float(half[term]) for half in halves])
        assert mean != pytest.approx(float(whole[term]), rel=1e-6)
        assert mean == pytest.approx(float(whole[term]), rel=0.2)
    assert difference(halves[0]["gradients"], halves[1]["gradients"]) == 0


def test_the_coarsest_scale_keeps_nnunets_tiny_weight_without_which_training_ends(two: list) -> None:
    for found in two:
        scales = found["bce"]["scales"]
        assert scales == pytest.approx(coarsest_kept(len(scales)))
        assert 0 < scales[-1] < 1e-6
        assert "not used in producing loss" in found["without the coarsest scale"]


def test_the_first_process_builds_the_context_and_the_other_waits(two: list) -> None:
    first, second = (found["epochs"] for found in two)
    assert (first["built"], second["built"]) == ([3], [])
    assert first["present"] == second["present"] == [f"Phantom_{number:03d}.b2nd" for number in range(3)]


def test_each_process_has_the_predictor_and_trains_only_the_network(root: Path, two: list) -> None:
    with on_the_cpu(double=False):
        stock = make_trainer(PLAIN, "nnUNetTrainer")
        stock.initialize()
    own = sorted(parameter.numel() for parameter in stock.network.parameters())
    for found in two:
        trained = found["epochs"]["trained"]
        assert trained["predictor"] == os.path.join(root, "preprocessed", PLAIN.name, FILE_NAME)
        assert not trained["predictor trained"]
        assert trained["optimised"] == trained["wrapped"] == own
        assert trained["saved"] == sorted(stock.network.state_dict())


def test_logged_terms_are_means_over_both(two: list) -> None:
    measured = np.array([found["epochs"]["measured"] for found in two])
    assert np.abs(measured[0] - measured[1]).min() > 0
    joint_gy = np.sqrt(np.mean(np.square(list(ERRORS_GY.values())), axis=0))
    for found in two:
        log = found["epochs"]["log"]
        assert log["train_dose_term"] == pytest.approx(measured.reshape(2, 3, -1).mean((0, 2)))
        assert log["val_dose_rms_gy"] == pytest.approx(joint_gy)
        assert log["val_dose_rms_gy"] == pytest.approx([6.0, 6.0415, 4.2426], abs=1e-4)
        assert log[SMOOTHED] == pytest.approx([6.0, 6.0042, 5.8280], abs=1e-4)


def test_both_agree_on_the_best_epoch_and_the_first_writes_it(root: Path, two: list) -> None:
    first, second = (found["epochs"] for found in two)
    epochs = [epoch for name, epoch in first["saved"] if name == BEST_DOSE_CHECKPOINT]
    assert epochs == [1, 3]  # the one to come, as nnU-Net counts
    assert second["saved"] == []
    assert first["log"][SMOOTHED] == second["log"][SMOOTHED]
    (file,) = (root / "results").rglob(BEST_DOSE_CHECKPOINT)
    assert torch.load(file, weights_only=False)["current_epoch"] == 3
