"""A predictor held against planned doses that are the same everywhere in the head, so that every figure is known."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
import torch
from predictors import SHA256, sixty_times_target, stand_in

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import write_array
from nnunet_doselo.dataset_conversion.cases.writer import write_json
from nnunet_doselo.evaluation.predictor_scores import PredictorScores
from nnunet_doselo.predictor.artifact import FrozenPredictor
from nnunet_doselo.scoring.predictor_accuracy import evaluate_predictor

CASES = ["Phantom_001", "Phantom_002", "Phantom_003"]
PLANNED_GY = (10, 40, 20)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longest; `test_cli_predictor.py` draws some."""
    monkeypatch.setattr("nnunet_doselo.scoring.predictor_accuracy._pictures", lambda *_: None)


@pytest.fixture
def dataset(tmp_path: Path) -> ExtendedDataset:
    """One training case and three test cases."""
    dataset = phantoms.write_extended_dataset(tmp_path / "Dataset001_Head", cases=1, test_cases=3)
    for case, dose_gy in zip(CASES, PLANNED_GY, strict=True):
        write_dose(dataset, case, dose_gy * phantoms.head())
    return dataset


def write_dose(dataset: ExtendedDataset, case: str, dose_gy: np.ndarray) -> None:
    write_array(dataset.path("dose", case, "Ts"), dose_gy.astype(np.float32), phantoms.grid_for())


def everywhere(dose_gy: float) -> FrozenPredictor:
    """Predicts the same dose everywhere, in the air too."""
    return stand_in(lambda target, oars, ct: torch.full_like(target, dose_gy))


def scored(dataset: ExtendedDataset, predictor: FrozenPredictor, **options: Any) -> PredictorScores:
    return evaluate_predictor(predictor, dataset, dataset.folder.parent / "out", **options)


def summary(dataset: ExtendedDataset) -> dict[str, Any]:
    return json.loads((dataset.folder.parent / "out" / "summary.json").read_text())


def rows(dataset: ExtendedDataset, file: str) -> list[dict[str, str]]:
    return list(csv.DictReader((dataset.folder.parent / "out" / file).read_text().splitlines()))


def test_scores_by_hand_worst_case_first(dataset: ExtendedDataset) -> None:
    """25 Gy everywhere: 15 too much, 15 too little and 5 too much, in each structure as in the whole head."""
    scores = scored(dataset, everywhere(25))
    assert scores.overall() == {"dose_score_gy": pytest.approx(35 / 3), "dvh_score_gy": pytest.approx(35 / 3)}
    columns = ("dose_score_gy", "GTV_D95_difference_gy")
    found = {row["case"]: tuple(float(row[column]) for column in columns) for row in rows(dataset, "scores.csv")}
    assert found == {"Phantom_001": (15, 15), "Phantom_002": (15, -15), "Phantom_003": (5, 5)}
    assert list(found)[-1] == "Phantom_003"
    assert summary(dataset)["overall"]["dvh_score_gy"] == pytest.approx(35 / 3)


def test_the_table_has_every_metric_of_every_structure(dataset: ExtendedDataset) -> None:
    scored(dataset, everywhere(25), cases=CASES[1:2])
    found = [(row["structure"], row["kind"], row["metric"]) for row in rows(dataset, "structures.csv")]
    organs = [(organ, "organ", metric) for organ in phantoms.OARS for metric in ("D0.1cc", "Dmean")]
    assert found == [("GTV", "target", "D99"), ("GTV", "target", "D95"), ("GTV", "target", "D1"), *organs]
    (row, *_) = rows(dataset, "structures.csv")
    assert (row["planned_gy"], row["predicted_gy"], row["difference_gy"]) == ("40.0000", "25.0000", "-15.0000")


def test_dose_in_the_air_counts_only_where_some_was_planned(dataset: ExtendedDataset) -> None:
    (case,) = scored(dataset, everywhere(10), cases=CASES[:1]).cases
    assert case.dose_score_gy == 0
    write_dose(dataset, CASES[0], np.where(phantoms.head(), 10, 30))
    (case,) = scored(dataset, everywhere(10), cases=CASES[:1]).cases
    assert case.dose_score_gy == pytest.approx(20 * (1 - phantoms.head().mean()))


