"""The demo's own folder: nnU-Net's three folders below it, so that yours are left alone, and what it was begun with."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import all_or_nothing, json_values, read_json, write_json
from nnunet_doselo.common.nnunet_environment import (
    FOLDER_VARIABLES,
    PREDICTOR_VARIABLE,
    TRAINER_FOLDER,
    TRAINER_VARIABLE,
)
from nnunet_doselo.common.versions import version_of

from .commands import PREDICTOR
from .settings import DemoSettings

RECORD_FILE, VARIABLES_FILE = "doselo_demo.json", "env.sh"


def prepare_folder(folder: Path, settings: DemoSettings) -> None:
    """Make the folder, or take up a demo that was begun there with the same settings.

    Raises
    ------
    DoseloError: the folder holds something else, or a demo of another size or version.
    """
    record = folder / RECORD_FILE
    content = json_values({"made_by": "doselo demo", "version": version_of("nnunet-doselo"), **asdict(settings)})
    if record.exists():
        _require_same(record, content)
    elif folder.exists() and any(folder.iterdir()):
        raise DoseloError(f"{folder}: must be new, empty or an earlier demo's; name another one with --folder")
    for variable in FOLDER_VARIABLES:
        (folder / variable).mkdir(parents=True, exist_ok=True)
    write_json(record, content)
    exports = [f"export {name}={shlex.quote(value)}" for name, value in demo_variables(folder).items()]
    with all_or_nothing(folder / VARIABLES_FILE) as partial:
        partial.write_text("\n".join(exports) + "\n")


def _require_same(record: Path, content: Mapping[str, object]) -> None:
    earlier = read_json(record, "doselo demo")
    differences = [
        f"{key} {earlier.get(key)}, now {value}" for key, value in content.items() if earlier.get(key) != value
    ]
    if differences:
        raise DoseloError(
            f"{record.parent}: holds another demo ({'; '.join(differences)}); go on with that one, "
            "remove the folder, or name another one with --folder"
        )


def demo_variables(folder: Path) -> dict[str, str]:
    """What the commands need to find each other's files, and what suits small networks on few cores.

    OMP_WAIT_POLICY: trainings and planning share the cores, where threads that wait should not keep them busy.
    """
    return {
        **{variable: str(folder / variable) for variable in FOLDER_VARIABLES},
        TRAINER_VARIABLE: str(TRAINER_FOLDER),
        PREDICTOR_VARIABLE: str(folder / PREDICTOR),
        "nnUNet_compile": "f",
        "nnUNet_n_proc_DA": "1",
        "nnUNet_def_n_proc": "1",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",
    }


def demo_environment(folder: Path) -> dict[str, str]:
    """This process's, with nnU-Net's variables replaced by the demo's."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("nnUNet_")}
    return {**others, **demo_variables(folder), "PYTHONUNBUFFERED": "1"}
