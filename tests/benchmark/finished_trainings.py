"""A dataset, its preprocessed folder and trainings that look finished: what nnU-Net leaves, without the training."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
import torch
from rich.console import Console

from nnunet_doselo.benchmark.names import keeps_to_domain
from nnunet_doselo.benchmark.setting import Asked
from nnunet_doselo.benchmark.training_facts import TrainingRun, append_run
from nnunet_doselo.benchmark.whole_benchmark import BenchmarkOutcome, prepare_benchmark, run_benchmark
from nnunet_doselo.common.files import json_values
from nnunet_doselo.dataset.images import write_array
from nnunet_doselo.predictor.spatial_domain import SpatialDomain

DATASET = "Dataset031_Head"
PLANS = {
    "plans_name": "nnUNetPlans",
    "transpose_forward": [0, 1, 2],
    "configurations": {
        "2d": {"data_identifier": "nnUNetPlans_2d", "patch_size": [32, 32], "batch_size": 12},
        "2d_small": {"inherits_from": "2d", "batch_size": 2},
        "3d": {"data_identifier": "nnUNetPlans_3d", "patch_size": [16, 32, 32], "batch_size": 2},
    },
}
SPLITS = [
    {"train": ["Phantom_001", "Phantom_002"], "val": ["Phantom_000"]},
    {"train": ["Phantom_000"], "val": ["Phantom_001", "Phantom_002"]},
]
DEFAULT, BCE = "nnUNetTrainer_2epochs_3iterations", "nnUNetTrainerBCE_2epochs_3iterations"
DOSELO = "nnUNetTrainerDOSELO_2epochs_3iterations"
RUN = TrainingRun(0, False, 1e10, 7200.0, "a GPU", "0", True)
"""Two hours that begin in the year 2286, long after everything here was preprocessed."""


KEPT = SpatialDomain(("x",), (15.0, 0.0, 0.0))
"""Of slices, what a predictor that knows no beams leaves of nnU-Net's augmentation."""


class Inline(Executor):
    """Does the work at once, in this process."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class InlinePools:
    def executor(self, *, heavy: bool) -> Executor:
        return Inline()

    def width(self, *, heavy: bool) -> int | None:
        return 1

    def renew(self) -> None:
        raise AssertionError

    def lost(self) -> str:
        raise AssertionError

    def stop(self) -> None:
        """Nothing runs."""


def make_project(root: Path, patch: pytest.MonkeyPatch, test_cases: int = 0) -> Path:
    """Three patients in two folds, as if preprocessed; nnU-Net's variables name it. Its folder of results."""
    for name in [name for name in os.environ if name.startswith("nnUNet_")]:
        patch.delenv(name)
    for kind in ("raw", "preprocessed", "results"):
        patch.setenv(f"nnUNet_{kind}", str(root / kind))
    phantoms.write_extended_dataset(root / "raw" / DATASET, 3, test_cases)
    preprocessed = root / "preprocessed" / DATASET
    (preprocessed / "nnUNetPlans_2d").mkdir(parents=True)
    (preprocessed / "nnUNetPlans_2d" / "Phantom_000.b2nd").write_bytes(b"voxels")
    (preprocessed / "dataset.json").write_text((root / "raw" / DATASET / "dataset.json").read_text())
    _dump(preprocessed / "nnUNetPlans.json", PLANS)
    _dump(preprocessed / "splits_final.json", SPLITS)
    return root / "results" / DATASET


def asked(*trainers: str, **changes: Any) -> Asked:
    names = trainers or (DEFAULT, BCE)
    return replace(Asked("31", "2d_small", names, (0, 1), names[0]), **changes)


def finish_training(
    results: Path,
    trainer: str,
    fold: int,
    *,
    runs: Sequence[TrainingRun] = (RUN,),
    epochs: int = 2,
    predictor: str = "",
    domain: SpatialDomain | None = None,
    shift: int = 0,
) -> Path:
    """What a training of `2d_small` leaves; its validation has the true targets, moved by `shift` voxels along x."""
    model = results / f"{trainer}__nnUNetPlans__2d_small"
    training = model / f"fold_{fold}"
    training.mkdir(parents=True, exist_ok=True)
    _dump(model / "plans.json", PLANS)
    raw = results.parent.parent / "raw" / DATASET
    (model / "dataset.json").write_text((raw / "dataset.json").read_text())
    _dump(training / "debug.json", {"num_iterations_per_epoch": "3", "num_epochs": str(epochs), "device": "cpu"})
    for run in runs:
        append_run(training, run)
    domain = domain or (KEPT if keeps_to_domain(trainer) else None)
    torch.save(_checkpoint(epochs, predictor, domain), training / "checkpoint_final.pth")
    _validate(training / "validation", SPLITS[fold]["val"], shift)
    return training


def model(root: Path, trainer: str) -> Path:
    return root / "results" / DATASET / f"{trainer}__nnUNetPlans__2d_small"


def finish(root: Path, *trainers: str, folds: Sequence[int] = (0, 1), **changes: Any) -> None:
    for trainer in trainers:
        for fold in folds:
            finish_training(root / "results" / DATASET, trainer, fold, **changes)


def go(root: Path, *trainers: str, **changes: Any) -> BenchmarkOutcome:
    """A benchmark in root/out."""
    console = Console(file=StringIO())
    return run_benchmark(
        prepare_benchmark(asked(*trainers, **changes), root / "out"), InlinePools(), console, "doselo benchmark 31"
    )


def read(root: Path, name: str) -> Any:
    return json.loads((root / "out" / name).read_text())


def play_scores(patch: pytest.MonkeyPatch) -> None:
    """Scores and their comparison take a second a case: put what they were called with in their place."""
    patch.setattr("nnunet_doselo.benchmark.work.contour_folder.evaluate_folder", _play_evaluation)
    patch.setattr("nnunet_doselo.evaluation.comparison.compare_evaluations", _play_comparison)


def _play_evaluation(dataset: Any, contours: Path, source: Any, output: Path, *, cases: Any, **named: Any) -> None:
    """Needs the doses of all cases, as the real one does."""
    source.prepare(cases, contours, output)
    found = {"cases": list(cases), "contours": str(contours), **named}
    (output / "evaluation.json").write_text(json.dumps(found))


def _play_comparison(output: Path, contours: Any, **named: Any) -> None:
    folders = {name: {str(run): str(path) for run, path in runs.items()} for name, runs in contours.items()}
    (output / "comparison.json").write_text(json.dumps({"contours": folders, **named}, default=str))


def _checkpoint(epochs: int, predictor: str, domain: SpatialDomain | None) -> dict[str, Any]:
    values = {"train_losses": 0.5, "val_losses": np.float32("nan"), "ema_fg_dice": 0.1}
    logging = {name: [value] * epochs for name, value in values.items()}
    kept = {"dose_predictor_sha256": predictor} if predictor else {}
    if domain:
        kept["augmentation"] = json_values(domain)
    guided = {"train_dose_term": [0.01] * epochs} if predictor else {}
    return {
        "current_epoch": epochs,
        "logging": logging | guided,
        "init_args": kept,
    }


def _validate(folder: Path, cases: Sequence[str], shift: int) -> None:
    for case in cases:
        moved = np.roll(phantoms.target(int(case[-3:])), shift, axis=2)
        write_array(folder / f"{case}.nii.gz", moved.astype(np.uint8), phantoms.grid_for())
    _dump(folder / "summary.json", {"metric_per_case": [{"prediction_file": f"/x/{case}.nii.gz"} for case in cases]})


def _dump(file: Path, content: object) -> None:
    file.write_text(json.dumps(content))
