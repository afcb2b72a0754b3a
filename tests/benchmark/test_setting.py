"""What is looked up before anything is trained, and what is refused then."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finished_trainings import BCE, DATASET, DEFAULT, asked, make_project

from nnunet_doselo.benchmark.setting import find_benchmark
from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.evaluation.fold_seed import FoldSeed


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_project(tmp_path, monkeypatch)
    return tmp_path


def test_without_test_cases_every_fold_is_scored_on_its_validation_cases(root: Path) -> None:
    benchmark = find_benchmark(asked(), root / "out")
    assert benchmark.split == "Tr"
    assert benchmark.cases == {0: ("Phantom_000",), 1: ("Phantom_001", "Phantom_002")}
    assert benchmark.dim == 2
    assert (
        benchmark.training(BCE, FoldSeed(1)) == root / "results" / DATASET / f"{BCE}__nnUNetPlans__2d_small" / "fold_1"
    )
    assert find_benchmark(asked(folds=(1,)), root / "out").all_cases == ["Phantom_001", "Phantom_002"]


def test_test_cases_go_first_and_are_scored_in_every_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path, monkeypatch, test_cases=2)
    benchmark = find_benchmark(asked(), tmp_path / "out")
    assert (benchmark.split, benchmark.all_cases) == ("Ts", ["Phantom_003", "Phantom_004"])
    assert benchmark.cases[0] == benchmark.cases[1]
    assert find_benchmark(asked(split="Tr"), tmp_path / "out").split == "Tr"
    (tmp_path / "raw" / DATASET / "labelsTs" / "Phantom_003.nii.gz").unlink()
    assert find_benchmark(asked(), tmp_path / "out").all_cases == ["Phantom_004"]


def test_without_splits_those_of_nnunet_are_written(root: Path) -> None:
    """Five folds of the five preprocessed cases: one case each is validated."""
    preprocessed = root / "preprocessed" / DATASET
    (preprocessed / "splits_final.json").unlink()
    for number in range(1, 5):
        (preprocessed / "nnUNetPlans_2d" / f"Phantom_{number:03d}.b2nd").touch()
    with pytest.raises(DoseloError, match="labelsTr: must have a file of every case that is scored, missing 1 of 1"):
        find_benchmark(asked(folds=(0, 1, 2, 3, 4)), root / "out")
    splits = json.loads((preprocessed / "splits_final.json").read_text())
    assert sorted(case for fold in splits for case in fold["val"]) == [f"Phantom_{n:03d}" for n in range(5)]


def _edit(file: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("file", "change", "differs"),
    [
        ("nnUNetPlans.json", lambda plans: plans["configurations"]["2d"].update(patch_size=[48, 48]), {"plans"}),
        ("nnUNetPlans.json", lambda plans: plans["configurations"]["3d"].update(batch_size=9), set()),
        ("splits_final.json", lambda folds: folds[0]["train"].pop(), {"fold"}),
        ("dataset.json", lambda content: content.update(numTraining=7), {"dataset_json"}),
    ],
)
def test_hashes_follow_what_a_training_reads_and_nothing_else(
    root: Path, file: str, change: Callable[[Any], object], differs: set[str]
) -> None:
    before = find_benchmark(asked(), root / "out").inputs
    _edit(root / "preprocessed" / DATASET / file, change)
    after = find_benchmark(asked(), root / "out").inputs
    assert after.cases == before.cases
    fold, other = (vars(after.folds[k]).items() - vars(before.folds[k]).items() for k in (0, 1))
    assert {name for name, _ in fold} == differs
    assert {name for name, _ in other} == differs - {"fold"}


def test_hashes_follow_voxels(root: Path) -> None:
    before = find_benchmark(asked(), root / "out").inputs
    (root / "preprocessed" / DATASET / "nnUNetPlans_2d" / "Phantom_000.b2nd").write_bytes(b"others")
    (root / "raw" / DATASET / "ctTr" / "Phantom_001.nii.gz").write_bytes(b"a CT")
    after = find_benchmark(asked(), root / "out").inputs
    assert after.folds[0].preprocessed != before.folds[0].preprocessed
    assert [case for case in after.cases if after.cases[case] != before.cases[case]] == ["Phantom_001"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": "nnUNetTrainerDOSELO"}, f"--baseline must be one of {DEFAULT}, {BCE}, found nnUNetTrainerDOSELO"),
        ({"split": "Va"}, "--split must be Ts, Tr or auto, found Va"),
        ({"engine": "matrad"}, "--engine must be one of fluence, pydosert, found matrad"),
        ({"trainers": (DEFAULT, "nnUNetTrainer")}, "must train equally long"),
        ({"plans": "otherPlans"}, r"otherPlans\.json: no such file; plan and preprocess first"),
        ({"configuration": "3d_lowres"}, "has the configurations 2d, 2d_small, 3d, asked for 3d_lowres"),
        ({"configuration": "3d"}, "nnUNetPlans_3d: no preprocessed data"),
        ({"folds": (0, 2)}, "has the folds 0 to 1, --folds asks for 2"),
        ({"split": "Ts"}, "no case to score with --split Ts"),
        ({"dataset": "32"}, "expected one dataset Dataset032_"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_trained(
    root: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DoseloError, match=message):
        find_benchmark(asked(**changes), root / "out")


def test_networks_are_trained_and_scored_with_the_same_declarations(root: Path) -> None:
    _edit(
        root / "raw" / DATASET / "dataset.json", lambda content: content["dose_guidance"].update(target_gy={"GTV": 54})
    )
    with pytest.raises(
        DoseloError, match=r"dataset\.json: dose_guidance must be as in the dataset, .*54.*, found .*60"
    ):
        find_benchmark(asked(), root / "out")


def test_a_case_without_organs_cannot_be_scored(root: Path) -> None:
    (root / "raw" / DATASET / "oarsTr" / "Phantom_002.nii.gz").unlink()
    with pytest.raises(DoseloError, match=r"oarsTr: must have a file of every case .* missing 1 of 2, .* Phantom_002"):
        find_benchmark(asked(), root / "out")


@pytest.mark.parametrize("name", ["nnUNetPlans.json", "splits_final.json", "dataset.json"])
def test_a_file_of_nnunets_that_was_cut_short_is_one_clear_error(root: Path, name: str) -> None:
    file = root / "preprocessed" / DATASET / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DoseloError, match=rf"{name}: not valid JSON .*; remove it and run `.*` again"):
        find_benchmark(asked(), root / "out")
