"""What nnU-Net says, and what this package says, when `nnUNet_extTrainer` names another folder than it must."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from nnunet_project import run

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.nnunet_environment import PACKAGE, TRAINER_FOLDER, refuse_search_of_everything

TRAINER = "nnUNetTrainerDOSELO_lambda0p1"
LOOK_UP = """
import json, os, sys
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name as find
said = {}
for path in json.loads(sys.argv[2]):
    os.environ["nnUNet_extTrainer"] = path
    try:
        said[path] = find(sys.argv[1]).__name__
    except Exception as error:
        said[path] = f"{type(error).__name__}: {error}"
print(json.dumps(said))
"""


def look_up(name: str, *paths: str) -> dict[str, str]:
    """What nnU-Net finds in a process of its own for each value of the variable: the class's name or the error."""
    command = [sys.executable, "-c", LOOK_UP, name, json.dumps(paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_nnunets_search_ends_in_a_clear_word(tmp_path: Path) -> None:
    package, root = str(PACKAGE), str(PACKAGE.parent)
    file, missing = str(TRAINER_FOLDER / "nnunet_doselo_trainers.py"), str(tmp_path / "nowhere")
    company = os.pathsep.join([missing, str(TRAINER_FOLDER)])
    said = look_up(TRAINER, package, root, file, missing, company)
    assert said[package].startswith(f"DoseloError: nnUNet_extTrainer: {package} is the whole package")
    if (PACKAGE.parent / "pyproject.toml").exists():  # installed from a wheel, all of site-packages would be searched
        assert said[root].startswith(f"DoseloError: nnUNet_extTrainer: {root} is the repository's root")
    for silent in (file, missing):  # nnU-Net imports nothing there
        assert said[silent].startswith(f"RuntimeError: Could not find requested nnunet trainer {TRAINER}")
        assert said[silent].endswith(f"nnUNet_extTrainer={silent}")
    assert said[company] == TRAINER


def test_a_training_with_the_wrong_folder_tells_the_right_one(tmp_path: Path) -> None:
    variables = {f"nnUNet_{name}": str(tmp_path) for name in ("raw", "preprocessed", "results")}
    command = ["nnUNetv2_train", "501", "2d", "0", "-tr", TRAINER, "-device", "cpu"]
    said = run(command, variables | {"nnUNet_extTrainer": str(PACKAGE)}, fails=True).splitlines()[-1]
    assert "is the whole package, all of which nnU-Net would import; name its subfolder nnunet_ext" in said
    assert 'eval "$(doselo env)"' in said


@pytest.mark.parametrize("path", [None, str(TRAINER_FOLDER), f"/usr{os.pathsep}{TRAINER_FOLDER}"])
def test_the_guard_is_silent_for_the_right_folder(path: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_extTrainer", raising=False)
    if path:
        monkeypatch.setenv("nnUNet_extTrainer", path)
    refuse_search_of_everything()


def test_the_guard_names_every_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_extTrainer", os.pathsep.join([str(PACKAGE), "~/nnunet_ext", str(TRAINER_FOLDER)]))
    with pytest.raises(DoseloError, match=r"is the whole package.*nnU-Net does not expand ~"):
        refuse_search_of_everything()


def test_the_guard_comes_before_every_other_module_of_the_package() -> None:
    """nnU-Net goes through modules in the order of their names, before subpackages."""
    modules = sorted(file.name for file in PACKAGE.glob("*.py") if file.name != "__init__.py")
    assert modules[0] == "_search_guard.py"


def test_a_folder_without_its_package_says_where_to_install(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(TRAINER_FOLDER)!r})
class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name == "nnunet_doselo":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, NotInstalled())
import nnunet_doselo_trainers
hasattr(nnunet_doselo_trainers, "nnUNetTrainerDOSELO")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert f"nnunet-doselo is not installed for {sys.executable}; install it" in done.stderr.splitlines()[-1]
