"""`doselo benchmark` as it is typed."""

from pathlib import Path
from typing import Any

import pytest
import typer
from finished_trainings import BCE, DEFAULT, InlinePools, finish, make_project, play_scores
from stub_planner import StubPlanner
from typer.testing import CliRunner, Result

from nnunet_doselo.benchmark import whole_benchmark
from nnunet_doselo.benchmark.benchmark_run import Run
from nnunet_doselo.benchmark.setting import Asked, Benchmark
from nnunet_doselo.cli.benchmark import benchmark
from nnunet_doselo.cli.several_values import SeveralValues
from nnunet_doselo.common.errors import DoseloError

app = typer.Typer()
app.command(cls=SeveralValues)(benchmark)


def typed(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["31", "2d_small", *arguments])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_project(tmp_path, monkeypatch)
    StubPlanner().install(monkeypatch)
    play_scores(monkeypatch)
    monkeypatch.setattr("nnunet_doselo.benchmark.pools.LocalPools", lambda *_, **__: InlinePools())
    return tmp_path


def test_what_is_typed_is_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(asked: Asked, folder: Path) -> Benchmark:
        raise DoseloError(f"{asked}; {folder}")

    monkeypatch.setattr(whole_benchmark, "prepare_benchmark", prepare)
    trainers = ("--trainers", DEFAULT, "nnUNetTrainerDOSELO_2epochs_3iterations", "--lambdas", "0.1", "1")
    runs = ("--folds", "0-1", "3", "--seeds", "0-1", "2")
    done = typed(*trainers, *runs, "--baseline", DEFAULT, "--engine", "pydosert", "-o", "there")
    names = (*trainers[1:3], "nnUNetTrainerDOSELO_lambda0p1_2epochs_3iterations")
    asked = Asked("31", "2d_small", names, (0, 1, 3), DEFAULT, "auto", "pydosert", "nnUNetPlans", (0, 1, 2), "cuda")
    assert done.exit_code == 1
    assert f"error: {asked}; there" in done.stderr


def test_a_benchmark_ends_with_what_to_do_next(root: Path) -> None:
    finish(root, DEFAULT, BCE)
    done = typed("--trainers", DEFAULT, BCE, "--folds", "0-1", "-o", str(root / "out"))
    assert done.exit_code == 0, done.output
    assert "2 trainers, 2 folds, scored on each fold's own validation cases (imagesTr): 3 cases" in done.stdout
    assert f"next: doselo report {root / 'out'}" in done.stdout
    assert (root / "out" / "comparison.json").exists()


def test_what_failed_is_told_and_in_the_exit_status(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(root, DEFAULT)

    def fail(run: Run, job: str, command: Any) -> None:
        raise DoseloError("CUDA [out of memory]")

    monkeypatch.setattr(Run, "command", fail)
    done = typed("--trainers", DEFAULT, BCE, "--folds", "1", "--device", "cpu", "-o", str(root / "out"))
    assert done.exit_code == 1
    assert f"failed: training-{BCE}-fold_1: CUDA [out of memory]\n" in done.stderr
    assert "5 jobs wait for these; the same command tries again" in done.stderr
    assert f"left out of the comparison, because not all of their runs are there: {BCE}" in done.stdout


def test_without_a_gpu_nothing_is_begun(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = typed("--trainers", DEFAULT, "--folds", "0", "-o", str(root / "out"))
    assert done.exit_code == 1
    assert "--device cuda: torch sees no CUDA device here; pass --device cpu" in done.stderr
    assert not (root / "out").exists()
