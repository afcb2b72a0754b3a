"""What `seeded_training` leaves beside a network: one entry for each run of a training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_doselo.common.files import read_json, write_json
from nnunet_doselo.evaluation.result_files import COMPARED_BY

RECORD_FILE = "doselo_training.json"


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
