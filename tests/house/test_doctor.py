import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from nnunet_doselo import doctor
from nnunet_doselo.common.nnunet_environment import TRAINER_FOLDER, environment_line
from nnunet_doselo.doctor import Check, checks

PACKAGE = TRAINER_FOLDER.parent


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*doctor.FOLDER_VARIABLES, doctor.TRAINER_VARIABLE, doctor.PREDICTOR_VARIABLE):
        monkeypatch.delenv(variable, raising=False)


def only(name: str) -> Check:
    """The check of that name; nnU-Net is not started for it."""
    made = [
        *(doctor._folder(v) for v in doctor.FOLDER_VARIABLES),
        doctor._trainer_folder(),
        doctor._predictor(),
    ]
    (check,) = [check for check in made if check.name.startswith(name) or f"({name})" in check.name]
    return check


def test_everything_in_place_is_found_and_needs_no_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in doctor.FOLDER_VARIABLES:
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("nnUNet_extTrainer", str(TRAINER_FOLDER))
    found = checks()
    assert [check.name for check in found if not check.ok] == []
    assert {check.fix for check in found} == {""}
    names = [check.name for check in found]
    assert names[:4] == ["python", "nnunetv2", "torch", "device"]
    assert "trainer nnUNetTrainerDOSELO" in names


def test_each_missing_variable_comes_with_a_command() -> None:
    for variable in doctor.FOLDER_VARIABLES:
        check = only(variable)
        assert (check.ok, check.found) == (False, "not set")
        assert f'export {variable}="$HOME/{variable}"' in check.fix


def test_a_folder_that_is_missing_or_a_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for name, what in (("absent $x", "no such folder"), ("file", "a file")):
        monkeypatch.setenv("nnUNet_raw", str(tmp_path / name))
        check = only("nnUNet_raw")
        assert not check.ok
        assert check.found.endswith(what)
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "absent $x"))
    subprocess.run(only("nnUNet_raw").fix, shell=True, check=True)
    assert only("nnUNet_raw").ok


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda folder, mode: mode != os.W_OK)
    check = only("nnUNet_results")
    assert not check.ok
    assert check.found.endswith("not writable")
    assert check.fix.startswith("chmod u+w")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", "not set"),
        ("/", "is a folder above the package"),
        ("/usr", "not the folder of this installation"),
        ("/somewhere/else", "/somewhere/else: no such folder"),
        (str(PACKAGE), "is the whole package"),
        (str(PACKAGE.parent), "is the repository's root"),
        (str(PACKAGE.parent.parent), "is a folder above the package"),
        (str(TRAINER_FOLDER / "nnunet_doselo_trainers.py"), "is a file; name the folder it lies in"),
        ("~/nnunet_ext", "nnU-Net does not expand ~"),
        (f"{TRAINER_FOLDER}{os.pathsep}{PACKAGE.parent}", "is the repository's root"),
    ],
)
def test_a_wrong_trainer_folder_is_named_for_what_it_is(path: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_extTrainer", path)
    check = only("nnUNet_extTrainer")
    assert not check.ok
    assert found in check.found
    assert 'eval "$(doselo env)"' in check.fix


@pytest.mark.parametrize("path", [f"{TRAINER_FOLDER}/", f"/others{os.pathsep}{TRAINER_FOLDER}"])
def test_the_right_folder_may_have_company(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_extTrainer", path)
    assert only("nnUNet_extTrainer").ok


def test_the_environment_line_works_in_a_shell_and_keeps_other_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = str(tmp_path / 'my "odd" $folder `x`')
    monkeypatch.setenv("nnUNet_extTrainer", os.pathsep.join([str(PACKAGE), odd, "", str(TRAINER_FOLDER)]))
    line = environment_line()
    assert line.startswith(f'export nnUNet_extTrainer="{TRAINER_FOLDER}')
    shell = subprocess.run(
        ["sh", "-c", f'{line}; printf %s "$nnUNet_extTrainer"'], capture_output=True, text=True, check=True
    )
    assert shell.stdout == os.pathsep.join([str(TRAINER_FOLDER), odd])
    monkeypatch.setenv("nnUNet_extTrainer", shell.stdout)
    assert only("nnUNet_extTrainer").ok
    assert environment_line() == line


def test_the_environment_line_of_a_fresh_shell_is_one_export() -> None:
    assert environment_line() == f'export nnUNet_extTrainer="{TRAINER_FOLDER}"'


def test_nnunets_last_word_is_shown_when_it_does_not_find_the_trainer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for Python that fails as nnU-Net does."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho Traceback >&2\necho 'RuntimeError: Could not find it' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    check = doctor._trainer()
    assert (check.ok, check.found) == (False, "RuntimeError: Could not find it")
    assert "doselo env" in check.fix


@pytest.mark.parametrize(("version", "ok"), [("2.8.1", True), ("2.8.0", False), ("2.9.0", False)])
def test_nnunet_must_be_of_the_range_that_is_required(version: str, ok: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version_of", lambda name: version)
    check = doctor._package("nnunetv2")
    assert (check.ok, check.found) == (ok, version)
    assert check.fix == ("" if ok else 'pip install "nnunetv2<2.9,>=2.8.1"')


def test_a_local_build_of_torch_is_fine_and_a_missing_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version_of", lambda name: "2.15.0+cu130")
    assert doctor._package("torch").ok
    monkeypatch.setattr(doctor, "version_of", lambda name: "not installed")
    assert not doctor._package("torch").ok


def test_a_predictor_that_is_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only("nnUNet_dose_predictor").ok
    monkeypatch.setenv("nnUNet_dose_predictor", str(tmp_path / "dose_predictor.ts"))
    check = only("nnUNet_dose_predictor")
    assert (check.ok, check.found) == (False, f"{tmp_path / 'dose_predictor.ts'}: no such file")
    assert check.fix.startswith("unset nnUNet_dose_predictor")
    (tmp_path / "dose_predictor.ts").touch()
    assert only("nnUNet_dose_predictor").ok


def test_each_datasets_own_predictors_are_told_by_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = "nnUNet_preprocessed/DATASET/dose_predictor.ts, in 3d rather dose_predictor_3d.ts"
    assert only("nnUNet_dose_predictor").found.endswith(where)
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    for folder, names in {
        "Dataset001_None": [],
        "Dataset002_Both": ["dose_predictor.ts", "dose_predictor_3d.ts"],
        "Dataset003_Slices": ["dose_predictor.ts"],
        "Dataset004_Volumes": ["dose_predictor_3d.ts"],
    }.items():
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
    check = only("nnUNet_dose_predictor")
    assert check.ok
    assert check.found.split("; ")[1:] == [
        "Dataset002_Both: 2d dose_predictor.ts, 3d dose_predictor_3d.ts",
        "Dataset003_Slices: 2d dose_predictor.ts, 3d dose_predictor.ts",
        "Dataset004_Volumes: 3d dose_predictor_3d.ts",
    ]


def test_a_gpu_is_named_and_a_drivers_complaint_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    assert doctor._device().found == "cuda: Some GPU"

    def too_old() -> bool:
        warnings.warn("The NVIDIA driver on your system is too old", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", too_old)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    check = doctor._device()
    assert check.ok
    assert check.found.startswith("cpu: ")
    assert "driver on your system is too old" in check.found
