"""Trainings that may not be compared with each other, and those of which less is known."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finished_trainings import (
    BCE,
    DATASET,
    DEFAULT,
    DOSELO,
    PLANS,
    RUN,
    asked,
    finish,
    go,
    make_project,
    model,
    play_scores,
    read,
)
from predictors import card_of, random_network
from stub_planner import StubPlanner

from nnunet_doselo.benchmark.manifest import MANIFEST_FILE, Manifest
from nnunet_doselo.benchmark.same import checked, remarks_on_trainings, same_in_words
from nnunet_doselo.benchmark.training_facts import TrainingFacts, read_training
from nnunet_doselo.benchmark.whole_benchmark import prepare_benchmark
from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.evaluation.fold_seed import FoldSeed
from nnunet_doselo.predictor.artifact import FILE_NAME, save_predictor


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_project(tmp_path, monkeypatch)
    return tmp_path


def facts_of(root: Path, trainer: str, fold: int) -> TrainingFacts:
    return read_training(model(root, trainer) / f"fold_{fold}", trainer, FoldSeed(fold))[0]


def check(root: Path, trainer: str, fold: int, *trainers: str) -> TrainingFacts:
    return checked(
        facts_of(root, trainer, fold), prepare_benchmark(asked(*(trainers or (DEFAULT, trainer))), root / "out")
    )


def test_a_training_is_known_from_what_it_left(root: Path) -> None:
    finish(root, BCE, runs=[replace(RUN, seconds=1800), replace(RUN, continued=True, seconds=3600)])
    assert facts_of(root, BCE, 1) == TrainingFacts(
        *(BCE, 1, 2, 3, RUN.started, 1.5, (0, 0), ("0", "0"), ("a GPU", "a GPU"), None)
    )


def test_without_a_record_times_are_those_of_nnunets_logs(root: Path) -> None:
    """Half an hour, and after an interruption an hour more; what is not known is None."""
    finish(root, BCE, runs=())
    training = model(root, BCE) / "fold_0"
    assert facts_of(root, BCE, 0) == TrainingFacts(BCE, 0, 2, 3, None, None, (), (), ("cpu",), None)
    (training / "debug.json").unlink()
    (training / "training_log_1.txt").write_text("\n2026-11-20 10:00:00.5: Epoch 0 \nno\n2026-11-20 10:30:00.5: x \n")
    (training / "training_log_2.txt").write_text("2026-11-20 12:00:00: Epoch 1 \n2026-11-20 13:00:00: done \n")
    facts = facts_of(root, BCE, 0)
    assert (facts.hours, facts.iterations, facts.length, facts.hardware) == (1.5, None, None, ())


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (
            {"runs": [RUN, replace(RUN, seed=7)]},
            "fold_1: must start from seed 0 as those of other trainers, started from 7; pass --seeds 7",
        ),
        ({"epochs": 1}, "2 epochs of 3 iterations and .*fold_1 with 1 epochs of 3 iterations"),
    ],
    ids=["seed", "length"],
)
def test_a_training_that_is_not_like_the_others_is_named(root: Path, change: dict[str, Any], error: str) -> None:
    finish(root, BCE, **change)
    with pytest.raises(DoseloError, match=error):
        check(root, BCE, 1)


@pytest.mark.parametrize(
    ("file", "content", "error"),
    [
        (
            "plans.json",
            {**PLANS, "plans_name": "other"},
            "plans of 2d_small must be the same for all trainings",
        ),
        (
            "dataset.json",
            {"labels": {}},
            r"dataset\.json must be the same for all trainings, was trained with ",
        ),
        ("fold_1/validation/summary.json", {"metric_per_case": []}, "differs in 2 cases, for example Phantom_001"),
        ("fold_1/doselo_inputs.json", {}, "fold_1: preprocessed must be the same for all trainings, was trained with "),
    ],
)
def test_a_training_on_other_data_is_named(root: Path, file: str, content: Any, error: str) -> None:
    finish(root, BCE)
    check(root, BCE, 1)
    if "inputs" in file:
        content = {**vars(prepare_benchmark(asked(), root / "out").inputs.folds[1]), "preprocessed": "other"}
    (model(root, BCE) / file).write_text(json.dumps(content))
    with pytest.raises(DoseloError, match=error):
        check(root, BCE, 1)


def test_a_training_with_another_predictor_is_named(root: Path) -> None:
    network = random_network()
    save_predictor(network, card_of(network), root / "preprocessed" / DATASET / FILE_NAME)
    finish(root, DOSELO, predictor="c" * 64)
    with pytest.raises(DoseloError, match=r"the dose predictor must be the same .*, was trained with cccccccccccc"):
        check(root, DOSELO, 0)


def test_guided_trainers_need_a_predictor_before_anything_is_trained(root: Path) -> None:
    with pytest.raises(DoseloError, match=r"no dose predictor: .* make one with `doselo train-predictor"):
        prepare_benchmark(asked(DEFAULT, DOSELO), root / "out")


def test_trainers_of_unknown_length_are_compared_by_what_they_did(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(root, "nnUNetTrainerX")
    finish(root, "nnUNetTrainerY", epochs=1)
    facts = [facts_of(root, trainer, 0) for trainer in ("nnUNetTrainerX", "nnUNetTrainerY")]
    benchmark = prepare_benchmark(asked("nnUNetTrainerX", "nnUNetTrainerY"), root / "out")
    with pytest.raises(DoseloError, match="TrainerX fold 0 with 2 epochs of 3 iterations and nnUNetTrainerY fold 0"):
        same_in_words(benchmark, facts)


def test_nothing_is_compared_if_lengths_differ_in_the_end(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    StubPlanner().install(monkeypatch)
    play_scores(monkeypatch)
    finish(root, "nnUNetTrainerX", folds=(0,))
    finish(root, "nnUNetTrainerY", folds=(0,), epochs=1)
    with pytest.raises(DoseloError, match="all trainers must train equally long"):
        go(root, "nnUNetTrainerX", "nnUNetTrainerY", folds=(0,))
    assert not (root / "out" / "comparison.json").exists()
    assert any(said.startswith("NOT the same: ") for said in read(root, "manifest.json")["same"])


def test_what_is_known_less_well_is_remarked_upon(root: Path) -> None:
    finish(root, DEFAULT, runs=())
    finish(root, BCE, runs=[RUN, replace(RUN, started=1.0, continued=True, loader_processes="2")])
    benchmark = prepare_benchmark(asked(), root / "out")
    facts = [checked(facts_of(root, trainer, fold), benchmark) for trainer in (DEFAULT, BCE) for fold in (0, 1)]
    remarks = "\n".join(remarks_on_trainings(benchmark, facts))
    assert f"no record of a seed (not started by this benchmark): {DEFAULT} fold 0, {DEFAULT} fold 1" in remarks
    assert f"interrupted and continued, where it was seeded anew: {BCE} fold 0, {BCE} fold 1" in remarks
    assert f"begun before the preprocessed data were last written: {BCE} fold 0, {BCE} fold 1" in remarks
    assert "batches differ between trainers" in remarks
    assert "trained on different hardware: a GPU, cpu" in remarks
    assert "seed 0 at the start of 2 of 4 trainings" in same_in_words(benchmark, facts)


def test_of_trainings_that_the_benchmark_began_there_is_nothing_to_remark(root: Path) -> None:
    finish(root, DEFAULT, BCE)
    benchmark = prepare_benchmark(asked(), root / "out")
    for trainer in (DEFAULT, BCE):
        for fold, inputs in benchmark.inputs.folds.items():
            inputs.write(model(root, trainer) / f"fold_{fold}")
    facts = [checked(facts_of(root, trainer, fold), benchmark) for trainer in (DEFAULT, BCE) for fold in (0, 1)]
    assert remarks_on_trainings(benchmark, facts) == []


@pytest.mark.parametrize("name", ["doselo_inputs.json", "doselo_training.json", "debug.json", "plans.json"])
def test_what_a_training_left_and_was_cut_short_is_one_clear_error(root: Path, name: str) -> None:
    finish(root, BCE)
    benchmark = prepare_benchmark(asked(DEFAULT, BCE), root / "out")
    training = benchmark.training(BCE, FoldSeed(0))
    benchmark.inputs.folds[0].write(training)
    file = (training.parent if name == "plans.json" else training) / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DoseloError, match=rf"{name}: not valid JSON "):
        checked(facts_of(root, BCE, 0), benchmark)


def test_a_manifest_that_was_cut_short_is_one_clear_error(root: Path) -> None:
    benchmark = prepare_benchmark(asked(DEFAULT, BCE), root / "out")
    Manifest(benchmark, "doselo benchmark").write()
    file = benchmark.folder / MANIFEST_FILE
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DoseloError, match=r"manifest\.json: not valid JSON"):
        Manifest(benchmark, "doselo benchmark")
