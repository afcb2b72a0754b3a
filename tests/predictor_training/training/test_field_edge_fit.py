"""The edge of the fields is found again where it was put, and left away where there is none."""

from pathlib import Path

import numpy as np
import phantoms
import pytest
import torch
from predictors import card_of, random_network

from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import read_array, write_array
from nnunet_doselo.predictor.artifact import FrozenPredictor
from nnunet_doselo.predictor.field_edge import FieldEdge, beyond_slices
from nnunet_doselo.predictor_training.training.field_edge_fit import fit_field_edge

CASES = ["Phantom_000", "Phantom_001"]


class Prescribed(torch.nn.Module):
    """60 Gy wherever there is target."""

    def forward(self, target: torch.Tensor, oars: torch.Tensor, ct: torch.Tensor) -> torch.Tensor:
        return 60 * target


@pytest.fixture
def predictor() -> FrozenPredictor:
    return FrozenPredictor(Prescribed(), card_of(random_network()), "ab" * 32, Path("stub.ts"))


def planned(folder: Path, edge: FieldEdge | None) -> ExtendedDataset:
    """Doses of 60 Gy on the target's slices, and what lies beyond them by the rule."""
    dataset = phantoms.write_extended_dataset(folder, cases=2)
    for case in CASES:
        labels, grid = read_array(dataset.path("labels", case))
        dose = torch.from_numpy(60.0 * (labels > 0).astype(np.float32))
        if edge is not None:
            dose = beyond_slices(dose, grid.spacing_zyx[0], edge)
        write_array(dataset.path("dose", case), dose.numpy(), grid)
    return dataset


def test_the_edge_that_the_plans_have_is_found(tmp_path: Path, predictor: FrozenPredictor) -> None:
    found = fit_field_edge(predictor, planned(tmp_path, FieldEdge(4.0, 2.5)), CASES)
    assert found is not None
    assert found.margin_mm == pytest.approx(4.0, abs=0.5)
    assert found.penumbra_mm == pytest.approx(2.5, abs=0.5)


def test_where_doses_end_with_the_target_there_is_none(tmp_path: Path, predictor: FrozenPredictor) -> None:
    found = fit_field_edge(predictor, planned(tmp_path, None), CASES)
    assert found is None or found.share(phantoms.SPACING_MM[0]) < 0.01