def test_a_structure_that_a_patient_lacks_is_named_and_does_not_count(dataset: ExtendedDataset) -> None:
    oars = phantoms.organ_labels()
    oars[oars == phantoms.OARS["Eye_L"]] = 0
    write_array(dataset.path("oars", CASES[0], "Ts"), oars, phantoms.grid_for())
    scores = scored(dataset, everywhere(10))
    assert len([one for one in scores.structures if np.isfinite(one.difference_gy)]) == 3 * 9 - 2
    assert summary(dataset)["metrics"]["Eye_L_Dmean_difference_gy"]["not_finite"] == [CASES[0]]


def test_nested_levels_are_what_the_dataset_declares(dataset: ExtendedDataset) -> None:
    """A region of both labels holds the boost: its planned D1 is the boost's dose."""
    content = dataset.dataset_json
    content["labels"] = {"background": 0, "PTV54": [1, 2], "PTV60": 2}
    content["dose_guidance"]["target_gy"] = {"PTV54": 54.0, "PTV60": 60.0}
    write_json(dataset.folder / "dataset.json", content)
    labels = np.zeros(phantoms.SHAPE, np.uint8)
    labels[8, 12:16, 12:16] = 1
    labels[8, 12:16, 14:16] = 2
    write_array(dataset.path("labels", CASES[0], "Ts"), labels, phantoms.grid_for())
    write_dose(dataset, CASES[0], np.where(labels == 2, 60, 54) * phantoms.head())
    predictor = stand_in(sixty_times_target, target_gy={"PTV54": 54.0, "PTV60": 60.0})
    scored(ExtendedDataset(dataset.folder), predictor, cases=CASES[:1])
    found = {(row["structure"], row["metric"]): row for row in rows(dataset, "structures.csv")}
    assert found["PTV54", "D1"]["planned_gy"] == found["PTV60", "D99"]["planned_gy"] == "60.0000"
    assert found["PTV54", "D95"]["predicted_gy"] == "54.0000"


def test_the_summary_says_where_its_numbers_come_from(dataset: ExtendedDataset) -> None:
    scored(dataset, everywhere(25), cases=CASES[:2], command="doselo evaluate-predictor 1")
    provenance = summary(dataset)["provenance"]
    assert provenance["command"] == "doselo evaluate-predictor 1"
    assert provenance["cases"] == "2 of 3 in the split"
    assert provenance["dose_predictor"]["sha256"] == SHA256
    assert "inside the body or wherever dose was planned" in provenance["definitions"]["dose_score_gy"]
    assert {"torch", "nnunet-doselo"} <= set(provenance["versions"])


def test_the_training_split_can_be_asked_for(dataset: ExtendedDataset) -> None:
    assert [one.case for one in scored(dataset, everywhere(1), split="Tr").cases] == ["Phantom_000"]


def test_cases_without_a_planned_dose_are_left_out_or_refused(dataset: ExtendedDataset) -> None:
    dataset.path("dose", CASES[0], "Ts").unlink()
    assert len(scored(dataset, everywhere(1)).cases) == 2
    with pytest.raises(DoseloError, match=r"P9, Phantom_001 lack one, 2 cases have all"):
        scored(dataset, everywhere(1), cases=["P9", *CASES])
    for case in CASES[1:]:
        dataset.path("dose", case, "Ts").unlink()
    with pytest.raises(DoseloError, match="no case has labels, CT, organs and a planned dose in split Ts"):
        scored(dataset, everywhere(1))


def test_a_predictor_for_other_organs_is_refused(dataset: ExtendedDataset) -> None:
    with pytest.raises(DoseloError, match="was made for organs"):
        scored(dataset, stand_in(sixty_times_target, oars={"Heart": 1}))


def test_a_predictor_of_no_numbers_is_an_error_that_names_the_case(dataset: ExtendedDataset) -> None:
    with pytest.raises(DoseloError, match=r"case Phantom_001: stand_in\.ts predicts doses that are no finite number"):
        scored(dataset, everywhere(np.nan))
