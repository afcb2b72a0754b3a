"""A benchmark of several seeds: each trainer once from every seed, in folders of its own, resumed as folds are."""

from dataclasses import replace
from pathlib import Path

import pytest
from finished_trainings import (
    BCE,
    DATASET,
    DEFAULT,
    RUN,
    asked,
    finish,
    finish_training,
    go,
    make_project,
    model,
    play_scores,
    read,
)
from stub_planner import StubPlanner

from nnunet_doselo.benchmark.benchmark_run import Run
from nnunet_doselo.benchmark.setting import find_benchmark
from nnunet_doselo.common.errors import DoseloError

SEEDS = (0, 2)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_project(tmp_path, monkeypatch)
    StubPlanner().install(monkeypatch)
    play_scores(monkeypatch)
    return tmp_path


def finish_seeds(root: Path, *trainers: str, seeds: tuple[int, ...] = SEEDS) -> None:
    for seed in seeds:
        finish(root, *(f"{trainer}_seed{seed}" for trainer in trainers), runs=[replace(RUN, seed=seed)])


def test_every_run_is_evaluated_in_a_folder_of_its_own(root: Path) -> None:
    finish_seeds(root, DEFAULT, BCE)
    assert go(root, seeds=SEEDS).compared == (DEFAULT, BCE)
    runs = [(fold, seed) for seed in SEEDS for fold in (0, 1)]
    out = root / "out"
    assert read(root, "comparison.json")["contours"] == {
        trainer: {
            f"fold {fold}, seed {seed}": str(out / "evaluations" / trainer / f"fold_{fold}_seed_{seed}")
            for fold, seed in runs
        }
        for trainer in (DEFAULT, BCE)
    }
    assert read(root, f"evaluations/{BCE}/fold_1_seed_2/evaluation.json")["cases"] == ["Phantom_001", "Phantom_002"]
    manifest = read(root, "manifest.json")
    assert manifest["seeds"] == [0, 2]
    assert [(t["fold"], t["seed"], t["seeds"]) for t in manifest["trainings"] if t["trainer"] == BCE] == [
        (fold, seed, [seed]) for fold, seed in runs
    ]
    assert manifest["hours"]["training"] == {DEFAULT: 8.0, BCE: 8.0}, "four trainings of two hours"
    assert "seeds 0, 2 at the start of 8 of 8 trainings" in manifest["same"]
    # 3 true contours planned twice and evaluated; 2 trainers x 2 seeds x (2 folds x 4 jobs + 3 plans); the comparison
    assert len(manifest["jobs"]) == 3 * 2 + 1 + 2 * 2 * (2 * 4 + 3) + 1


def test_what_is_missing_is_trained_by_the_trainer_of_its_seed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish_seeds(root, DEFAULT)
    finish_seeds(root, BCE, seeds=(0,))
    commands = []

    def play(run: Run, job: str, command: list[str]) -> None:
        commands.append((job, command[2:]))
        finish_training(root / "results" / DATASET, f"{BCE}_seed2", int(command[6]), runs=[replace(RUN, seed=2)])

    monkeypatch.setattr(Run, "command", play)
    assert go(root, seeds=SEEDS, device="cpu").compared == (DEFAULT, BCE)
    always = ["nnunet_doselo.benchmark.seeded_training", "2", DATASET, "2d_small"]
    which = ["-tr", f"{BCE}_seed2", "-p", "nnUNetPlans", "-device", "cpu"]
    assert commands == [(f"training-{BCE}-fold_{k}_seed_2", [*always, str(k), *which]) for k in (0, 1)]


def test_an_interrupted_benchmark_goes_on_with_the_runs_that_are_left(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second training of three fails; the others are not made again."""
    finish_seeds(root, DEFAULT)
    finish_seeds(root, BCE, seeds=(0,))
    (model(root, f"{BCE}_seed0") / "fold_1" / "checkpoint_final.pth").unlink()
    jobs: list[str] = []

    def play(run: Run, job: str, command: list[str]) -> None:
        jobs.append(job)
        if len(jobs) == 2:
            raise MemoryError
        seed = int(command[3])
        finish_training(
            root / "results" / DATASET, f"{BCE}_seed{seed}", int(command[6]), runs=[replace(RUN, seed=seed)]
        )

    monkeypatch.setattr(Run, "command", play)
    outcome = go(root, seeds=SEEDS)
    assert [record.name for record in outcome.failed] == [f"training-{BCE}-fold_0_seed_2"]
    assert outcome.compared == (DEFAULT,)
    assert f"left out of the comparison, because not all of their runs are there: {BCE}" in outcome.remarks
    assert go(root, seeds=SEEDS).compared == (DEFAULT, BCE)
    assert jobs == [
        f"training-{BCE}-{run}" for run in ("fold_1_seed_0", *("fold_0_seed_2", "fold_1_seed_2"), "fold_0_seed_2")
    ]


def test_more_seeds_leave_the_evaluations_of_the_first_alone(root: Path) -> None:
    finish_seeds(root, DEFAULT, BCE, seeds=(0, 1, 2))
    go(root, seeds=(0, 1))
    before = {file: file.stat().st_mtime_ns for file in (root / "out" / "evaluations").rglob("*.json")}
    go(root, seeds=(0, 1, 2))
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_one_seed_is_in_no_name(root: Path) -> None:
    """Trainings that are there are taken over, whatever their seed is called."""
    benchmark = find_benchmark(asked(seeds=(5,)), root / "out")
    (first, _) = benchmark.asked.runs
    assert (first.folder_name, benchmark.asked.seed_of(first)) == ("fold_0", 5)
    assert benchmark.training(BCE, first) == model(root, BCE) / "fold_0"
    finish(root, DEFAULT, BCE, runs=[replace(RUN, seed=5)])
    assert go(root, seeds=(5,)).compared == (DEFAULT, BCE)


def test_a_training_from_another_seed_than_its_name_says_is_named(root: Path) -> None:
    finish_seeds(root, DEFAULT, BCE)
    finish_training(root / "results" / DATASET, f"{BCE}_seed2", 0, runs=[replace(RUN, seed=3)])
    (failed,) = go(root, seeds=SEEDS).failed
    assert failed.name == f"check-{BCE}-fold_0_seed_2"
    assert "must start from seed 2 as those of other trainers, started from 3" in failed.error


def test_trainers_that_know_no_seed_are_refused_before_anything_is_trained(root: Path) -> None:
    with pytest.raises(DoseloError, match="that know the suffix _seedN, found nnUNetTrainerX"):
        find_benchmark(asked(DEFAULT, "nnUNetTrainerX", seeds=SEEDS), root / "out")
