"""What `pip install` puts on a machine: one top-level package, with the two folders from beside it inside."""

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SOURCES = ("nnunet_doselo", "dataset_conversion", "predictor_training", "tests", "benchmarks")
FILES = ("pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy, without a network: setuptools leaves its own folders beside what it builds."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (repository / name).is_dir():
            shutil.copytree(repository / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        if (repository / name).is_file():
            shutil.copy(repository / name, copy / name)
    build = ["build", "--wheel", "--no-isolation", "--outdir", str(out)]
    pip = ["pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(out)]
    command = build if importlib.util.find_spec("build") else pip
    done = subprocess.run(
        [sys.executable, "-m", *command, str(copy)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = out.glob("*.whl")
    return zipfile.ZipFile(file)


def test_one_top_level_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    (info,) = {name.partition("/")[0] for name in wheel.namelist()} - {"nnunet_doselo"}
    assert info.endswith(".dist-info")
    assert wheel.read(f"{info}/top_level.txt").decode().split() == ["nnunet_doselo"]


@pytest.mark.parametrize("folder", ["dataset_conversion", "predictor_training"])
def test_the_folders_from_beside_are_inside(wheel: zipfile.ZipFile, repository: Path, folder: str) -> None:
    expected = {f"nnunet_doselo/{path.relative_to(repository)}" for path in (repository / folder).rglob("*.py")}
    assert expected <= {*wheel.namelist()}
    assert f"nnunet_doselo/{folder}/__init__.py" in expected


def test_every_module_of_the_core_is_there(wheel: zipfile.ZipFile, repository: Path) -> None:
    """A subpackage that pyproject.toml does not list would be missing."""
    expected = {str(path.relative_to(repository)) for path in (repository / "nnunet_doselo").rglob("*.py")}
    assert expected - {*wheel.namelist()} == set()


@pytest.mark.parametrize(
    "name", ["dataset_conversion/cases/writer.py", "nnunet_ext/nnunet_doselo_trainers.py", "py.typed"]
)
def test_what_others_rely_on_is_there(wheel: zipfile.ZipFile, name: str) -> None:
    assert f"nnunet_doselo/{name}" in wheel.namelist()


def test_no_tests_are_installed(wheel: zipfile.ZipFile) -> None:
    names = [name.rpartition("/")[2] for name in wheel.namelist()]
    assert [name for name in names if name.startswith("test_") or name in ("conftest.py", "phantoms.py")] == []


def test_licence_and_command_are_declared(wheel: zipfile.ZipFile) -> None:
    (info,) = {name.partition("/")[0] for name in wheel.namelist()} - {"nnunet_doselo"}
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
    assert "License-Expression: Apache-2.0" in wheel.read(f"{info}/METADATA").decode()
    assert "doselo = nnunet_doselo.cli:app" in wheel.read(f"{info}/entry_points.txt").decode()
