"""The command line: help at once, errors in one line, and exit statuses that scripts can rely on."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import phantoms
import pytest
import typer
from click import unstyle
from predictors import card_of, random_network
from stub_planner import StubPlanner
from typer.testing import CliRunner

from nnunet_doselo.cli import app
from nnunet_doselo.doctor import Check
from nnunet_doselo.predictor.artifact import save_predictor

COMMANDS = ["env", "doctor", "verify", "preprocess", "train-predictor", "plan", "evaluate", "export-stock", "convert"]
COMMANDS += ["evaluate-predictor", "predict-dose", "trainers", "export-rtstruct", "import-dose"]
CONVERTERS = ["dicom", "nifti", "starter", "openkbp", "channels"]
FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
DATASET = "Dataset501_Head"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nnU-Net's three folders below a temporary one, where also the commands run."""
    for name in FOLDERS:
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("nnUNet_dose_predictor", raising=False)
    monkeypatch.chdir(tmp_path)
    phantoms.write_extended_dataset(tmp_path / "nnUNet_raw" / DATASET, cases=2, test_cases=1)
    return tmp_path


def doselo(*arguments: str, status: int = 0) -> tuple[str, str]:
    """What the command prints on stdout and on stderr, without colours."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == status, result.output
    return unstyle(result.stdout), unstyle(result.stderr)


def outside(*arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a process of its own, without nnU-Net's folders, on a narrow terminal."""
    environment = {name: value for name, value in os.environ.items() if name not in FOLDERS} | {"COLUMNS": "40"}
    command = [sys.executable, "-m", "nnunet_doselo.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return done.returncode, unstyle(done.stdout), unstyle(done.stderr)


def there(group: Any, *above: str) -> dict[str, str]:
    """What each command below a group says about itself, by what is typed."""
    said: dict[str, str] = {}
    for name, command in group.commands.items():
        below = hasattr(command, "commands")
        said |= there(command, *above, name) if below else {" ".join([*above, name]): command.help or ""}
    return said


ABOUT = there(typer.main.get_command(app))


def test_help_lists_the_commands() -> None:
    for text, commands in ((doselo("--help")[0], COMMANDS), (doselo("convert", "-h")[0], CONVERTERS)):
        assert [command for command in commands if command not in text] == []


@pytest.mark.parametrize("command", ABOUT)
def test_every_command_has_help_that_says_what_it_does(command: str) -> None:
    about = ABOUT[command]
    text, errors = doselo(*command.split(), "--help")
    words = " ".join(text.split())
    assert words.startswith(f"Usage: doselo {command} ")
    assert " ".join(about.split()[:6]) in words
    assert len(about.split()) > 5
    assert errors == ""


def test_help_needs_nothing_heavy() -> None:
    code = """
import sys
from typer.testing import CliRunner
from nnunet_doselo.cli import app
for command in ([], ["train-predictor"], ["evaluate"], ["predict-dose"]):
    assert CliRunner().invoke(app, [*command, "--help"]).exit_code == 0
print({"torch", "lightning", "nnunetv2", "SimpleITK", "scipy", "matplotlib"} & {*sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("set()", "")


def test_an_error_is_one_line_on_stderr_and_exit_status_1() -> None:
    status, said, errors = outside("verify", "501")
    assert (status, said) == (1, "")
    (line,) = errors.splitlines()
    assert line.startswith("error: the environment variable nnUNet_raw must name a folder")


def test_a_wrong_option_is_a_usage_error_and_exit_status_2() -> None:
    status, said, errors = outside("train-predictor", "501", "--epochs", "many")
    assert (status, said) == (2, "")
    assert "--epochs" in errors
    assert "Traceback" not in errors


def test_brackets_in_an_error_are_text_not_markup(root: Path) -> None:
    _, errors = doselo("verify", "Dataset[red]", status=1)
    assert "Dataset[red]" in errors


def test_verify_tells_by_its_exit_status(root: Path) -> None:
    said, errors = doselo("verify", "501", "-np", "1")
    assert "no findings in 2 training and 1 test cases" in said
    (root / "nnUNet_raw" / DATASET / "ctTr" / "Phantom_001.nii.gz").unlink()
    said, errors = doselo("verify", "501", "-np", "1", status=1)
    assert said.splitlines() == ["Phantom_001: missing ctTr/Phantom_001.nii.gz"]
    assert "1 findings" in errors


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    said, _ = doselo("train-predictor", "501", "--dry-run", "--epochs", "3", "--iterations", "7", "--width", "0.25")
    assert "training cases: 1" in said
    assert "steps: 21" in said
    assert str(root / "nnUNet_results" / DATASET / "DosePredictor__default") in said
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_a_preset_gives_what_is_not_given_and_3d_has_spacings_along_all_axes(root: Path) -> None:
    three = ("--dim", "3", "--preset", "small", "--spacing", "4")
    said, _ = doselo("train-predictor", "501", "--dry-run", *three, "--iterations", "7")
    assert "axes: 3d" in said
    assert "spacing (z, y, x), mm: (4.0, 4.0, 4.0)" in said
    assert "channels: (8, 16, 32, 64, 128)" in said
    assert "steps: 700" in said
    assert "steps: 21" in doselo("train-predictor", "501", "--dry-run", *three, "--iterations", "7", "--epochs", "3")[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["501", "--epochs", "0"], "must be positive"),
        (["501", "--spacing", "-1"], "spacing must be positive"),
        (["501", "--dim", "4"], "dim must be 2 (axial slices) or 3 (volumes), found 4"),
        (["501", "--preset", "huge"], "preset must be one of small, default, large, found huge"),
        (["502"], "expected one dataset Dataset502_*"),
    ],
)
def test_a_training_that_cannot_start_is_one_clear_error(root: Path, arguments: list[str], message: str) -> None:
    said, errors = doselo("train-predictor", *arguments, "--dry-run", status=1)
    assert said == ""
    assert message in errors
    assert len(errors.splitlines()) == 1


def test_evaluate_finds_the_datasets_predictor_and_prints_a_table(root: Path) -> None:
    network = random_network()
    save_predictor(network, card_of(network), root / "nnUNet_preprocessed" / DATASET / "dose_predictor.ts")
    labels = root / "nnUNet_raw" / DATASET / "labelsTs"
    said, _ = doselo("evaluate", str(labels), "501", "-o", "out", "-np", "1")
    assert "union RMAE" in said
    assert "no treatment planning system" in said
    assert (root / "out" / "labelsTs" / "scores.csv").read_text().startswith("case,union_rmae,rmae,")


def test_evaluate_without_a_predictor_names_both_places(root: Path) -> None:
    _, errors = doselo("evaluate", ".", "501", "--name", "here", status=1)
    assert "nnUNet_dose_predictor is not set" in errors
    assert str(root / "nnUNet_preprocessed" / DATASET / "dose_predictor.ts") in errors


def test_plans_are_made_and_evaluated_without_a_predictor(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    StubPlanner().install(monkeypatch)
    said, _ = doselo("plan", "501", "--out", "planned", "-np", "1")
    labels = root / "nnUNet_raw" / DATASET / "labelsTs"
    assert said.splitlines() == [
        "planned: 1 of 1 cases planned, 0 were current",
        f"next: doselo evaluate {labels} 501 --split Ts --dose-from planned",
    ]
    said, _ = doselo("evaluate", str(labels), "501", "-o", "out", "--dose-from", "planned", "-np", "1")
    assert "evaluated: the built-in planner (engine fluence: fluence optimisation, not a deliverable plan)" in said


@pytest.mark.parametrize("options", [["--dose-from", "a", "--predictor", "b"], ["--reference-doses", "a"]])
def test_evaluate_takes_doses_from_one_source(root: Path, options: list[str]) -> None:
    _, errors = doselo("evaluate", ".", "501", "--name", "here", *options, status=1)
    assert "doses come from --dose-from planner, pydosert or FOLDER (and --reference-doses)" in errors


def test_env_prints_one_line_for_the_shell() -> None:
    (line,) = doselo("env")[0].splitlines()
    assert line.startswith('export nnUNet_extTrainer="')


@pytest.mark.parametrize(("ok", "status"), [(True, 0), (False, 1)])
def test_doctor_prints_each_fix_and_tells_by_its_exit_status(
    monkeypatch: pytest.MonkeyPatch, ok: bool, status: int
) -> None:
    found = [Check("python", True, "3.11"), Check("folders", ok, "[none]", "" if ok else "set nnUNet_raw")]
    monkeypatch.setattr("nnunet_doselo.doctor.checks", lambda: found)
    said, _ = doselo("doctor", status=status)
    assert "folders: [none]" in said
    assert ("fix: set nnUNet_raw" in said) is not ok


def test_trainers_are_listed_whole_with_loss_and_suffixes() -> None:
    from nnunet_doselo.trainer.trainer_names import SUFFIXES, TRAINERS

    status, said, errors = outside("trainers")  # on a narrow terminal
    assert (status, errors) == (0, "")
    words = said.replace("│", " ").split()
    assert [name for name in TRAINERS if name not in words] == []
    assert [suffix.example for suffix in SUFFIXES if suffix.example not in words] == []
