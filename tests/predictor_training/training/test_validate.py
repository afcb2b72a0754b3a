"""Figures and pictures of a predictor whose dose is known."""

import csv
from pathlib import Path

import numpy as np
import phantoms
import pytest
import torch
from predictors import sixty_times_target, stand_in

from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import write_array
from nnunet_doselo.predictor_training.training.validate import validate

CASES = ["Phantom_000", "Phantom_001", "Phantom_002"]


@pytest.fixture
def dataset(tmp_path: Path) -> ExtendedDataset:
    """Planned doses of 10, 20 and 60 Gy, the same everywhere in the head."""
    dataset = phantoms.write_extended_dataset(tmp_path / "dataset", cases=3)
    for case, dose_gy in zip(CASES, (10, 20, 60), strict=True):
        planned = (dose_gy * phantoms.head()).astype(np.float32)
        write_array(dataset.path("dose", case), planned, phantoms.grid_for())
    return dataset


def test_the_error_is_the_mean_over_the_body_case_by_case_worst_first(dataset: ExtendedDataset, tmp_path: Path) -> None:
    nothing = stand_in(lambda target, oars, ct: torch.zeros_like(target))
    figures = validate(nothing, dataset, CASES, tmp_path)
    assert figures == {"cases": 3, "mae_gy": pytest.approx(30), "worst_mae_gy": pytest.approx(60)}
    rows = list(csv.DictReader((tmp_path / "validation.csv").read_text().splitlines()))
    assert [row["case"] for row in rows] == ["Phantom_002", "Phantom_001", "Phantom_000"]
    assert [float(row["mae_gy"]) for row in rows] == [60, 20, 10]


def test_dose_outside_the_body_does_not_count(dataset: ExtendedDataset, tmp_path: Path) -> None:
    """Ten everywhere, in the air too, is right for the first case and 10 Gy off for the second."""
    ten = stand_in(lambda target, oars, ct: torch.full_like(target, 10.0))
    figures = validate(ten, dataset, CASES[:2], tmp_path)
    assert (figures["mae_gy"], figures["worst_mae_gy"]) == (pytest.approx(5), pytest.approx(10))


def test_planned_dose_outside_the_body_does(dataset: ExtendedDataset, tmp_path: Path) -> None:
    """Ten everywhere is right in the head and 20 Gy off in the air, where 30 were planned."""
    planned = np.where(phantoms.head(), 10, 30).astype(np.float32)
    write_array(dataset.path("dose", CASES[0]), planned, phantoms.grid_for())
    ten = stand_in(lambda target, oars, ct: torch.full_like(target, 10.0))
    air = 1 - phantoms.head().mean()
    assert validate(ten, dataset, CASES[:1], tmp_path)["mae_gy"] == pytest.approx(20 * air)


def test_the_worst_and_the_median_case_are_pictures(dataset: ExtendedDataset, tmp_path: Path) -> None:
    validate(stand_in(sixty_times_target), dataset, CASES, tmp_path)
    for title in ("worst", "median"):
        assert (tmp_path / f"validation_{title}.png").read_bytes().startswith(b"\x89PNG")
