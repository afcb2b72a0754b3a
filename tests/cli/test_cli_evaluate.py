"""`doselo evaluate` as people type it."""

import json
from pathlib import Path

import numpy as np
import phantoms
import pytest
from click import unstyle
from stub_planner import StubPlanner
from typer.testing import CliRunner

from nnunet_doselo.cli import app
from nnunet_doselo.dataset.images import read_array, write_array

DATASET = "Dataset501_Head"
CASES = ["Phantom_000", "Phantom_001"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two test cases; their true contours in `right`, moved by a voxel in `shifted`, half of their doses in `half`."""
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    monkeypatch.setattr("nnunet_doselo.scoring.contour_folder.draw_case", lambda path, found: path.touch())
    monkeypatch.chdir(tmp_path)
    dataset = phantoms.write_extended_dataset(tmp_path / DATASET, cases=0, test_cases=2)
    for case in CASES:
        labels, grid = read_array(dataset.path("labels", case, "Ts"))
        dose_gy, _ = read_array(dataset.path("dose", case, "Ts"))
        write_array(tmp_path / "right" / f"{case}.nii.gz", labels, grid)
        write_array(tmp_path / "shifted" / f"{case}.nii.gz", np.roll(labels, 1, axis=2), grid)
        write_array(tmp_path / "half" / f"{case}.nii.gz", dose_gy / 2, grid)
    return tmp_path


def evaluate(*arguments: str, status: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["evaluate", *arguments])
    assert result.exit_code == status, result.output
    return unstyle(result.stdout), unstyle(result.stderr)


def test_two_sets_of_contours_are_compared_in_one_table(root: Path) -> None:
    doses = ("--dose-from", f"{DATASET}/doseTs", "half")
    said, _ = evaluate("right", "501", "--versus", "shifted", *doses, "-o", "out", "-np", "1")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines() if "│" in line]
    assert rows[0] == ["union RMAE % ↓", "right", "0.0 [0.0, 0.0]", "baseline", "", ""]
    assert rows[1] == ["", "shifted", "50.0 [50.0, 50.0]", "+50.0 [+50.0, +50.0]", "0.5", "0 / 2 of 2"]
    assert ["GTV", "D95 >= 57 Gy", "2", "0", "2"] in rows
    assert "2 cases; differences to right, by case" in said
    assert "Differences are contours less right: below 0 is better where the arrow points down." in said
    assert "CI over patients only: one set of contours." in said
    assert "p takes the networks as given." in said
    assert "no test can reach p = 0.05" in said
    assert "evaluated: files without a record of who planned them" in said
    content = json.loads((root / "out" / "comparison.json").read_text())
    assert [one["name"] for one in content["contours"]] == ["right", "shifted"]
    assert (root / "out" / "shifted" / "evaluation.json").exists()


def test_one_word_plans_all_contours(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planner = StubPlanner().install(monkeypatch)
    asked = ("--dose-from", "planner", "--goals", "none", "--gamma", "2%/2mm", "-o", "out", "-np", "1")
    said, _ = evaluate("shifted", "501", "--name", "moved", *asked)
    assert len(planner.calls) == 6
    assert "noise floor, the true contours planned a second time: union RMAE 0.00 % on average" in said
    assert "p (Holm)" not in said
    assert "clinical goals: none, as asked" in said
    content = json.loads((root / "out" / "moved" / "evaluation.json").read_text())
    assert content["provenance"]["gamma"].startswith("global 2 %/2 mm")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["501", "right"], "501: must be a folder of label maps; the order is PREDICTIONS DATASET"),
        (["right", "501", "--versus", "nowhere"], "nowhere: must be a folder of label maps"),
        (
            ["right", "501", "--versus", "shifted", "--dose-from", "half"],
            "a folder of doses for each of right, shifted",
        ),
        (["right", "501", "--dose-from", "planner", "half"], "in this order; found planner, half"),
        (["right", "501", "--dose-from", "half", "--gamma", "3"], "a gamma criterion must look like 3%/2mm"),
        (["right", "501", "--dose-from", "half", "--goals", "ours.yaml"], "ours.yaml: clinical goals cannot be read"),
        (["right", "501", "--dose-from", "half", "--predictor", "p.ts"], "or from --predictor; give one of the two"),
    ],
)
def test_what_cannot_be_evaluated_is_one_clear_error(root: Path, arguments: list[str], message: str) -> None:
    said, errors = evaluate(*arguments, status=1)
    assert said == ""
    assert message in errors
    assert not (root / "evaluation").exists()
