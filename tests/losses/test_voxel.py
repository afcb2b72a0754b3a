"""Binary cross-entropy against numbers worked out by hand."""

import math

import pytest
import torch

from nnunet_doselo.losses.heads import Heads
from nnunet_doselo.losses.voxel import BinaryCrossEntropy, make_voxel_loss


def test_undecided_network_pays_ln_2() -> None:
    loss = BinaryCrossEntropy(Heads((1.0,)))
    assert loss(torch.zeros(1, 2, 4, 4), torch.ones(1, 1, 4, 4)).item() == pytest.approx(math.log(2))


def test_two_voxels_by_hand() -> None:
    # odds of 3 to 1 for the target: right costs ln(4/3), wrong costs ln 4
    output = torch.zeros(1, 2, 1, 2)
    output[:, 1] = math.log(3)
    truth = torch.tensor([1, 0]).view(1, 1, 1, 2)
    expected = (math.log(4 / 3) + math.log(4)) / 2
    assert BinaryCrossEntropy(Heads((1.0,)))(output, truth).item() == pytest.approx(expected)


def test_three_labels_average_over_labels() -> None:
    # four equal logits: p = 1/4 each; the true label costs ln 4, the two others ln(4/3)
    loss = BinaryCrossEntropy(Heads((0.8, 0.9, 1.0)))
    truth = torch.full((1, 1, 2, 2), 2)
    expected = (math.log(4) + 2 * math.log(4 / 3)) / 3
    assert loss(torch.zeros(1, 4, 2, 2), truth).item() == pytest.approx(expected)


def test_ignored_voxels_cost_nothing() -> None:
    loss = BinaryCrossEntropy(Heads((1.0,), ignore_label=2))
    output = torch.zeros(1, 2, 1, 2)
    output[0, 1, 0, 1] = 50.0  # wrong by far, and ignored
    assert loss(output, torch.tensor([0, 2]).view(1, 1, 1, 2)).item() == pytest.approx(math.log(2))


def test_a_batch_that_is_all_ignored_costs_zero() -> None:
    loss = BinaryCrossEntropy(Heads((1.0,), ignore_label=2))
    assert loss(torch.randn(1, 2, 2, 2), torch.full((1, 1, 2, 2), 2)).item() == 0.0


class DiceOfNnunet(torch.nn.Module):
    """Stands for nnU-Net's compound: 100 of cross-entropy times its weight, and -0.25 of Dice."""

    weight_ce = 1

    def forward(self, output: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return torch.tensor(100.0 * self.weight_ce - 0.25)


@pytest.mark.parametrize(
    ("kind", "expected"), [("nnunet", 99.75), ("bce", math.log(2)), ("bce_dice", math.log(2) - 0.25)]
)
def test_the_voxel_loss_is_the_one_of_its_kind(kind, expected: float) -> None:
    loss = make_voxel_loss(kind, DiceOfNnunet(), Heads((1.0,)))
    assert loss(torch.zeros(1, 2, 4, 4), torch.ones(1, 1, 4, 4)).item() == pytest.approx(expected)
