"""nnUNetv2_train's own switches: a killed run goes on, weights of another run come in, validation in all its forms."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from known_dose import save_known_dose
from nnunet_project import environment
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from planned_datasets import Planned, make_planned

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.losses.balance import LARGEST_WEIGHT

DATASET = Planned("Dataset911_Phantom")
EPOCHS, KILLED_IN = 3, 1
# an epoch long enough to be hit
TRAINER = f"nnUNetTrainerDOSELO_balance0p3_{EPOCHS}epochs_20iterations"
SHORT = "nnUNetTrainerDOSELO_1epochs_1iterations"
MINUTES = 5


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A planned dataset with a predictor whose dose is known."""
    folder = tmp_path_factory.mktemp("resume")
    for name in ("raw", "preprocessed", "results"):
        (folder / name).mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(folder).items():
            patch.setenv(name, value)
        patch.delenv("nnUNet_dose_predictor", raising=False)
        preprocessed = make_planned(folder, DATASET)
        save_known_dose(preprocessed / "dose_predictor.ts", DATASET.guidance, (3.0, 3.0))
        patch.setenv("nnUNet_n_proc_DA", "0")
        yield folder


def fold(root: Path, trainer: str, configuration: str = "2d") -> Path:
    return root / "results" / DATASET.name / f"{trainer}__nnUNetPlans__{configuration}" / "fold_0"


def train(trainer: str, configuration: str = "2d", **more: object) -> None:
    """nnUNetv2_train in this process."""
    from nnunetv2.run.run_training import run_training

    run_training(DATASET.name, configuration, 0, trainer, device=torch.device("cpu"), **more)


def kill_in_epoch(root: Path, epoch: int) -> None:
    """Start nnUNetv2_train with its workers, and kill all of them (SIGKILL) while an epoch is under way."""
    command = [str(Path(sys.executable).parent / "nnUNetv2_train"), DATASET.name, "2d", "0", "-tr", TRAINER]
    variables = {**os.environ, "nnUNet_n_proc_DA": "1"}
    with (root / "killed.txt").open("w") as output:
        process = subprocess.Popen(
            [*command, "-device", "cpu"], env=variables, cwd=root, stdout=output, stderr=output, start_new_session=True
        )
        try:
            _wait_for(f"Epoch {epoch}", process, root)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(words: str, process: subprocess.Popen[bytes], root: Path) -> None:
    deadline = time.monotonic() + 60 * MINUTES
    while not any(words in log.read_text() for log in fold(root, TRAINER).glob("training_log_*.txt")):
        assert process.poll() is None, (root / "killed.txt").read_text()[-4000:]
        assert time.monotonic() < deadline, (root / "killed.txt").read_text()[-4000:]
        time.sleep(0.02)


def test_a_killed_run_goes_on_as_the_run_it_would_have_been(root: Path, tmp_path: Path, monkeypatch) -> None:
    """Epochs, learning rates, logs and predictor are; the batches are not: nnU-Net draws them anew."""
    kill_in_epoch(root, KILLED_IN)
    kept = torch.load(fold(root, TRAINER) / "checkpoint_best.pth", weights_only=False)
    assert kept["current_epoch"] == KILLED_IN
    assert not (fold(root, TRAINER) / "checkpoint_final.pth").exists()

    other = save_known_dose(tmp_path / "other.ts", DATASET.guidance, (4.0, 4.0))
    monkeypatch.setenv("nnUNet_dose_predictor", str(other))
    with pytest.raises(DoseloError, match="this run was started with the predictor"):
        train(TRAINER, continue_training=True)
    monkeypatch.delenv("nnUNet_dose_predictor")

    monkeypatch.setattr(nnUNetTrainer, "perform_actual_validation", lambda trainer, npz: None)
    train(TRAINER, continue_training=True)
    done = torch.load(fold(root, TRAINER) / "checkpoint_final.pth", weights_only=False)
    assert done["current_epoch"] == EPOCHS
    assert done["init_args"]["dose_predictor_sha256"] == kept["init_args"]["dose_predictor_sha256"]
    assert set(done["logging"]) == set(kept["logging"])
    for name, values in done["logging"].items():
        assert len(values) == EPOCHS, name
        assert values[:KILLED_IN] == kept["logging"][name], name
    poly = [1e-2 * (1 - epoch / EPOCHS) ** 0.9 for epoch in range(EPOCHS)]
    np.testing.assert_allclose(done["logging"]["lrs"], poly)
    # measured in the first epoch, which has no dose term; then held, also by the run that went on
    first, *held = done["logging"]["dose_weight"]
    assert first == 0
    assert held == [kept["logging"]["next_dose_weight"][0]] * (EPOCHS - 1)
    assert 0 < held[0] < LARGEST_WEIGHT


def test_pretrained_weights_and_every_validation(root: Path, monkeypatch) -> None:
    """-pretrained_weights, --npz, --val and --val_best; validation needs no predictor."""
    donor = _donor(root)
    pretrained = torch.load(donor, weights_only=False)["network_weights"]
    starting: dict[str, torch.Tensor] = {}
    _watch_first_weights(monkeypatch, starting)
    train(SHORT, "3d_fullres", pretrained_weights=str(donor), export_validation_probabilities=True)
    moved = [name for name in pretrained if ".seg_layers." not in name]
    assert moved
    assert all(torch.equal(starting[name], pretrained[name]) for name in moved)

    validation = fold(root, SHORT, "3d_fullres") / "validation"
    assert len(list(validation.glob("*.npz"))) == 1
    monkeypatch.setenv("nnUNet_dose_predictor", str(root / "nowhere.ts"))
    shutil.rmtree(validation)
    train(SHORT, "3d_fullres", only_run_validation=True, val_with_best=True)
    assert (validation / "summary.json").exists()


def _donor(root: Path) -> Path:
    """A checkpoint of the stock trainer with other weights than a new run would draw."""
    from nnunetv2.run.run_training import get_trainer_from_args

    torch.manual_seed(7)
    trainer = get_trainer_from_args(DATASET.name, "3d_fullres", 0, "nnUNetTrainer", device=torch.device("cpu"))
    trainer.initialize()
    trainer.save_checkpoint(str(root / "donor.pth"))
    return root / "donor.pth"


def _watch_first_weights(monkeypatch: pytest.MonkeyPatch, seen: dict[str, torch.Tensor]) -> None:
    from nnunet_doselo.trainer.guided import nnUNetTrainerDOSELO

    start = nnUNetTrainerDOSELO.on_train_start

    def watched(trainer: nnUNetTrainerDOSELO) -> None:
        start(trainer)
        seen.update({name: value.clone() for name, value in trainer.network.state_dict().items()})

    monkeypatch.setattr(nnUNetTrainerDOSELO, "on_train_start", watched)
