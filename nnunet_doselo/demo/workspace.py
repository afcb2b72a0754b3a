"""The demo's own folder: nnU-Net's three folders, so that yours are left alone, logs, and what has been done."""

import json
import os
import re
import shlex
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import all_or_nothing
from nnunet_doselo.common.nnunet_environment import (
    FOLDER_VARIABLES,
    PREDICTOR_VARIABLE,
    TRAINER_FOLDER,
    TRAINER_VARIABLE,
)

from .stages import PREDICTOR_COHORT, Stage

SIGN = "doselo_demo.txt"


@dataclass(frozen=True)
class Marker:
    """What is known of a stage that was begun.

    key: stands for its commands and for the stages before it as they were run; with another key it is another stage.
    finished: when, in seconds since 1970; None until then.
    peak_mb: resident memory of the largest process.
    """

    key: str
    finished: float | None = None
    seconds: float = 0.0
    peak_mb: float = 0.0


class Workspace:
    """All paths of one demo. Stages remove what stands in their way, so the folder must be the demo's own."""

    def __init__(self, folder: Path) -> None:
        """Make the folder, or take up an earlier demo's.

        Raises
        ------
        DoseloError: the folder holds something else.
        """
        self.folder = folder.resolve()
        if self.folder.exists() and any(self.folder.iterdir()) and not (self.folder / SIGN).exists():
            raise DoseloError(f"{self.folder}: must be new, empty or an earlier demo's; name another one with --folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(self.folder / SIGN, "Made by `doselo demo`. Remove this folder when you have seen enough.\n")
        for variable in FOLDER_VARIABLES:
            (self.folder / variable).mkdir(exist_ok=True)
        exports = [f"export {name}={shlex.quote(value)}" for name, value in self.variables.items()]
        _write(self.folder / "env.sh", "\n".join(exports) + "\n")

    @property
    def variables(self) -> dict[str, str]:
        """What the commands need to find each other's files, and what suits a small network on few cores."""
        return {
            **{variable: str(self.folder / variable) for variable in FOLDER_VARIABLES},
            TRAINER_VARIABLE: str(TRAINER_FOLDER),
            PREDICTOR_VARIABLE: str(
                self.folder / "nnUNet_preprocessed" / PREDICTOR_COHORT.folder / "dose_predictor.ts"
            ),
            "nnUNet_compile": "f",
            "nnUNet_n_proc_DA": "1",
            "nnUNet_def_n_proc": "1",
            "OMP_NUM_THREADS": "1",
        }

    @property
    def environment(self) -> dict[str, str]:
        """This process's, with nnU-Net's variables replaced by the demo's."""
        others = {name: value for name, value in os.environ.items() if not name.startswith("nnUNet_")}
        return {**others, **self.variables, "PYTHONUNBUFFERED": "1"}

    def log(self, stage: Stage) -> Path:
        return self.folder / "logs" / f"{_file_name(stage)}.log"

    def marker(self, stage: Stage) -> Marker | None:
        """None for a stage that was never begun."""
        file = self._marker_file(stage)
        return Marker(**json.loads(file.read_text())) if file.exists() else None

    def is_done(self, stage: Stage, key: str) -> bool:
        """True if that very stage was finished and nobody has removed what it made."""
        marker = self.marker(stage)
        there = all((self.folder / output).exists() for output in stage.outputs)
        return marker is not None and marker.key == key and marker.finished is not None and there

    def mark(self, stage: Stage, marker: Marker) -> None:
        """The file appears whole or not at all."""
        _write(self._marker_file(stage), json.dumps(asdict(marker), indent=2) + "\n")

    def clear(self, stage: Stage) -> None:
        """Remove what an earlier run of the stage has made, and its log."""
        self.log(stage).unlink(missing_ok=True)
        for output in stage.outputs:
            shutil.rmtree(self.folder / output, ignore_errors=True)

    def _marker_file(self, stage: Stage) -> Path:
        return self.folder / "stages" / f"{_file_name(stage)}.json"


def _file_name(stage: Stage) -> str:
    return re.sub(r"\W+", "_", stage.name)


def _write(file: Path, text: str) -> None:
    with all_or_nothing(file) as partial:
        partial.write_text(text)
