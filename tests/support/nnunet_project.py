"""A planned and preprocessed phantom dataset, and trainers of nnU-Net's on it: what trainer tests start from."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from phantoms import GUIDANCE, SPACING_MM, TINY_NETWORK, trained_predictor, write_extended_dataset

from nnunet_doselo.common.versions import versions
from nnunet_doselo.demo.small_plans import add_small_configuration
from nnunet_doselo.predictor.artifact import FILE_NAME, save_predictor
from nnunet_doselo.predictor.card import PredictorCard

DATASET = "Dataset991_Phantom"
CASES = 6


def environment(root: Path) -> dict[str, str]:
    """nnU-Net's variables for a project below `root`, one process each (planning refuses 0)."""
    import nnunet_doselo.nnunet_ext

    folders = {f"nnUNet_{name}": str(root / name) for name in ("raw", "preprocessed", "results")}
    return {
        **folders,
        "nnUNet_extTrainer": str(Path(nnunet_doselo.nnunet_ext.__file__).parent),
        "nnUNet_n_proc_DA": "1",
        "nnUNet_def_n_proc": "1",
        "OMP_NUM_THREADS": "1",
    }


@contextmanager
def inside(root: Path) -> Iterator[None]:
    """This process as one of that project: nnU-Net's variables are set, data are loaded here, so reproducibly."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**environment(root), "nnUNet_n_proc_DA": "0"}.items():
            patch.setenv(name, value)
        patch.delenv("nnUNet_dose_predictor", raising=False)
        yield


def run(command: list[str], variables: dict[str, str], *, fails: bool = False) -> str:
    """A command of this environment; its output. AssertionError, showing it, if it ends otherwise than expected."""
    program = str(Path(sys.executable).parent / command[0])
    done = subprocess.run(
        [program, *command[1:]],
        env={**_clean(), **variables},
        cwd=variables["nnUNet_raw"],  # not the repository, where `python -c` would find the package
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == fails, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-6000:]}"
    return done.stdout.strip()


def _clean() -> dict[str, str]:
    """This process's environment without nnU-Net's variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith("nnUNet_")}


def make_project(root: Path) -> None:
    """Phantom dataset, planned and preprocessed by nnU-Net, with a tiny predictor where the trainer looks for it."""
    for folder in ("raw", "preprocessed", "results"):
        (root / folder).mkdir(parents=True)
    write_extended_dataset(root / "raw" / DATASET, CASES)
    run(["nnUNetv2_plan_and_preprocess", "-d", "991", "-c", "2d", "-np", "1", "-npfp", "1"], environment(root))
    shrink_plans(root / "preprocessed" / DATASET / "nnUNetPlans.json")
    write_predictor(root / "preprocessed" / DATASET / FILE_NAME)


def shrink_plans(file: Path, batch_size: int = 4, features: tuple[int, ...] = (4, 8, 16, 32, 32, 32, 32)) -> None:
    """A configuration 2d_small that inherits from 2d: fewer features, a small batch."""
    add_small_configuration(file, features, batch_size)


def write_predictor(path: Path, **changes: object) -> Path:
    """A frozen predictor that cares for the phantoms' targets; `changes` go into its card."""
    card = {
        "spacing_mm": SPACING_MM[1:],
        "oars": GUIDANCE.oars,
        "target_gy": GUIDANCE.target_gy,
        "hu_window": TINY_NETWORK.hu_window,
        "first": TINY_NETWORK.first,
        "second": TINY_NETWORK.second,
        "training_data_sha256": "",
        "validation": {"mae_gy": 1.0},
        "versions": versions(),
    }
    return save_predictor(trained_predictor(), PredictorCard(**{**card, **changes}), path)  # type: ignore[arg-type]


def make_trainer(name: str, configuration: str = "2d_small"):
    """A trainer as nnUNetv2_train makes it; needs `environment` in os.environ."""
    from nnunetv2.run.run_training import get_trainer_from_args

    return get_trainer_from_args(DATASET, configuration, 0, name, device=torch.device("cpu"))


def five_steps(trainer, seed: int = 0) -> list[float]:
    """Start training from seeded weights and take five steps on seeded batches; the losses."""
    _seed(seed)
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    _seed(seed + 1)
    return [float(trainer.train_step(next(trainer.dataloader_train))["loss"]) for _ in range(5)]


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (nnU-Net's loader uses the global generator)
