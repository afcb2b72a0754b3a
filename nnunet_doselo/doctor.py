"""Is everything in place? Each check says what it found, and how to mend what is wrong."""

import os
import subprocess
import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.nnunet_environment import (
    FOLDER_VARIABLES,
    PREDICTOR_VARIABLE,
    PREPROCESSED,
    SET_IT,
    TRAINER_VARIABLE,
    is_ours,
    quoted,
    trainer_folder_mistakes,
    trainer_paths,
)
from nnunet_doselo.common.versions import version_of

GUIDED_TRAINER = "nnUNetTrainerDOSELO"
SEARCH_SECONDS = 300


@dataclass(frozen=True)
class Check:
    """One thing looked at. `fix` is a command or a sentence; empty if `ok`."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def checks() -> list[Check]:
    """All checks in the order a user mends them; takes seconds, since nnU-Net is asked for the trainer."""
    return [
        _python(),
        _package("nnunetv2"),
        _package("torch"),
        _device(),
        *(_folder(variable) for variable in FOLDER_VARIABLES),
        _trainer_folder(),
        _trainer(),
        _predictor(),
    ]


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    needed = metadata.metadata("nnunet-doselo")["Requires-Python"]
    ok = SpecifierSet(needed).contains(version)
    return Check("python", ok, version, "" if ok else f"make an environment with Python {needed}")


def _package(name: str) -> Check:
    """The range comes from this package's own requirements."""
    requirements = map(Requirement, metadata.requires("nnunet-doselo") or [])
    needed = next(requirement for requirement in requirements if requirement.name == name)
    version = version_of(name)
    ok = version != "not installed" and needed.specifier.contains(version, prereleases=True)
    return Check(name, ok, version, "" if ok else f'pip install "{needed}"')


def _device() -> Check:
    """CUDA, Apple's MPS or the CPU; all will do. A driver's complaint is passed on."""
    import torch

    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        has_cuda = torch.cuda.is_available()
    if has_cuda:
        return Check("device", True, f"cuda: {torch.cuda.get_device_name(0)}")
    if torch.backends.mps.is_available():
        return Check("device", True, "mps: Apple GPU; pass -device mps to nnUNetv2_train and nnUNetv2_predict")
    note = "cpu: enough to try and to predict, slow to train; pass -device cpu to nnU-Net's commands"
    return Check("device", True, " ".join([note, *(f"({c.message})" for c in complaints[:1])]))


def _folder(variable: str) -> Check:
    value = os.environ.get(variable)
    if not value:
        fix = f'mkdir -p "$HOME/{variable}" && export {variable}="$HOME/{variable}"'
        return Check(variable, False, "not set", fix)
    folder = Path(value)
    if not folder.is_dir():
        what = "a file" if folder.exists() else "no such folder"
        return Check(variable, False, f"{value}: {what}", f'mkdir -p "{quoted(value)}"')
    if not os.access(folder, os.W_OK):
        return Check(variable, False, f"{value}: not writable", f'chmod u+w "{quoted(value)}"')
    return Check(variable, True, value)


def _trainer_folder() -> Check:
    paths, mistakes = trainer_paths(), trainer_folder_mistakes()
    if mistakes:
        return Check(TRAINER_VARIABLE, False, "; ".join(mistakes), SET_IT)
    value = os.pathsep.join(paths)
    if any(is_ours(path) for path in paths):
        return Check(TRAINER_VARIABLE, True, value)
    missing = [path for path in paths if not Path(path).exists()]
    if missing:  # nnU-Net passes over it without a word
        return Check(TRAINER_VARIABLE, False, f"{os.pathsep.join(missing)}: no such folder", SET_IT)
    what = f"{value}: not the folder of this installation" if paths else "not set"
    return Check(TRAINER_VARIABLE, False, what, SET_IT)


def _trainer() -> Check:
    """nnU-Net looks the trainer up itself, in a fresh process with this environment."""
    name = f"trainer {GUIDED_TRAINER}"
    search = "from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name as find"
    ask = f"{search}; find({GUIDED_TRAINER!r})"
    try:
        answer = subprocess.run(
            [sys.executable, "-c", ask], capture_output=True, text=True, timeout=SEARCH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        what = f"nnU-Net did not find it within {SEARCH_SECONDS} s"
        return Check(name, False, what, f"name a small folder in {TRAINER_VARIABLE}; {SET_IT}")
    if answer.returncode == 0:
        return Check(name, True, "found by nnU-Net")
    lines = answer.stderr.strip().splitlines() or [f"nnU-Net ended with status {answer.returncode}"]
    return Check(name, False, lines[-1], SET_IT)


def _predictor() -> Check:
    name = f"dose predictor ({PREDICTOR_VARIABLE})"
    value = os.environ.get(PREDICTOR_VARIABLE)
    if not value:
        return Check(name, True, f"not set: each dataset's own is used, {_predictors_of_datasets()}")
    if Path(value).is_file():
        return Check(name, True, value)
    fix = f"unset {PREDICTOR_VARIABLE}, or set it to a file that `doselo train-predictor` wrote"
    return Check(name, False, f"{value}: no such file", fix)


def _predictors_of_datasets() -> str:
    """Where they would lie, and which preprocessed datasets have one, by kind of configuration."""
    from nnunet_doselo.predictor.artifact import FILE_NAME, FILE_NAME_3D

    where = f"{PREPROCESSED}/DATASET/{FILE_NAME}, in 3d rather {FILE_NAME_3D}"
    root = os.environ.get(PREPROCESSED)
    folders = sorted(Path(root).glob("Dataset*")) if root else []
    used = {folder.name: _used_in(folder) for folder in folders}
    return "; ".join([where, *(f"{name}: {', '.join(files)}" for name, files in used.items() if files)])


def _used_in(folder: Path) -> list[str]:
    """The predictors that a dataset's configurations are trained with; a 2d one cannot use that of volumes."""
    from nnunet_doselo.predictor.artifact import find_predictor

    used = []
    for dim in (2, 3):
        with suppress(DoseloError):
            used.append(f"{dim}d {find_predictor(folder, dim).name}")
    return used
