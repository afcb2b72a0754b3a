"""`doselo evaluate-predictor` and `doselo predict-dose` as they are typed."""

from pathlib import Path
from typing import Any

import phantoms
import pytest
from click import unstyle
from predictors import card_of, random_network
from typer.testing import CliRunner

from nnunet_doselo.cli import app
from nnunet_doselo.dataset.images import read_array
from nnunet_doselo.predictor.artifact import save_predictor

DATASET = "Dataset501_Head"
CONTOUR = f"nnUNet_raw/{DATASET}/labelsTs/Phantom_001.nii.gz"
OTHER = f"nnUNet_raw/{DATASET}/labelsTs/Phantom_002.nii.gz"
PREDICTOR = f"nnUNet_preprocessed/{DATASET}/dose_predictor.ts"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nnU-Net's folders below the working folder, a dataset with two test cases, and its predictor."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("nnUNet_dose_predictor", raising=False)
    monkeypatch.chdir(tmp_path)
    phantoms.write_extended_dataset(tmp_path / "nnUNet_raw" / DATASET, cases=1, test_cases=2)
    network = random_network()
    save_predictor(network, card_of(network), tmp_path / PREDICTOR)
    return tmp_path


def doselo(*arguments: str, status: int = 0) -> tuple[str, str]:
    """stdout and stderr, without colours, on a terminal of 80 columns."""
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "80"})
    assert result.exit_code == status, result.output
    return unstyle(result.stdout), unstyle(result.stderr)


def predict(*more: str, status: int = 0) -> tuple[str, str]:
    context = [f"nnUNet_raw/{DATASET}/{kind}Ts/Phantom_001.nii.gz" for kind in ("ct", "oars")]
    given = ("--ct", context[0], "--oars", context[1], "--labels", CONTOUR, "--out", "dose.nii.gz")
    return doselo("predict-dose", *given, *more, status=status)


def test_evaluate_predictor_prints_structures_scores_and_the_worst_case_and_draws(root: Path) -> None:
    said, _ = doselo("evaluate-predictor", "501", "-o", "out")
    for word in (
        "Brainstem",
        "D0.1cc",
        "dose_score_gy",
        "dvh_score_gy",
        "worst case: Phantom_",
        "inside the body or wherever",
    ):
        assert word in said
    assert "training split" not in said
    pictures = {f"{title}{what}.png" for title in ("worst", "best") for what in ("", "_dvh")}
    assert {file.name for file in (root / "out").iterdir()} == pictures | {
        "scores.csv",
        "structures.csv",
        "summary.json",
    }


def test_evaluate_predictor_says_that_training_cases_are_no_test(root: Path) -> None:
    assert "may have been trained on these cases" in doselo("evaluate-predictor", "501", "--split", "Tr")[0]


def test_evaluate_predictor_says_which_cases_it_lacks(root: Path) -> None:
    _, errors = doselo("evaluate-predictor", "501", "--cases", "P1", status=1)
    assert "P1 lack one, 2 cases have all" in errors


def test_predict_dose_writes_a_dose_and_prints_a_table(root: Path) -> None:
    said, _ = predict("--predictor", PREDICTOR)
    for word in ("GTV", "Eye_L", "D95", "not a plan", "SHA-256"):
        assert word in said
    assert read_array(root / "dose.nii.gz")[0].shape == phantoms.SHAPE


def test_a_dataset_with_a_predictor_of_volumes_alone_is_served_by_it(root: Path) -> None:
    (root / PREDICTOR).unlink()
    network = random_network(dim=3)
    volumes = save_predictor(network, card_of(network), (root / PREDICTOR).with_name("dose_predictor_3d.ts"))
    assert f"by {volumes}," in predict("--dataset", "501")[0]
    doselo("evaluate-predictor", "501", "-o", "out")
    assert str(volumes) in (root / "out" / "summary.json").read_text()
    doselo("evaluate", str((root / CONTOUR).parent), "501", "--goals", "none", "-o", "scores", "-np", "1")
    assert volumes.name in (root / "scores" / "labelsTs" / "evaluation.json").read_text()


def test_predict_dose_compares_with_another_contour(root: Path) -> None:
    said, _ = predict("--dataset", "501", "--compare-to", OTHER, "--dvh", "dvh.csv")
    assert said.count("change") == 3
    assert "…" not in said
    assert "where either dose is at least 10% of Rx" in said
    assert (root / "dvh.csv").exists()


def test_the_same_contour_changes_nothing(root: Path) -> None:
    said, _ = predict("--dataset", "501", "--compare-to", CONTOUR)
    assert said.splitlines()[-3].endswith(": 0.0000")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "name its file with --predictor, or a --dataset"),
        (["--dataset", "501", "--target", "GTV=1"], "give one of the two"),
        (["--predictor", PREDICTOR, "--target", "PTV=1"], "each of the predictor's targets ['GTV'] needs a value"),
        (["--predictor", PREDICTOR, "--target", "GTV=2"], "found [1]; renumber it"),
        (["--predictor", "none.ts"], "none.ts: no such file"),
    ],
)
def test_what_predict_dose_cannot_do_is_one_clear_error(root: Path, options: list[str], message: str) -> None:
    said, errors = predict(*options, status=1)
    assert said == ""
    assert message in errors
    assert len(errors.splitlines()) == 1
    assert not (root / "dose.nii.gz").exists()


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({"oars": {"Heart": 1}}, "made for organs {'Heart': 1}, the dataset declares * train a predictor on this"),
        ({"target_gy": {"GTV": 54.0}}, "prescribed doses {'GTV': 54.0}, the dataset declares * train a predictor on"),
        ({"spacing_mm": (3.0,)}, "2 voxel spacings, found (3.0,); export it again with `doselo"),
        ({"format_version": 99}, "format 99, this version reads format 1; export it again with `doselo"),
    ],
)
def test_a_predictor_that_does_not_fit_is_one_clear_error_with_its_fix(
    root: Path, changes: dict[str, Any], fix: str
) -> None:
    network = random_network()
    save_predictor(network, card_of(network, **changes), root / PREDICTOR)
    for said, errors in (predict("--dataset", "501", status=1), doselo("evaluate-predictor", "501", status=1)):
        assert said == ""
        assert "dose_predictor.ts: " in errors
        assert all(words in errors for words in fix.split(" * "))
        assert len(errors.splitlines()) == 1
    assert not (root / "dose.nii.gz").exists()
