"""`doselo benchmark` with nnU-Net's own trainings, real plans and real scores, as it is typed."""

import json
from pathlib import Path
from typing import Any

import pytest
from nnunet_project import DATASET, environment, make_project, run

pytestmark = pytest.mark.slow

DEFAULT, DOSELO = (f"{name}_1epochs_2iterations" for name in ("nnUNetTrainer", "nnUNetTrainerDOSELO"))
NOBODYS = "nnUNetTrainerNobodys"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one training that was not begun by the benchmark, but with its seed."""
    root = tmp_path_factory.mktemp("benchmark")
    make_project(root)
    train = ["python", "-m", "nnunet_doselo.benchmark.seeded_training", "0", "991", "2d_small", "0"]
    run([*train, "-tr", DEFAULT, "-device", "cpu"], environment(root))
    return root


def benchmark(root: Path, *trainers: str, fails: bool = False) -> str:
    typed = ["doselo", "benchmark", "991", "2d_small", "--trainers", *trainers, "--folds", "0-1"]
    more = ["--device", "cpu", "--trainings-at-once", "2", "-np", "2", "-o", str(root / "out")]
    return run([*typed, *more], environment(root), fails=fails)


def read(root: Path, name: str) -> Any:
    return json.loads((root / "out" / name).read_text())


def test_trainings_are_taken_over_made_scored_and_compared_and_a_failure_is_told(root: Path) -> None:
    before = json.loads(next((root / "results" / DATASET).glob("*/fold_0/doselo_training.json")).read_text())
    said = benchmark(root, DEFAULT, DOSELO, NOBODYS, fails=True)
    assert "scored on each fold's own validation cases" in said
    assert f"Could not find requested nnunet trainer {NOBODYS}" in " ".join(said.split())
    assert f"left out of the comparison, because not all of their runs are there: {NOBODYS}" in said
    model = root / "results" / DATASET / f"{DEFAULT}__nnUNetPlans__2d_small"
    assert json.loads((model / "fold_0" / "doselo_training.json").read_text()) == before, "taken over as it was"
    comparison, manifest = read(root, "comparison.json"), read(root, "manifest.json")
    assert [contours["name"] for contours in comparison["contours"]] == [DEFAULT, DOSELO]
    assert len(comparison["order"]) == 3
    assert comparison["dose"]["kind"] == "open planner"
    assert "1 epochs of 2 iterations in every training" in manifest["same"]
    assert manifest["hours"]["training"].keys() == {DEFAULT, DOSELO}
    assert {job["kind"] for job in manifest["jobs"] if job["status"] == "failed"} == {"training"}
    curves = read(root, f"evaluations/{DOSELO}/fold_0/curves.json")
    assert {"train_dose_term", "val_dose_rms_gy", "ema_dice"} <= curves.keys()
    assert curves["epochs"] == 1
    assert read(root, "predictor_card.json")["sha256"] == manifest["hashes"]["dose_predictor"]


def test_without_the_one_that_failed_nothing_is_left_to_do(root: Path) -> None:
    """The comparison alone is made anew: it had a remark on the third trainer."""
    jobs = {file: file.stat().st_mtime_ns for file in (root / "out" / "jobs").iterdir() if NOBODYS not in file.name}
    assert "next: doselo report" in benchmark(root, DEFAULT, DOSELO)
    changed = [file.name for file, time in jobs.items() if file.stat().st_mtime_ns != time]
    assert changed == ["comparison.json"]
