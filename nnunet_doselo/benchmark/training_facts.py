"""What nnU-Net and `seeded_training` have written down about a training: each of its runs, its facts, its curves."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nnunet_doselo.common.files import read_json, write_json
from nnunet_doselo.common.nnunet_environment import FINAL_CHECKPOINT
from nnunet_doselo.evaluation.fold_seed import FoldSeed
from nnunet_doselo.evaluation.result_files import COMPARED_BY
from nnunet_doselo.predictor.spatial_domain import SpatialDomain

from .names import Length

RECORD_FILE = "doselo_training.json"
TIME = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?): ")
LOGGED_AS = {
    "train_loss": "train_losses",
    "val_loss": "val_losses",
    "ema_dice": "ema_fg_dice",
    **{
        name: name
        for name in (
            *("train_voxel_loss", "train_dose_term", "val_voxel_loss", "val_dose_term"),
            *("train_dose_rms_gy", "val_dose_rms_gy"),
        )
    },
}
"""Names in curves.json, and in the log that nnU-Net keeps in a checkpoint; the last six are of guided trainings."""


@dataclass(frozen=True)
class TrainingRun:
    """One run of a training, which may have been interrupted and continued. `loader_processes`: nnUNet_n_proc_DA."""

    seed: int
    continued: bool
    started: float
    seconds: float
    hardware: str
    loader_processes: str
    finished: bool


def read_runs(fold_folder: Path) -> list[TrainingRun]:
    """The runs of a training in order; none where it was not started by `seeded_training`."""
    file = fold_folder / RECORD_FILE
    return [TrainingRun(**run) for run in read_json(file, COMPARED_BY, kind=list)] if file.exists() else []


def append_run(fold_folder: Path, run: TrainingRun) -> None:
    """The file appears whole or not at all."""
    runs: Sequence[TrainingRun] = [*read_runs(fold_folder), run]
    write_json(fold_folder / RECORD_FILE, runs)


@dataclass(frozen=True)
class TrainingFacts:
    """iterations: None if nnU-Net's debug.json is gone. hours: with the final validation; None if nothing tells.

    seeds, loader_processes, hardware: of each of its runs (one, if it was not interrupted); empty if they were not
        started by `seeded_training`, hardware then as nnU-Net noted it.
    predictor_sha256: None without dose term. noted: the benchmark has written down what the training reads.
    augmentation: in words; as `read_training` gives it, None unless its checkpoint says so.
    seed: in its trainer's name; None where all start from the same.
    """

    trainer: str
    fold: int
    epochs: int
    iterations: int | None
    started: float | None
    hours: float | None
    seeds: tuple[int, ...]
    loader_processes: tuple[str, ...]
    hardware: tuple[str, ...]
    predictor_sha256: str | None
    noted: bool = False
    augmentation: str | None = None
    seed: int | None = None

    @property
    def run(self) -> FoldSeed:
        return FoldSeed(self.fold, self.seed)

    @property
    def name(self) -> str:
        return f"{self.trainer} {self.run}"

    @property
    def length(self) -> Length | None:
        return Length(self.epochs, self.iterations) if self.iterations else None


def facts_from(result: dict[str, Any]) -> TrainingFacts:
    """As they come back from JSON."""
    tuples = {name: tuple(result[name]) for name in ("seeds", "loader_processes", "hardware")}
    return TrainingFacts(**{**result, **tuples})


def read_training(training: Path, trainer: str, run: FoldSeed) -> tuple[TrainingFacts, dict[str, Any]]:
    """The facts of a finished training, and its curves as in curves.json; `training`: its fold's folder."""
    import torch

    # nnU-Net's own checkpoints hold more than tensors; mapped, so that weights are not read
    checkpoint = torch.load(training / FINAL_CHECKPOINT, map_location="cpu", weights_only=False, mmap=True)
    debug, kept = _debug(training), checkpoint["init_args"].get("augmentation")
    runs = read_runs(training)
    spans = _log_spans(training)
    facts = TrainingFacts(
        trainer,
        run.trained_fold,
        checkpoint["current_epoch"],
        int(debug["num_iterations_per_epoch"]) if "num_iterations_per_epoch" in debug else None,
        min([past.started for past in runs] or [start for start, _ in spans], default=None),
        _hours(runs, spans),
        tuple(past.seed for past in runs),
        tuple(past.loader_processes for past in runs),
        tuple(past.hardware for past in runs) or _noted_hardware(debug),
        checkpoint["init_args"].get("dose_predictor_sha256"),
        augmentation=str(SpatialDomain.from_json(kept)) if kept else None,
        seed=run.seed,
    )
    return facts, curves_of(checkpoint["logging"])


def curves_of(logged: dict[str, Any]) -> dict[str, Any]:
    """curves.json; NaN becomes None."""
    curves = {name: _finite(logged[key]) for name, key in LOGGED_AS.items() if key in logged}
    return {"epochs": len(logged["train_losses"]), **curves}


def _finite(values: Sequence[float]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def _debug(training: Path) -> dict[str, str]:
    file = training / "debug.json"
    return read_json(file, "nnUNetv2_train") if file.exists() else {}


def _noted_hardware(debug: dict[str, str]) -> tuple[str, ...]:
    device = debug.get("gpu_name") or debug.get("device")
    return (device,) if device else ()


def _hours(runs: Sequence[TrainingRun], spans: Sequence[tuple[float, float]]) -> float | None:
    """From the records of its runs, else from the times in nnU-Net's logs."""
    seconds = [run.seconds for run in runs] or [end - start for start, end in spans]
    return sum(seconds) / 3600 if seconds else None


def _log_spans(training: Path) -> list[tuple[float, float]]:
    """First and last time in each of nnU-Net's logs, in seconds since 1970."""
    spans = []
    for log in sorted(training.glob("training_log_*.txt")):
        times = [match[1] for line in log.read_text(errors="replace").splitlines() if (match := TIME.match(line))]
        if times:
            spans.append((datetime.fromisoformat(times[0]).timestamp(), datetime.fromisoformat(times[-1]).timestamp()))
    return spans
