"""What nnU-Net and this package read from the environment, and the names that nnU-Net gives to its files.

`nnUNet_extTrainer` must name the one folder that has our trainers: nnU-Net imports every module below each folder that
the variable names until one of them has the trainer. Mistakes in naming it are told here.
"""

import os
import re
from pathlib import Path

from nnunet_doselo.common.errors import DoseloError

RAW, PREPROCESSED, RESULTS = FOLDER_VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
PREDICTOR_VARIABLE = "nnUNet_dose_predictor"
TRAINER_VARIABLE = "nnUNet_extTrainer"

STOCK_TRAINER = "nnUNetTrainer"
FINAL_CHECKPOINT, LATEST_CHECKPOINT, BEST_CHECKPOINT = (
    f"checkpoint_{which}.pth" for which in ("final", "latest", "best")
)
BEST_DOSE_CHECKPOINT = "checkpoint_best_dose.pth"
"""Of a guided training, beside nnU-Net's own three."""

PACKAGE = Path(__file__).resolve().parent.parent
TRAINER_FOLDER = PACKAGE / "nnunet_ext"
SET_IT = 'put the line that `doselo env` prints into your shell profile; in this shell: eval "$(doselo env)"'


def environment_line() -> str:
    """The export for the shell profile: our folder first, then what `nnUNet_extTrainer` names already.

    The package's own folder and those above it are left out: nnU-Net would import every module below them.
    """
    others = [path for path in trainer_paths() if mistake(path) is None and not is_ours(path)]
    value = os.pathsep.join([str(TRAINER_FOLDER), *others])
    return f'export {TRAINER_VARIABLE}="{quoted(value)}"'


def refuse_search_of_everything() -> None:
    """For modules that nnU-Net comes across when the variable names a folder that is too high.

    Raises
    ------
    DoseloError: the variable names the package or a folder above it.
    """
    mistakes = trainer_folder_mistakes()
    if mistakes:
        raise DoseloError(f"{TRAINER_VARIABLE}: {'; '.join(mistakes)}; {SET_IT}")


def trainer_folder_mistakes() -> list[str]:
    """One sentence for each path that should have been ours."""
    return [sentence for path in trainer_paths() if (sentence := mistake(path))]


def trainer_paths() -> list[str]:
    return [path for path in os.environ.get(TRAINER_VARIABLE, "").split(os.pathsep) if path.strip()]


def is_ours(path: str) -> bool:
    return Path(path).resolve() == TRAINER_FOLDER


def mistake(path: str) -> str | None:
    """What is wrong with a path that should have been ours; None for the right one and for anyone else's."""
    folder = Path(path).resolve()
    if path.startswith("~"):
        return f"{path}: nnU-Net does not expand ~"
    if folder.parent == TRAINER_FOLDER:
        return f"{path} is a file; name the folder it lies in"
    if folder == PACKAGE:
        return f"{path} is the whole package, all of which nnU-Net would import; name its subfolder nnunet_ext"
    if folder not in PACKAGE.parents:
        return None
    where = "the repository's root" if (folder / "pyproject.toml").exists() else "a folder above the package"
    return f"{path} is {where}, all of which nnU-Net would import; name the package's folder nnunet_ext"


def quoted(text: str) -> str:
    """For use between double quotes in a shell."""
    return re.sub(r'([\\"$`])', r"\\\1", text)
