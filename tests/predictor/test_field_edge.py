"""Dose beyond the slices that were predicted, against the normal distribution's own table."""

from pathlib import Path

import numpy as np
import phantoms
import pytest
import torch
from predictors import card_of, random_network

from nnunet_doselo.predictor.artifact import FrozenPredictor
from nnunet_doselo.predictor.card import PredictorCard
from nnunet_doselo.predictor.field_edge import FieldEdge, beyond_slices
from nnunet_doselo.predictor.volume import predict_volume

EDGE = FieldEdge(margin_mm=6.0, penumbra_mm=4.0)


@pytest.mark.parametrize(
    ("distance_mm", "share"), [(6.0, 0.5), (10.0, 0.158655), (2.0, 0.841345), (14.0, 0.022750), (-2.0, 0.977250)]
)
def test_half_is_left_at_the_margin_and_the_rest_is_normal(distance_mm: float, share: float) -> None:
    assert EDGE.share(distance_mm) == pytest.approx(share, abs=1e-6)


def test_a_slice_passes_on_its_dose_above_and_below_until_next_to_nothing_is_left() -> None:
    dose = torch.zeros(21, 1, 2)
    dose[10, 0, 1] = 60.0
    seen = beyond_slices(dose, 2.0, EDGE)
    expected = torch.tensor([0.841345, 0.691462, 0.5, 0.308538, 0.158655, 0.066807, 0.022750, 0.0, 0.0, 0.0])
    torch.testing.assert_close(seen[11:, 0, 1] / 60, expected, rtol=0, atol=1e-6)
    assert torch.equal(seen[:10].flip(0), seen[11:])
    assert seen[10, 0, 1] == 60
    assert not seen[:, 0, 0].any()


def test_the_highest_counts_among_a_voxels_own_dose_and_those_of_its_neighbours() -> None:
    dose = torch.tensor([50.0, 0.0, 20.0, 45.0])[:, None, None]
    seen = beyond_slices(dose, 6.0, EDGE).flatten()
    own_third = 50 * 0.066807  # two slices, 12 mm, away
    assert seen.tolist() == pytest.approx([50.0, 25.0, max(20.0, 22.5, own_third), 45.0], abs=1e-4)


def test_one_slice_alone_stays_as_it_is() -> None:
    dose = torch.rand(1, 3, 4)
    assert torch.equal(beyond_slices(dose, 2.0, EDGE), dose)


def test_the_gradient_goes_to_the_slice_that_the_dose_comes_from() -> None:
    dose = torch.tensor([50.0, 0.0, 0.0])[:, None, None].requires_grad_()
    beyond_slices(dose, 6.0, EDGE)[1].sum().backward()
    assert dose.grad is not None
    assert dose.grad.flatten().tolist() == pytest.approx([0.5, 0.0, 0.0], abs=1e-6)


def predictor(edge: tuple[float, float] | None) -> FrozenPredictor:
    """60 Gy wherever there is target."""
    card = card_of(random_network(), field_edge_mm=edge)
    return FrozenPredictor(Prescribed(), card, "ab" * 32, Path("stub.ts"))


class Prescribed(torch.nn.Module):
    def forward(self, target: torch.Tensor, oars: torch.Tensor, ct: torch.Tensor) -> torch.Tensor:
        return 60 * target


def test_a_patient_is_predicted_with_the_edge_on_the_card_and_within_the_body() -> None:
    target, ct_hu = np.zeros((5, 20, 20)), np.zeros((5, 20, 20))
    target[2, 10, 10] = 1.0
    ct_hu[4] = -1000.0  # air above the head
    arguments = (target, np.zeros((5, 20, 20)), ct_hu, (6.0, *phantoms.SPACING_MM[1:]))
    assert predict_volume(predictor(None), *arguments)[:, 10, 10].tolist() == [0, 0, 60, 0, 0]
    dose_gy = predict_volume(predictor((6.0, 4.0)), *arguments)
    assert dose_gy[:, 10, 10].tolist() == pytest.approx([60 * 0.066807, 30, 60, 30, 0], abs=1e-3)
    assert dose_gy.dtype == np.float32
    assert np.count_nonzero(dose_gy) == 4


def test_the_card_keeps_the_edge_and_one_without_is_none() -> None:
    card = card_of(random_network(), field_edge_mm=(6.0, 4.0))
    again = PredictorCard.from_json(card.to_json(), Path("p.ts"))
    assert again == card
    assert again.field_edge == EDGE
    assert PredictorCard.from_json(card_of(random_network()).to_json(), Path("p.ts")).field_edge is None
