"""What `seeded_training` leaves beside a network: one entry for each run of a training."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nnunet_doselo.common.files import all_or_nothing

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
    return [TrainingRun(**run) for run in json.loads(file.read_text())] if file.exists() else []


def append_run(fold_folder: Path, run: TrainingRun) -> None:
    """The file appears whole or not at all."""
    runs: Sequence[TrainingRun] = [*read_runs(fold_folder), run]
    with all_or_nothing(fold_folder / RECORD_FILE) as partial:
        partial.write_text(json.dumps([asdict(known) for known in runs], indent=2) + "\n")
