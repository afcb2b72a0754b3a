"""The same seed: the same first weights for every trainer, and the same first batch; and what is written down."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from nnunet_project import inside
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from planned_datasets import Planned, make_planned
from predictors import card_of, random_network

from nnunet_doselo.benchmark import seeded_training
from nnunet_doselo.benchmark.seeded_training import LOCK_FILE, train_with_seed
from nnunet_doselo.benchmark.training_facts import read_runs
from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.predictor.artifact import FILE_NAME, save_predictor

PLANNED = Planned("Dataset915_Seeded", memory_gb=7.0, configurations=("2d",))
LENGTH = "_1epochs_2iterations"
DEFAULT, IN_DOMAIN, DOSELO = (f"nnUNetTrainer{name}{LENGTH}" for name in ("", "_domain", "DOSELO"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("seeded")
    with inside(root):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("nnUNet_n_proc_DA", "1")  # planning refuses 0
            network = random_network()
            save_predictor(network, card_of(network), make_planned(root, PLANNED) / FILE_NAME)
        yield root


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[dict[str, torch.Tensor], dict[str, Any]]]]:
    """Trainings end before the first step; of each, its first weights and its first batch."""
    seen = []

    def begin(trainer: nnUNetTrainer) -> None:
        trainer.on_train_start()
        weights = {name: weight.clone() for name, weight in trainer.network.state_dict().items()}
        seen.append((weights, next(trainer.dataloader_train)))

    monkeypatch.setattr(nnUNetTrainer, "run_training", begin)
    monkeypatch.setattr(nnUNetTrainer, "perform_actual_validation", lambda *_: None)
    monkeypatch.setattr(nnUNetTrainer, "plot_network_architecture", lambda *_: None)
    threads = torch.get_num_threads()
    yield seen
    torch.set_num_threads(threads)


def arguments(trainer: str) -> list[str]:
    return [PLANNED.name, "2d", "0", "-tr", trainer, "-device", "cpu"]


def fold(root: Path, trainer: str) -> Path:
    return root / "results" / PLANNED.name / f"{trainer}__nnUNetPlans__2d" / "fold_0"


def test_the_default_and_the_guided_trainer_begin_alike(root: Path, begun: list) -> None:
    """Where both keep their augmentation within the predictor's domain."""
    for trainer in (IN_DOMAIN, DOSELO):
        train_with_seed(0, arguments(trainer))
    (weights, batch), (guided_weights, guided_batch) = begun
    assert weights.keys() == guided_weights.keys()
    assert all(torch.equal(weight, guided_weights[name]) for name, weight in weights.items())
    assert torch.equal(batch["data"], guided_batch["data"][:, :1]), "the guided one's has CT and organs behind"
    assert all(torch.equal(*both) for both in zip(batch["target"], guided_batch["target"], strict=True))


def test_another_seed_begins_otherwise_and_the_same_alike(root: Path, begun: list) -> None:
    for seed in (0, 0, 1):
        train_with_seed(seed, arguments(DEFAULT))
    first, again, other = ({**weights, "batch": batch["data"]} for weights, batch in begun)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["batch"], other["batch"])
    name = next(name for name, weight in first.items() if weight.ndim == 4)
    assert not torch.equal(first[name], other[name])


def test_a_seed_in_the_name_goes_before_all_others(root: Path, begun: list) -> None:
    """As plain nnUNetv2_train has it, which sets none."""
    for outside, trainer in ((7, f"{DEFAULT}_seed1"), (8, f"{DEFAULT}_seed1"), (8, f"{DEFAULT}_seed2")):
        train_with_seed(outside, arguments(trainer))
    first, again, other = ({**weights, "batch": batch["data"]} for weights, batch in begun)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not any(torch.equal(value, other[name]) for name, value in first.items() if value.ndim == 4)


def test_every_run_is_written_down_also_one_that_fails(
    root: Path, begun: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = f"{DEFAULT.replace('2iterations', '3iterations')}"
    train_with_seed(5, arguments(trainer))

    def fail(_: nnUNetTrainer) -> None:
        raise MemoryError

    monkeypatch.setattr(nnUNetTrainer, "run_training", fail)
    with pytest.raises(MemoryError):
        train_with_seed(5, [*arguments(trainer), "--c"])
    first, second = read_runs(fold(root, trainer))
    assert (first.seed, first.continued, first.finished, first.loader_processes) == (5, False, True, "0")
    assert (second.seed, second.continued, second.finished) == (5, True, False)
    assert 0 < first.seconds < 60
    assert first.started < second.started


def test_two_trainings_do_not_write_into_one_folder(root: Path, begun: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeded_training, "LOCK_S", 0.1)
    folder = fold(root, "nnUNetTrainer")
    folder.mkdir(parents=True)
    with (
        FileLock(folder / LOCK_FILE),
        pytest.raises(DoseloError, match="fold_0: another training writes into this folder"),
    ):
        train_with_seed(0, arguments("nnUNetTrainer"))
    assert begun == []
    assert read_runs(folder) == []


def test_a_training_that_is_refused_leaves_no_folder(root: Path, begun: list) -> None:
    with pytest.raises(RuntimeError, match="Could not find requested nnunet trainer"):
        train_with_seed(0, arguments("nnUNetTrainerNobodys"))
    assert not fold(root, "nnUNetTrainerNobodys").parent.exists()
